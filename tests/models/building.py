"""Builds the networks of the gin files, for the tests."""

import pathlib
from collections.abc import Callable
from collections.abc import Sequence

import gin
import keras

from tinygin.config import loading

ROOT = pathlib.Path(__file__).parents[2]
TESTDATA = ROOT / 'tests' / 'testdata' / 'models'


@gin.register('train', module='tests')
def _train(
  model: Callable[[], keras.Model], head: Sequence[str]
) -> keras.Model:
  del head
  return model()


def build(file: str, *bindings: str) -> keras.Model:
  """Returns the network of gin/models/`file`.gin, at 200 classes, 64×64.

  The bindings, which may change that, go through all checks.
  """
  files = [TESTDATA / 'data.gin', ROOT / 'gin' / 'models' / f'{file}.gin']
  return loading.load(list(map(str, files)), bindings, root='train').build()
