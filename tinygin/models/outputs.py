"""Checks the outputs of a network."""

from collections.abc import Iterator

import keras

from tinygin.config import errors

_PROBABILITIES = ('sigmoid', 'softmax', 'log_softmax', 'logsoftmax')
# Operations that change values only by rounding.
_UNCHANGING = ('Cast', 'Flatten', 'Identity', 'InputLayer', 'Reshape')


def check_logits(model: keras.Model) -> None:
  """Checks that a network ends in logits.

  Args:
    model: a functional or sequential model.

  Raises:
    InputError: its outputs are those of a softmax or a sigmoid.
  """
  last = next(filter(_changes, _from_last(model)), model)
  activation = getattr(last, 'activation', last)
  name = getattr(activation, '__name__', type(activation).__name__).lower()
  if name in _PROBABILITIES:
    raise errors.InputError(
      f'{model.name} must end in logits. Received: a network whose last '
      f'operation, {last.name}, is a {name}. Remove the {name}: loss, metrics '
      'and predictions apply a softmax themselves.'
    )


def _from_last(model: keras.Model) -> Iterator[keras.Operation]:
  """Yields a network's operations from the last to the first."""
  # Sequential models have layers only.
  for each in reversed(getattr(model, 'operations', model.layers)):
    if isinstance(each, keras.Model):
      yield from _from_last(each)
    else:
      yield each


def _changes(operation: keras.Operation) -> bool:
  """Whether an operation changes values, rather than shape or dtype."""
  if isinstance(operation, keras.layers.Activation):
    return operation.activation is not keras.activations.linear
  return type(operation).__name__ not in _UNCHANGING
