"""A run's directory: one writer, one configuration."""

import datetime
import errno
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tinygin.config import errors
from tinygin.training import run_directory


class LockedTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path) / 'a' / 'run'

  def _locked(self, pattern=''):
    start = datetime.datetime(2026, 1, 2, 3, 4, 5)
    return run_directory.locked(pattern or str(self.directory), start)

  def test_one_process_at_a_time(self):
    with self._locked():
      with self.assertRaises(errors.InputError) as caught:
        with self._locked():
          pass
    self.assertEqual(
      str(caught.exception),
      f'The run directory {self.directory} is in use by another process. Wait '
      'until it ends, or choose another with train.run_dir.',
    )
    with self._locked():
      pass

  def test_a_dead_process_holds_no_lock(self):
    self.directory.mkdir(parents=True)
    code = (
      'import fcntl, os, signal, sys\n'
      f'fcntl.flock(open({str(self.directory / "lock")!r}, "a"), '
      'fcntl.LOCK_EX)\n'
      'os.kill(os.getpid(), signal.SIGKILL)'
    )
    self.assertEqual(
      subprocess.run([sys.executable, '-c', code]).returncode, -9
    )
    with self._locked() as path:
      self.assertEqual(path, self.directory)

  def test_a_place_that_cannot_be_written(self):
    self.directory.parent.mkdir(parents=True)
    self.directory.write_text('a file')
    with self.assertRaises(errors.InputError) as caught:
      with self._locked():
        pass
    self.assertEqual(
      str(caught.exception),
      f'The run directory {self.directory} must be a folder that can be '
      f'written. Received: Not a directory ({self.directory}). Choose another '
      'with train.run_dir.',
    )

  def test_runs_that_start_at_the_same_time_have_directories_of_their_own(self):
    pattern = f'{self.directory}-{{time}}'
    names = []
    for _ in range(3):
      with self._locked(pattern) as path:
        names.append(path.name)
        (path / 'config.gin').write_text('')
    self.assertEqual(
      names,
      [
        'run-20260102-030405',
        'run-20260102-030405-2',
        'run-20260102-030405-3',
      ],
    )

  def test_a_run_that_fails_at_once_leaves_nothing(self):
    with self.assertRaises(errors.InputError):
      with self._locked() as path:
        (path / 'config.gin').write_text('')
        raise errors.InputError('wrong')
    self.assertFalse(self.directory.exists())

  def test_a_run_that_fails_when_continued_stays(self):
    with self._locked() as path:
      (path / 'config.gin').write_text('')
    with self.assertRaises(errors.InputError):
      with self._locked():
        raise errors.InputError('wrong')
    self.assertTrue((self.directory / 'config.gin').exists())


