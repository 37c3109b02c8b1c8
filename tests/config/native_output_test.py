"""The chatter of native libraries."""

import os
import subprocess
import sys

from absl.testing import absltest

_PROGRAM = """
import os
from tinygin.config import errors
from tinygin.config import native_output
with native_output.hidden():
  os.write(2, b'chatter')
  {body}
os.write(2, b' after')
"""


def _stderr(body, **environment):
  return subprocess.run(
    [sys.executable, '-c', _PROGRAM.format(body=body)],
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

  def test_shows_all_when_something_breaks(self):
    self.assertStartsWith(_stderr('1 / 0'), 'chatterTraceback')

  def test_shows_nothing_more_when_the_user_is_the_reason(self):
    for reason in ('errors.InputError("wrong")', 'KeyboardInterrupt'):
      self.assertStartsWith(_stderr(f'raise {reason}'), 'Traceback')

  def test_hides_nothing_from_those_who_ask(self):
    self.assertEqual(_stderr('pass', TF_CPP_MIN_LOG_LEVEL='0'), 'chatter after')


if __name__ == '__main__':
  absltest.main()
