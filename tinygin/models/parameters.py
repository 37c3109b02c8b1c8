"""Chooses a network's variables by patterns of their paths.

Patterns are those of Python's fnmatch: `*` stands for any characters, also for
`/`, and `?` for one. `head_*` matches `head_dense/kernel`.
"""

import difflib
import fnmatch
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Annotated
from typing import Literal

import keras
from annotated_types import Ge
from annotated_types import Len

from tinygin.config import errors

Patterns = Annotated[Sequence[str], Len(1)]
Factors = Mapping[
  Literal['learning_rate_factor', 'weight_decay_factor'],
  Annotated[float, Ge(0)],
]


def matches(path: str, patterns: Sequence[str]) -> bool:
  """Whether a path matches one of the patterns."""
  return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def check(setting: str, patterns: Sequence[str], paths: Iterable[str]) -> None:
  """Checks that each pattern matches a path.

  Args:
    setting: the parameter that holds the patterns, for the message.
    patterns: patterns of paths.
    paths: the paths of the variables among which to choose.

  Raises:
    InputError: a pattern matches none.
  """
  paths = list(paths)
  for pattern in patterns:
    if not any(matches(path, [pattern]) for path in paths):
      near = difflib.get_close_matches(pattern, paths, 1, cutoff=0)
      hint = f' The nearest path is {near[0]}.' if near else ''
      raise errors.InputError(
        f'Each pattern of {setting} must match the path of a variable. '
        f'Received: {pattern!r}, which matches none.{hint}'
      )


def freeze(model: keras.Model, patterns: Patterns) -> None:
  """Freezes the weights whose paths match no pattern.

  A layer that is left without weights to train is frozen as a whole: batch
  normalization then uses its moving statistics and does not update them.

  Args:
    model: the network.
    patterns: patterns of the paths of the weights to train.

  Raises:
    InputError: a pattern matches no trainable weight.
  """
  paths = [each.path for each in model.trainable_variables]
  check('train.trainable', patterns, paths)
  for layer in layers(model):
    weights = layer.trainable_variables
    for weight in weights:
      weight.trainable = matches(weight.path, patterns)
    if weights and not layer.trainable_variables:
      layer.trainable = False


def groups(
  weights: Sequence[keras.Variable], factors: Mapping[str, Factors]
) -> list[tuple[Factors, list[keras.Variable]]]:
  """Divides weights into groups by patterns of their paths.

  Args:
    weights: the weights.
    factors: the factors of each group, by the pattern of its weights. A weight
      is in the first group whose pattern it matches.

  Returns:
    The factors and the weights of each group. The first group, without factors,
    has the weights that no pattern matches, if there are any.

  Raises:
    InputError: a pattern matches no weight that is in no group yet.
  """
  rest, found = list(weights), []
  for pattern, each in factors.items():
    paths = [weight.path for weight in rest]
    check('train.parameter_groups', [pattern], paths)
    chosen = {path for path in paths if matches(path, [pattern])}
    found.append((each, [one for one in rest if one.path in chosen]))
    rest = [one for one in rest if one.path not in chosen]
  return [({}, rest), *found] if rest else found


def layers(model: keras.Model) -> Iterator[keras.Layer]:
  """Yields the layers of a network and of the networks nested in it."""
  for layer in model.layers:
    if isinstance(layer, keras.Model):
      yield from layers(layer)
    else:
      yield layer
