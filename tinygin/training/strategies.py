"""The `tf.distribute` strategies: the devices of a run."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from typing import Annotated

import gin
import tensorflow as tf
from annotated_types import Ge

from tinygin.config import errors


@gin.register
def one_device() -> tf.distribute.Strategy:
  """Returns a `OneDeviceStrategy` on the first GPU, or the CPU without any."""
  gpus = tf.config.list_logical_devices('GPU')
  device = (gpus or tf.config.list_logical_devices('CPU'))[0]
  return tf.distribute.OneDeviceStrategy(device.name)


@gin.register
def mirrored(
  logical_cpus: Annotated[int, Ge(1)],
) -> tf.distribute.Strategy:
  """Returns a `MirroredStrategy` over all GPUs, or over the CPU without any.

  Args:
    logical_cpus: number of logical devices, and so of replicas, that the CPU
      is divided into if there is no GPU. More than one is for tests.

  Raises:
    InputError: TensorFlow has started already with another number of devices.
  """
  gpus = tf.config.list_physical_devices('GPU')
  if not gpus and logical_cpus > 1:
    try:
      tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices('CPU')[0],
        [tf.config.LogicalDeviceConfiguration()] * logical_cpus,
      )
    except RuntimeError as error:
      raise errors.InputError(
        'mirrored.logical_cpus must be set before TensorFlow starts. '
        f'Received: {logical_cpus} after it has started in this process.'
      ) from error
  devices = tf.config.list_logical_devices('GPU' if gpus else 'CPU')
  return tf.distribute.MirroredStrategy([device.name for device in devices])


@gin.register
def multi_worker() -> tf.distribute.Strategy:
  """Returns a `MultiWorkerMirroredStrategy` over the workers of `TF_CONFIG`.

  Waits until all of them have started. If that environment variable is not set,
  this process is the only worker.

  Raises:
    InputError: `TF_CONFIG` is malformed, or this process cannot listen on its
      address.
  """
  text = os.environ.get('TF_CONFIG')
  if text and not _is_task(text):
    raise errors.InputError(
      'TF_CONFIG must be JSON such as {"cluster": {"worker": ["HOST:PORT", '
      '"HOST:PORT"]}, "task": {"type": "worker", "index": 0}}. Received: '
      f'{text}.'
    )
  try:
    with _mortal():
      return tf.distribute.MultiWorkerMirroredStrategy()
  except tf.errors.OpError as error:
    raise errors.InputError(
      'The workers of TF_CONFIG cannot connect. Each needs an address of its '
      f'own that the others can reach. Received: {text}; {error.message}.'
    ) from error


@contextlib.contextmanager
def _mortal() -> Iterator[None]:
  """Restores default signal handling: TensorFlow's wait calls no handlers."""
  handlers = {
    number: signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    yield
  finally:
    for number, handler in handlers.items():
      signal.signal(number, handler)


def _is_task(text: str) -> bool:
  """Whether `TF_CONFIG` describes one of several workers."""
  try:
    config = json.loads(text)
    workers, task = config['cluster']['worker'], config['task']
    return (
      task['type'] == 'worker'
      and task['index'] in range(len(workers))
      and all(address.rpartition(':')[2].isdecimal() for address in workers)
    )
  except (AttributeError, KeyError, TypeError, ValueError):
    return False
