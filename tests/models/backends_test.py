import importlib.util
import os
import subprocess
import sys

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


class BackendsTest(parameterized.TestCase):
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
