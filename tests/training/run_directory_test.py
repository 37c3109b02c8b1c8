"""A run's directory: one writer, one configuration."""

import errno
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

from absl.testing import absltest

from tests.config import config_case
from tinygin.config import errors
from tinygin.training import run_directory


class LockedTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path) / 'a' / 'run'

  def test_one_process_at_a_time(self):
    with run_directory.locked(self.directory):
      with self.assertRaises(errors.InputError) as caught:
        with run_directory.locked(self.directory):
          pass
    self.assertEqual(
      str(caught.exception),
      f'The run directory {self.directory} is in use by another process. Wait '
      'until it ends, or choose another with train.run_dir.',
    )
    with run_directory.locked(self.directory):
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
    with run_directory.locked(self.directory) as path:
      self.assertEqual(path, self.directory)

  def test_a_place_that_cannot_be_written(self):
    self.directory.parent.mkdir(parents=True)
    self.directory.write_text('a file')
    with self.assertRaises(errors.InputError) as caught:
      with run_directory.locked(self.directory):
        pass
    self.assertEqual(
      str(caught.exception),
      f'The run directory {self.directory} must be a folder that can be '
      f'written. Received: File exists ({self.directory}). Choose another with '
      'train.run_dir.',
    )

  def test_a_run_that_fails_at_once_leaves_nothing(self):
    with self.assertRaises(errors.InputError):
      with run_directory.locked(self.directory) as path:
        (path / 'config.gin').write_text('')
        raise errors.InputError('wrong')
    self.assertFalse(self.directory.exists())

  def test_a_run_that_fails_when_continued_stays(self):
    with run_directory.locked(self.directory) as path:
      (path / 'config.gin').write_text('')
    with self.assertRaises(errors.InputError):
      with run_directory.locked(self.directory):
        raise errors.InputError('wrong')
    self.assertTrue((self.directory / 'config.gin').exists())


class DescribeTest(config_case.ConfigCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path)

  def _describe(self, *bindings, host='here', allow_changes=False):
    configuration = self.load(config_case.COMPLETE, bindings)
    run_directory.describe(
      self.directory, configuration, {'host': host}, allow_changes
    )
    return configuration.text()

  def test_writes_the_config_and_every_start(self):
    text = self._describe(host='first')
    self._describe(host='second')
    provenance = json.loads((self.directory / 'provenance.json').read_text())
    self.assertEqual(
      [start['host'] for start in provenance['starts']], ['first', 'second']
    )
    (epochs,) = (
      each
      for each in provenance['starts'][0]['parameters']
      if (each['component'], each['parameter']) == ('train', 'epochs')
    )
    self.assertEqual(epochs['value'], 3)
    self.assertEqual((self.directory / 'config.gin').read_text(), text)
    self.assertNotIn('writing', ' '.join(os.listdir(self.directory)))

  def test_a_full_disk_leaves_what_was_there(self):
    text = self._describe()
    full = OSError(errno.ENOSPC, 'No space left on device')
    with mock.patch.object(pathlib.Path, 'write_bytes', side_effect=full):
      with self.assertRaises(errors.RunError) as caught:
        self._describe()
    self.assertEqual(
      str(caught.exception),
      f'{self.directory}/provenance.json could not be written: No space left '
      'on device. The checkpoints are whole; start again once there is room.',
    )
    self.assertEqual((self.directory / 'config.gin').read_text(), text)

  def test_another_configuration_is_refused(self):
    text = self._describe()
    with self.assertRaisesRegex(
      errors.InputError, r'started with another configuration:(.|\n)*beta'
    ):
      self._describe('Adam.beta = 0.5')
    self.assertEqual((self.directory / 'config.gin').read_text(), text)


if __name__ == '__main__':
  absltest.main()