class DescribeTest(config_case.ConfigCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path)

  def _describe(self, *bindings, step=0, host='here', allow_changes=False):
    """Starts or goes on with a run; returns the text of its configuration."""
    configuration = self.load(COMPLETE, bindings)
    run_directory.check_continuation(
      self.directory, configuration, allow_changes
    )
    run_directory.describe(self.directory, configuration, step, {'host': host})
    return configuration.text()

  def _config(self):
    return (self.directory / 'config.gin').read_text()

  def _starts(self):
    text = (self.directory / 'provenance.json').read_text()
    return json.loads(text)['starts']

  def test_writes_the_config_and_every_start(self):
    text = self._describe(host='first')
    self._describe(host='second', step=7)
    self.assertEqual(
      [(start['host'], start['step']) for start in self._starts()],
      [('first', 0), ('second', 7)],
    )
    (epochs,) = (
      each
      for each in self._starts()[0]['parameters']
      if (each['component'], each['parameter']) == ('train', 'epochs')
    )
    self.assertEqual(epochs['value'], 3)
    self.assertEqual(
      self._config(),
      '# All that train is configured with: --gin_file=THIS_FILE repeats it.\n'
      + text,
    )
    self.assertNotIn('writing', ' '.join(os.listdir(self.directory)))

  def test_the_config_of_a_changed_run_says_so(self):
    self._describe()
    self._describe('train.log_every = 2', step=6, allow_changes=True)
    self._describe('train.log_every = 2', step=8)
    text = self._describe('train.log_every = 9', step=12, allow_changes=True)
    self.assertEqual(
      self._config(),
      """\
# What train is configured with since step 12. The configuration
# changed on the way: this file alone does not repeat the run.
#
# At step 6:
#
# parameter        before    after
# ---------------  --------  -------
# train.log_every  —         2
#
# At step 12:
#
# parameter        before    after
# ---------------  --------  -------
# train.log_every  2         9

"""
      + text,
    )
    self.assertEqual(
      [(start['step'], start['changes']) for start in self._starts()],
      [
        (0, {}),
        (6, {'train.log_every': ['—', '2']}),
        (8, {}),
        (12, {'train.log_every': ['2', '9']}),
      ],
    )
    self.load(self._config())  # It is a configuration all the same.

  def test_a_change_before_the_first_step_needs_no_mention(self):
    self._describe()
    text = self._describe('train.log_every = 2', allow_changes=True)
    self.assertEndsWith(self._config(), f'repeats it.\n{text}')

  @parameterized.parameters(
    ('{', 'Expecting property name enclosed in double quotes in line 1'),
    ('', 'Expecting value in line 1'),
    ('[]', 'no JSON object'),
    ('{"starts": [1]}', 'no list of starts'),
    ('{"starts": {}}', 'no list of starts'),
    ('\xff', 'no UTF-8 text'),
  )
  def test_damaged_provenance(self, content, reason):
    self._describe()
    path = self.directory / 'provenance.json'
    path.write_bytes(content.encode('latin-1'))
    with self.assertRaises(errors.InputError) as caught:
      self._describe()
    self.assertEqual(
      str(caught.exception),
      f'{path} must be as a run has written it. Received: {reason}. Restore '
      'it, or remove it to go on without.',
    )

  def test_damaged_config(self):
    self._describe()
    (self.directory / 'config.gin').write_bytes(b'\xff')
    with self.assertRaises(errors.InputError) as caught:
      self._describe()
    self.assertEqual(
      str(caught.exception),
      f'{self.directory} must be the directory of a run. Received: one in '
      'which config.gin cannot be read (it is not UTF-8 text).',
    )

  def test_a_full_disk_leaves_what_was_there(self):
    self._describe()
    text = self._config()
    full = OSError(errno.ENOSPC, 'No space left on device')
    with mock.patch.object(pathlib.Path, 'write_bytes', side_effect=full):
      with self.assertRaises(errors.RunError) as caught:
        self._describe()
    self.assertEqual(
      str(caught.exception),
      f'{self.directory}/provenance.json could not be written: No space left '
      'on device. The checkpoints are whole; start again once that is mended.',
    )
    self.assertEqual(self._config(), text)

  def test_another_configuration_is_refused(self):
    self._describe()
    text = self._config()
    with self.assertRaisesRegex(
      errors.InputError, r'started with another configuration:(.|\n)*beta'
    ):
      self._describe('Adam.beta = 0.5')
    self.assertEqual(self._config(), text)


class ContinuationTest(config_case.ConfigCase):
  def check(self, saved, now, allow_changes=False):
    self.directory = pathlib.Path(self.create_tempdir().full_path)
    run_directory.describe(self.directory, self.load(saved), 0, {})
    run_directory.check_continuation(
      self.directory, self.load(now), allow_changes
    )

  def test_equal(self):
    self.check(COMPLETE, COMPLETE + '# Only a comment.')

  def test_refused(self):
    with self.assertRaises(errors.InputError) as caught:
      self.check(
        COMPLETE,
        COMPLETE.replace('width = 8', 'width = 16'),
      )
    self.assertEqual(
      str(caught.exception),
      f"""The run in {self.directory} was started with another configuration:

parameter      saved    now
-------------  -------  -----
Network.width  8        16

Start another run, or continue this one with its configuration.""",
    )
    with self.assertRaises(errors.InputError):
      self.check(
        COMPLETE,
        COMPLETE.replace('width = 8', 'width = 16'),
        True,
      )

  def test_what_is_continuable_needs_the_flag(self):
    now = COMPLETE + 'train.log_every = 5'
    with self.assertRaisesRegex(
      errors.InputError, 'or allow these changes with --allow_changes.$'
    ):
      self.check(COMPLETE, now)
    self.check(COMPLETE, now, allow_changes=True)
    self.check(now, COMPLETE, allow_changes=True)

  def test_only_what_is_refused_is_shown_with_the_flag(self):
    now = COMPLETE.replace('0.9', '0.8') + 'train.log_every = 5'
    with self.assertRaises(errors.InputError) as caught:
      self.check(COMPLETE, now, allow_changes=True)
    self.assertIn('Adam.beta', str(caught.exception))
    self.assertNotIn('log_every', str(caught.exception))

  def test_removing_a_fixed_parameter_is_refused(self):
    with self.assertRaises(errors.InputError):
      self.check(
        COMPLETE + 'train.count = 1',
        COMPLETE,
        allow_changes=True,
      )

  def test_what_only_continuable_parameters_reach_is_continuable(self):
    text = COMPLETE + 'train.log_every = @pair()\npair.first = 1\n'
    self.check(
      f'{text}pair.second = 1', f'{text}pair.second = 2', allow_changes=True
    )


if __name__ == '__main__':
  absltest.main()
