"""Reports that a device ran out of memory."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tinygin.config import errors


@contextlib.contextmanager
def sufficient_for(batch: str) -> Iterator[None]:
  """Turns TensorFlow's out-of-memory error into one message.

  Args:
    batch: describes the batch, and how to make it smaller.

  Raises:
    RunError: the device ran out of memory.
  """
  try:
    yield
  except tf.errors.ResourceExhaustedError as error:
    raise errors.RunError(f'Out of device memory with {batch}') from error
