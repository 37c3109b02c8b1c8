"""Warns about processors that make a run slower than users may expect."""

import functools
import glob
import os
import subprocess
import sys

import tensorflow as tf

from tinygin.reporting import provenance

# As Linux names them: of x86 the first two, of Arm the others.
_BFLOAT16_FEATURES = {'avx512_bf16', 'amx_bf16', 'bf16', 'svebf16'}
# Ampere, the first generation with bfloat16.
_BFLOAT16_CAPABILITY = (8, 0)
_GPU_FILES = ('/dev/nvidia[0-9]*', '/dev/dxg')

# Lists the GPUs; TensorFlow writes to stderr why it cannot use one.
_LIST_GPUS = "import tensorflow as tf; tf.config.list_physical_devices('GPU')"
_TIMEOUT_SECONDS = 60


@functools.cache  # Once in a process.
def warn(precision: str) -> None:
  """Prints a warning for each reason why this machine may be slow.

  Args:
    precision: `float32` or `bfloat16`.
  """
  for warning in (_unusable_gpu(), _slow_precision(precision)):
    if warning:
      print(warning, file=sys.stderr, flush=True)


def _unusable_gpu() -> str | None:
  """Returns why TensorFlow does not use a GPU that is present.

  A process that does not answer in time, for example because the driver hangs,
  gives no reason.
  """
  hidden = os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1')
  present = any(glob.glob(pattern) for pattern in _GPU_FILES)
  if hidden or not present or tf.config.list_physical_devices('GPU'):
    return None
  try:
    messages = subprocess.run(
      [sys.executable, '-c', _LIST_GPUS],
      env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '0'},
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
      check=False,
      timeout=_TIMEOUT_SECONDS,
    ).stderr
  except subprocess.TimeoutExpired:
    return None
  return (
    f'{messages}This machine has a GPU, but TensorFlow cannot use it, for the '
    'reason above. The CPU is used instead. TensorFlow needs '
    "NVIDIA's driver and pip install 'tensorflow[and-cuda]=="
    f"{tf.__version__}'. CUDA_VISIBLE_DEVICES=-1 turns this check off."
  )


def _slow_precision(precision: str) -> str | None:
  """Returns a message if no instructions support bfloat16."""
  if precision != 'bfloat16':
    return None
  gpus = tf.config.list_physical_devices('GPU')
  if gpus:
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    supported = all(
      each.get('compute_capability', _BFLOAT16_CAPABILITY)
      >= _BFLOAT16_CAPABILITY
      for each in details
    )
  else:
    features = provenance.instructions()
    supported = not features or bool(features & _BFLOAT16_FEATURES)
  if supported:
    return None
  return (
    "train.precision = 'bfloat16' is slow here: this "
    f'{"GPU" if gpus else "processor"} has no bfloat16 instructions. Expect '
    "steps to take about twice as long as with train.precision = 'float32'."
  )
