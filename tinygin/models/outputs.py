"""Checks the outputs of a network."""

import keras
import numpy as np

from tinygin.config import errors

_SCALES = (0.1, 1.0, 10.0, 100.0)
# Of a dimension that the network leaves open.
_SIZE = 64
# More than the rounding errors of bfloat16 in a sum of probabilities.
_TOLERANCE = 0.01


def check_logits(model: keras.Model) -> None:
  """Checks that a network ends in logits.

  Computes the outputs for a few random images. Their scales differ, so that
  logits do not happen to sum to 1 for all of them.

  Args:
    model: a functional or sequential model, built.

  Raises:
    InputError: its outputs are those of a softmax, or its last layer is a
      sigmoid.
  """
  last = model
  while isinstance(last, keras.Model):
    last = last.layers[-1]
  if getattr(last, 'activation', None) is keras.activations.sigmoid:
    reason = f'its last layer, {last.name}, is a sigmoid. Remove it'
  elif _are_probabilities(_outputs(model)):
    reason = (
      'its outputs are never negative and sum to 1. Remove the softmax at its '
      'end'
    )
  else:
    return
  raise errors.InputError(
    f'{model.name} must end in logits, but {reason}: loss, metrics and '
    'predictions apply a softmax themselves.'
  )


def _outputs(model: keras.Model) -> np.ndarray:
  """Returns the outputs for one random image of each scale."""
  shape = [size or _SIZE for size in model.input_shape[1:]]
  images = np.random.default_rng(0).normal(size=(len(_SCALES), *shape))
  images *= np.reshape(_SCALES, (-1, *[1] * len(shape)))
  logits = model(keras.ops.cast(images, 'float32'), training=False)
  return keras.ops.convert_to_numpy(keras.ops.cast(logits, 'float32'))


def _are_probabilities(outputs: np.ndarray) -> bool:
  # A softmax that is written out overflows for large logits.
  outputs = outputs[np.isfinite(outputs).all(axis=-1)]
  sums = outputs.sum(axis=-1)
  return bool(
    len(outputs)
    and np.all(outputs >= 0)
    and np.allclose(sums, 1, atol=_TOLERANCE)
  )
