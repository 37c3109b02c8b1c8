"""The versions of everything that can change the bytes of a record."""

import functools
import hashlib
import pathlib

import numpy as np
import PIL
import tensorflow_datasets as tfds
from google import protobuf
from PIL import features

# The modules of this package that run on workers.
WORKER_MODULES = (
  'archives',
  'indexing',
  'resize',
  'shards',
  'tasks',
  'validation_split',
)


@functools.cache
def current() -> dict[str, str]:
  """Returns the versions in this process, by name of the software.

  `code` is a hash of this package's modules that run on workers.
  """
  code = hashlib.sha256()
  for name in WORKER_MODULES:
    code.update(pathlib.Path(__file__).with_name(f'{name}.py').read_bytes())
  return {
    'code': code.hexdigest()[:16],
    'libjpeg': features.version('libjpeg_turbo') or features.version('jpg'),
    'numpy': np.__version__,
    'pillow': PIL.__version__,
    'protobuf': protobuf.__version__,
    'tensorflow-datasets': tfds.__version__,
  }
