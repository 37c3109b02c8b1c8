"""A run does not depend on the user's settings of Keras."""

import json
import os
import pathlib
import subprocess
import sys

from absl.testing import absltest

_ROOT = pathlib.Path(__file__).parent.parent
_BINDINGS = (
  'LEVELS = (1,); WIDTH = 8; BATCH_SIZE = 16; EPOCHS = 1',
  'synthetic.train_images = 4; synthetic.validation_images = 2',
)
_FLAGS = [
  *('--gin_file=gin/quickstart.gin', '--gin_bindings', '; '.join(_BINDINGS)),
  "--gin_bindings=RUN_DIR = 'runs/one'",
]
_SETTINGS = {
  'backend': 'theano',
  'epsilon': 0.1,
  'floatx': 'float64',
  'image_data_format': 'channels_first',
}


class KerasSettingsTest(absltest.TestCase):
  def test_settings_of_the_user_change_nothing(self):
    home = self.create_tempdir()
    home.create_file('keras.json', json.dumps(_SETTINGS))
    usual = self._train()
    self.assertEqual(self._train(KERAS_HOME=home.full_path), usual)
    self.assertEqual(
      self._train(KERAS_BACKEND='jax', TF_USE_LEGACY_KERAS='1'), usual
    )

  def _train(self, **settings: str) -> dict[str, float]:
    """Returns the validation metrics of a small run."""
    folder = pathlib.Path(self.create_tempdir().full_path)
    done = subprocess.run(
      [sys.executable, '-m', 'tinygin.train', *_FLAGS],
      cwd=folder,
      env={
        **os.environ,
        'BUILD_WORKING_DIRECTORY': '',
        'PYTHONPATH': os.pathsep.join([str(_ROOT), *sys.path]),
        **settings,
      },
      capture_output=True,
      text=True,
      check=False,
    )
    self.assertEqual(done.returncode, 0, done.stderr)
    result = json.loads((folder / 'runs/one/result.json').read_text())
    return result['validation']


if __name__ == '__main__':
  absltest.main()
