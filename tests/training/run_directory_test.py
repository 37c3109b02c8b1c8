"""A run's directory: one writer, one configuration."""

import datetime
import errno
import fcntl
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import hypothesis
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import strategies

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tinygin.config import errors
from tinygin.training import run_directory


class LockedTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path) / 'a' / 'run'
    self.sleep = self.enter_context(
      mock.patch.object(run_directory.time, 'sleep')
    )

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
      f'Another process is using the run directory {self.directory}. Wait '
      'until it ends, or choose another directory with train.run_dir.',
    )
    self.sleep.assert_called()
    with self._locked():
      pass

  def test_checking_the_lock_does_not_block_a_trainer(self):
    self.directory.mkdir(parents=True)
    (self.directory / 'lock').touch()
    with open(self.directory / 'lock') as looking:
      fcntl.flock(looking, fcntl.LOCK_SH)
      self.sleep.side_effect = lambda _: looking.close()
      with self._locked() as path:
        self.assertTrue(run_directory.is_locked(path))
    self.sleep.assert_called_once()
    self.assertFalse(run_directory.is_locked(self.directory))

  def test_a_lock_that_cannot_be_read_counts_as_held(self):
    self.directory.mkdir(parents=True)
    self.assertFalse(run_directory.is_locked(self.directory))
    refused = PermissionError(errno.EACCES, 'Permission denied')
    with mock.patch('builtins.open', side_effect=refused):
      self.assertTrue(run_directory.is_locked(self.directory))

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

  def test_a_directory_that_cannot_be_written(self):
    self.directory.parent.mkdir(parents=True)
    self.directory.write_text('a file')
    with self.assertRaises(errors.InputError) as caught:
      with self._locked():
        pass
    self.assertEqual(
      str(caught.exception),
      f'Cannot write to the run directory {self.directory}: Not a directory '
      f'({self.directory}). Choose another with train.run_dir.',
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

  def _describe(self, *bindings, step=0, allow_changes=False, **start):
    """Starts or continues a run; returns the text of its configuration."""
    configuration = self.load(COMPLETE, bindings)
    run_directory.check_continuation(
      self.directory, configuration, allow_changes
    )
    run_directory.describe(self.directory, configuration, step, start)
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
      '# The complete configuration: --gin_file=THIS_FILE repeats this run.\n'
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
# The configuration since step 12. It changed during the run, so
# this file alone does not repeat the run.
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
    self.assertEndsWith(self._config(), f'repeats this run.\n{text}')

  @parameterized.parameters(
    (
      '{',
      'Expecting property name enclosed in double quotes: line 1 column 2 '
      '(char 1)',
    ),
    ('', 'Expecting value: line 1 column 1 (char 0)'),
    ('[]', 'it is not a JSON object'),
    ('{"starts": [1]}', 'it has no list of starts'),
    ('{"starts": {}}', 'it has no list of starts'),
    ('\xff', 'it is not UTF-8 text'),
  )
  def test_damaged_provenance(self, content, reason):
    self._describe()
    path = self.directory / 'provenance.json'
    path.write_bytes(content.encode('latin-1'))
    with self.assertRaises(errors.InputError) as caught:
      self._describe()
    self.assertEqual(
      str(caught.exception),
      f'{path} is damaged: {reason}. Restore it, or remove it to continue '
      'without it.',
    )

  def test_damaged_config(self):
    self._describe()
    (self.directory / 'config.gin').write_bytes(b'\xff')
    with self.assertRaises(errors.InputError) as caught:
      self._describe()
    self.assertEqual(
      str(caught.exception),
      f'Cannot read {self.directory}/config.gin: it is not UTF-8 text.',
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
      f'Cannot write {self.directory}/provenance.json: No space left on '
      'device. Checkpoints are intact; fix that, then start again.',
    )
    self.assertEqual(self._config(), text)

  def test_other_hardware_is_warned_of(self):
    old = {'processor': 'a', 'intra_op_threads': 2}
    with self.assertNoLogs(level='WARNING'):
      self._describe(computation=old)
      self._describe(computation=old, step=3)
    with self.assertLogs(level='WARNING') as logged:
      self._describe(computation={**old, 'intra_op_threads': 4}, step=5)
    self.assertIn('intra_op_threads was 2, is 4.', logged.output[0])
    self.assertNotIn('processor', logged.output[0])

  def test_the_data_folder_is_known_in_every_working_directory(self):
    data = self.directory / 'work' / 'data [1]'
    config = self.directory / 'config.gin'
    config.write_text("NAME = 'data [1]'\ndataset.data_dir = %NAME\n")
    self.assertEqual(run_directory.data_bindings(self.directory), [])
    run_directory.write_json(
      self.directory / 'provenance.json',
      {'starts': [{'working_directory': str(data.parent)}, {}]},
    )
    # The project has been moved since.
    self.assertEqual(run_directory.data_bindings(self.directory), [])
    data.mkdir(parents=True)
    self.assertEqual(
      run_directory.data_bindings(self.directory),
      [f"dataset.data_dir = '{data}'"],
    )

  def test_class_names_are_any_text(self):
    names = ['Größe, 大きさ', 'one\u2028name', 'x\x85y', ' $ ']
    run_directory.write_classes(self.directory, names)
    self.assertEqual(run_directory.read_classes(self.directory), names)

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
    first, *_, row, _, last = str(caught.exception).split('\n')
    self.assertIn(str(self.directory), first)
    self.assertRegex(row, r'\.Network\.width +8 +16$')
    self.assertStartsWith(last, 'Start another run')
    with self.assertRaises(errors.InputError):
      self.check(
        COMPLETE,
        COMPLETE.replace('width = 8', 'width = 16'),
        True,
      )

  def test_a_name_that_means_another_module_is_refused(self):
    for name in ('lab_a', 'lab_b'):
      self.write(f'{name}.py', 'def head(size): return size\n')
    text = f'{COMPLETE}train.extra = @lab.head()\nlab.head.size = 1\n'
    saved = f'import lab_a as lab\n{text}'
    self.check(saved, f'import lab_a\n{text.replace("lab.", "lab_a.")}')
    with self.assertRaisesRegex(errors.InputError, '@lab_a.* @lab_b'):
      self.check(saved, f'import lab_b as lab\n{text}', allow_changes=True)

  def test_continuable_parameters_need_the_flag(self):
    now = COMPLETE + 'train.log_every = 5'
    with self.assertRaisesRegex(
      errors.InputError, 'or allow these changes with --allow_changes.$'
    ):
      self.check(COMPLETE, now)
    self.check(COMPLETE, now, allow_changes=True)
    self.check(now, COMPLETE, allow_changes=True)

  def test_with_the_flag_only_fixed_parameters_are_shown(self):
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


class FilesTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path)

  @hypothesis.settings(deadline=None, derandomize=True)
  @hypothesis.given(
    strategies.recursive(
      strategies.none()
      | strategies.booleans()
      | strategies.integers()
      | strategies.floats(allow_nan=False)
      | strategies.text('[]"\\\\, \n0123.e-', max_size=20),
      lambda inner: (
        strategies.lists(inner)
        | strategies.dictionaries(strategies.text(max_size=3), inner)
      ),
      max_leaves=12,
    )
  )
  def test_json_keeps_every_value(self, value):
    path = self.directory / 'a.json'
    run_directory.write_json(path, {'value': value})
    self.assertEqual(run_directory.read_json(path), {'value': value})

  def test_json_keeps_texts_and_shortens_rows_of_numbers(self):
    path = self.directory / 'a.json'
    value = {'text': '[1,  2]', 'rows': [[1, -2.5], [3e-9, 4]]}
    run_directory.write_json(path, value)
    self.assertEqual(run_directory.read_json(path), value)
    self.assertIn('[ 1, -2.5 ],\n', path.read_text())

  def test_names_of_classes_are_kept(self):
    names = ['naïve café', '犬', 'a\u2028b\x0bc', '$x$']
    run_directory.write_classes(self.directory, names)
    self.assertEqual(run_directory.read_classes(self.directory), names)


if __name__ == '__main__':
  absltest.main()
