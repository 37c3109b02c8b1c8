"""Sets the environment variables that TensorFlow and Keras read on import.

Import this module before them; `entry_point` does so for every program.
"""

import os

# Variables of TensorFlow, oneDNN, OpenMP, XLA and CUDA that change the last
# bits of a result.
NUMERICAL = (
  'NVIDIA_TF32_OVERRIDE',
  'OMP_NUM_THREADS',
  'ONEDNN_DEFAULT_FPMATH_MODE',
  'ONEDNN_MAX_CPU_ISA',
  'TF_ENABLE_ONEDNN_OPTS',
  'TF_NUM_INTEROP_THREADS',
  'TF_NUM_INTRAOP_THREADS',
  'TF_SET_ONEDNN_FPMATH_MODE',
  'TF_XLA_FLAGS',
  'XLA_FLAGS',
)

# By default TensorFlow uses oneDNN only on processors with AVX-512 VNNI or
# newer instructions. It is nearly twice as fast on older ones too.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
# Otherwise the first program takes all memory of a GPU: an evaluation could not
# run beside a training.
os.environ.setdefault('TF_FORCE_GPU_ALLOW_GROWTH', 'true')
# Errors only.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# The trainer needs TensorFlow, whatever keras.json says.
os.environ['KERAS_BACKEND'] = 'tensorflow'
# `tf.keras` must be Keras 3.
os.environ['TF_USE_LEGACY_KERAS'] = '0'


def numerical() -> dict[str, str]:
  """Returns those of the `NUMERICAL` variables that are set."""
  return {name: os.environ[name] for name in NUMERICAL if name in os.environ}
