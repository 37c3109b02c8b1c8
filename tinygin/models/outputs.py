"""Checks the outputs of a network."""

import keras

from tinygin.config import errors

_PROBABILITIES = ('sigmoid', 'softmax')


def check_logits(model: keras.Model) -> None:
  """Checks that a network ends in logits.

  Args:
    model: a functional or sequential model.

  Raises:
    InputError: its last operation is a softmax or a sigmoid.
  """
  last = _last_operation(model)
  activation = getattr(last, 'activation', last)
  name = getattr(activation, '__name__', type(activation).__name__).lower()
  if name in _PROBABILITIES:
    raise errors.InputError(
      f'{model.name} must end in logits. Received: a network whose last '
      f'operation, {last.name}, is a {name}. Remove the {name}: loss, metrics '
      'and predictions apply a softmax themselves.'
    )


def _last_operation(model: keras.Model) -> keras.Operation:
  # Sequential models have layers only.
  last = getattr(model, 'operations', model.layers)[-1]
  return _last_operation(last) if isinstance(last, keras.Model) else last
