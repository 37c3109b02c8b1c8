"""The networks on other backends of Keras than TensorFlow."""

import builtins
import contextlib
import importlib.util
import os
import subprocess
import sys
from unittest import mock

import keras
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from tests.models import building

_FORWARD = """
import sys
sys.modules['tensorflow'] = None
import keras, numpy as np
from tests.models import building
for name in 'residual', 'inception':
  model = building.build(name, 'IMAGE_SIZE = 16', 'DROPOUT = 0.5')
  images = np.random.default_rng(0).normal(size=(2, 16, 16, 3))
  images = images.astype('float32')
  for training in False, True:
    logits = keras.ops.convert_to_numpy(model(images, training=training))
    assert logits.shape == (2, 200) and np.isfinite(logits).all(), logits
"""


def _logits(name, weights=None, training=False):
  """Returns a network's outputs, and its weights as they were before."""
  model = building.build(name, 'IMAGE_SIZE = 32', 'DROPOUT = 0.0')
  if weights:
    model.set_weights(weights)
  weights = model.get_weights()
  images = np.random.default_rng(0).normal(size=(8, 32, 32, 3))
  return np.asarray(
    model(images.astype(np.float32), training=training)
  ), weights


@contextlib.contextmanager
def _another_backend():
  """Runs the code of the models for other backends, which computes by Keras.

  Keras itself goes on with TensorFlow, as no other backend may be installed.
  """
  found = builtins.__import__

  def checked(name, outside=None, *arguments):
    importer = (outside or {}).get('__name__') or ''
    if importer.startswith('tinygin.models') and name.startswith('tensorflow'):
      raise AssertionError(f'{importer} imports {name}.')
    return found(name, outside, *arguments)

  with (
    mock.patch.object(keras.backend, 'backend', lambda: 'torch'),
    mock.patch.object(builtins, '__import__', checked),
  ):
    yield


class BackendsTest(parameterized.TestCase):
  @parameterized.product(
    name=['residual', 'inception', 'resnet18'], training=[False, True]
  )
  def test_the_code_for_other_backends_computes_the_same(self, name, training):
    ours, weights = _logits(name, training=training)
    with _another_backend():
      others, _ = _logits(name, weights, training)
    np.testing.assert_allclose(others, ours, rtol=1e-3, atol=1e-3)

  @parameterized.parameters('torch', 'jax')
  def test_forward_pass(self, backend):
    if importlib.util.find_spec(backend) is None:
      self.skipTest(f'{backend} is not installed.')
    variables = {
      'KERAS_BACKEND': backend,
      'PYTHONPATH': os.pathsep.join(map(os.path.abspath, sys.path)),
    }
    done = subprocess.run(
      [sys.executable, '-c', _FORWARD],
      cwd=building.ROOT,
      env={**os.environ, **variables},
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == '__main__':
  absltest.main()
