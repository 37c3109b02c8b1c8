"""What TensorFlow and Beam write is hidden."""

import os
import subprocess
import sys

from absl.testing import absltest

_PROGRAM = """
import os
import sys
from absl import flags
from tinygin.config import errors
from tinygin.config import native_output
if sys.argv[1:]:
  flags.FLAGS(sys.argv)
with native_output.hidden():
  os.write(2, b'chatter')
  {body}
os.write(2, b' after')
"""


def _stderr(body, *arguments, **environment):
  return subprocess.run(
    [sys.executable, '-c', _PROGRAM.format(body=body), *arguments],
    stderr=subprocess.PIPE,
    text=True,
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join(sys.path),
      'TF_CPP_MIN_LOG_LEVEL': '2',
      **environment,
    },
  ).stderr


class HiddenTest(absltest.TestCase):
  def test_hides_until_the_end(self):
    self.assertEqual(_stderr('pass'), ' after')

  def test_shows_all_after_an_exception(self):
    self.assertStartsWith(_stderr('1 / 0'), 'chatterTraceback')

  def test_hides_output_before_input_errors_and_interrupts(self):
    for reason in ('errors.InputError("wrong")', 'KeyboardInterrupt'):
      self.assertStartsWith(_stderr(f'raise {reason}'), 'Traceback')

  def test_shows_all_on_request(self):
    self.assertEqual(_stderr('pass', TF_CPP_MIN_LOG_LEVEL='0'), 'chatter after')
    self.assertEqual(_stderr('pass', '--nonative_output'), ' after')
    level = "os.write(2, os.environ['TF_CPP_MIN_LOG_LEVEL'].encode())"
    self.assertEqual(_stderr(level, '--native_output'), 'chatter0 after')


if __name__ == '__main__':
  absltest.main()
