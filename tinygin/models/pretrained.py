"""Initializes a network from trained weights."""

import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import h5py
import keras
import numpy as np

from tinygin.config import errors
from tinygin.models import parameters

# Keras 2's names for unnamed layers, and the names in this package.
_KINDS = {
  'batch_normalization': 'norm',
  'conv2d': 'conv',
  'depthwise_conv2d': 'depthwise',
}
_NUMBERED = re.compile(rf'({"|".join(_KINDS)})(?:_(\d+))?')


def initialize(
  model: keras.Model,
  weights: Mapping[str, np.ndarray],
  source: str,
  *,
  head: Sequence[str] = (),
  include_head: bool = True,
  advice: str = '',
) -> None:
  """Assigns weights to the variables with the same paths.

  Assigns nothing unless every weight fits a variable and every variable has a
  weight. Random states are left unchanged.

  Args:
    model: a network.
    weights: arrays by the path of their variable.
    source: where the weights come from, for the message.
    head: patterns of the paths of the head's variables; see `parameters`.
    include_head: whether to assign the weights of the head too. If not, the
      head may have another number of classes.
    advice: what to do if they do not fit. The default advice is to leave out
      the head, if everything else fits.

  Raises:
    InputError: a weight is missing, unknown, or has another shape or dtype; or
      the head is left out and one of its patterns matches no variable.
  """

  def is_assigned(path: str) -> bool:
    return not path.endswith('/seed_generator_state') and (
      include_head or not parameters.matches(path, head)
    )

  variables = {each.path: each for each in model.variables}
  if not include_head:
    parameters.check('train.head', head, variables)
  variables = {p: each for p, each in variables.items() if is_assigned(p)}
  weights = {p: each for p, each in weights.items() if is_assigned(p)}
  if faults := list(misfits(variables, weights)):
    paths = [each.partition(' ')[0] for each in faults]
    of_head = all(parameters.matches(path, head) for path in paths)
    if not advice and include_head and of_head:
      advice = 'All but the head fits: set train.init_head = False.'
    raise errors.InputError(
      f'The weights of {source} do not fit {model.name}:\n  '
      + '\n  '.join(faults)
      + (advice and f'\n{advice}')
    )
  for path, variable in variables.items():
    variable.assign(weights[path])


def misfits(
  variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Iterator[str]:
  """Yields one line for each array that does not fit.

  Args:
    variables: Keras or TensorFlow variables by name.
    arrays: arrays by the same names.
  """
  expected = {name: _type(each) for name, each in variables.items()}
  present = {name: _type(each) for name, each in arrays.items()}
  for name in sorted(expected.keys() | present):
    if name not in present:
      yield f'{name} is missing'
    elif name not in expected:
      yield f'{name} is unknown'
    elif present[name] != expected[name]:
      yield f'{name} is {present[name]}, expected {expected[name]}'


def _type(array: Any) -> str:
  dtype = keras.backend.standardize_dtype(array.dtype)
  return f'{dtype} {tuple(array.shape)}'


def read_hdf5(path: str) -> dict[str, np.ndarray]:
  """Reads the weights of a network saved by Keras 2.

  Keras 2 numbered unnamed layers through the whole network:
  `incept_A_2/incept_A_2_path1/batch_normalization_7/gamma:0`. The networks of
  this package number them from 1 within the enclosing layer, in the order of
  creation: `incept_A_2_path1_norm1/gamma`. The paths are renamed accordingly.

  Args:
    path: an HDF5 file of weights or of a whole model.

  Returns:
    Arrays by the path of their variable.

  Raises:
    InputError: the file is damaged, has another format, or holds two weights
      with the same path.
  """
  try:
    with h5py.File(path) as file:
      root = file.get('model_weights', file)
      names = [
        (group, name)
        for group in _texts(root, 'layer_names')
        for name in _texts(root[group], 'weight_names')
      ]
      arrays = [np.asarray(root[group][name]) for group, name in names]
  except (OSError, KeyError) as error:
    # The text of a KeyError has quotes around it.
    raise errors.InputError(
      f'{path} must be an HDF5 file of weights saved by Keras 2. '
      f'Received: {error.args[-1]}.'
    ) from None
  paths = _paths([name for _, name in names])
  if repeated := sorted({each for each in paths if paths.count(each) > 1}):
    raise errors.InputError(
      f'{path} must hold one weight for each path. Several weights map to: '
      f'{", ".join(repeated)}.'
    )
  return dict(zip(paths, arrays, strict=True))


def _texts(group: h5py.Group, attribute: str) -> list[str]:
  return [
    text.decode() if isinstance(text, bytes) else text
    for text in group.attrs[attribute]
  ]


def _paths(names: list[str]) -> list[str]:
  """Converts Keras 2's weight names to paths of this package's variables."""
  split = [name.removesuffix(':0').split('/') for name in names]
  # Names in a subclassed network begin with the name of the network.
  split = [parts[1:] if len(parts) > 2 else parts for parts in split]
  numbers: dict[tuple[str, str], set[int]] = {}
  for *layers, _ in split:
    if match := _NUMBERED.fullmatch(layers[-1]):
      key = ('/'.join(layers[:-1]), match[1])
      numbers.setdefault(key, set()).add(int(match[2] or 0))
  paths = []
  for *layers, weight in split:
    if match := _NUMBERED.fullmatch(layers[-1]):
      known = sorted(numbers['/'.join(layers[:-1]), match[1]])
      number = known.index(int(match[2] or 0)) + 1
      layers[-1] = f'{_KINDS[match[1]]}{number}'
    paths.append(f'{_joined(layers)}/{weight}')
  # Depthwise convolutions call it `kernel`, separable ones do not.
  for index, path in enumerate(paths):
    layer, _, weight = path.partition('/')
    if (
      weight == 'depthwise_kernel' and f'{layer}/pointwise_kernel' not in paths
    ):
      paths[index] = f'{layer}/kernel'
  return paths


def _joined(layers: list[str]) -> str:
  """Joins nested names, omitting prefixes that repeat the enclosing name."""
  joined = layers[0]
  for layer in layers[1:]:
    if layer.lower().startswith(f'{joined.lower()}_'):
      joined += layer[len(joined) :]
    else:
      joined += f'_{layer}'
  return joined
