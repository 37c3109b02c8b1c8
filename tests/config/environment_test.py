"""What programs set before TensorFlow and Keras are imported."""

import json
import os
import subprocess
import sys

from absl.testing import absltest

_PROGRAM = """
import json
import os
from tinygin.config import entry_point
from tinygin.config import environment
import keras
import tensorflow as tf
from tensorflow.python.util import _pywrap_util_port
print(json.dumps({
  'numerical': environment.numerical(),
  'level': os.environ['TF_CPP_MIN_LOG_LEVEL'],
  'growth': os.environ['TF_FORCE_GPU_ALLOW_GROWTH'],
  'backend': keras.config.backend(),
  'tf.keras': tf.keras.__version__ == keras.__version__,
  'oneDNN': _pywrap_util_port.IsMklEnabled(),
}))
"""


class EnvironmentTest(absltest.TestCase):
  def test_has_defaults_that_the_user_can_override(self):
    found = self._run()
    self.assertEqual(found['numerical'], {'TF_ENABLE_ONEDNN_OPTS': '1'})
    self.assertEqual(found['level'], '2')
    self.assertEqual(found['growth'], 'true')
    found = self._run(
      TF_ENABLE_ONEDNN_OPTS='0',
      TF_NUM_INTRAOP_THREADS='2',
      TF_CPP_MIN_LOG_LEVEL='1',
      TF_FORCE_GPU_ALLOW_GROWTH='false',
    )
    self.assertEqual(
      found['numerical'],
      {'TF_ENABLE_ONEDNN_OPTS': '0', 'TF_NUM_INTRAOP_THREADS': '2'},
    )
    self.assertEqual(found['level'], '1')
    self.assertEqual(found['growth'], 'false')
    self.assertFalse(found['oneDNN'])

  def test_is_keras_3_on_tensorflow_whatever_the_user_prefers(self):
    home = self.create_tempdir()
    home.create_file('keras.json', json.dumps({'backend': 'theano'}))
    for settings in (
      {'KERAS_BACKEND': 'torch'},
      {'KERAS_HOME': home.full_path, 'TF_USE_LEGACY_KERAS': '1'},
    ):
      found = self._run(**settings)
      self.assertEqual(found['backend'], 'tensorflow')
      self.assertTrue(found['tf.keras'])

  def _run(self, **settings: str):
    ours = ('KERAS_', 'ONEDNN_', 'TF_')
    inherited = {
      name: value
      for name, value in os.environ.items()
      if not name.startswith(ours)
    }
    path = {'PYTHONPATH': os.pathsep.join(sys.path)}
    printed = subprocess.run(
      [sys.executable, '-c', _PROGRAM],
      env=inherited | path | settings,
      stdout=subprocess.PIPE,
      text=True,
      check=True,
    ).stdout
    return json.loads(printed)


if __name__ == '__main__':
  absltest.main()
