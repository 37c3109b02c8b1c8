"""Checkpoints: whole or not at all."""

import errno
import json
import os
import pathlib
import shutil
from unittest import mock

import keras
import numpy as np
from absl.testing import absltest

from tinygin.config import errors
from tinygin.training import checkpoints


def _variables(**values):
  return [
    keras.Variable(np.float32(value), name=name)
    for name, value in values.items()
  ]


class CheckpointsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path) / 'saved'

  def _make(self, **values):
    self.variables = _variables(**values)
    return checkpoints.Checkpoints(
      self.directory, {'model': checkpoints.by_path(self.variables)}
    )

  def _save(self, saved, *steps, keep=9):
    for step in steps:
      self.variables[0].assign(np.full_like(self.variables[0], step))
      saved.save(
        step, {'step': step, 'best': {'step': 1}}, keep=keep, best_step=1
      )

  def _corrupt(self, step, name):
    path = self.directory / f'step-{step:08d}' / name
    content = bytearray(path.read_bytes())
    for index in range(len(content)):
      content[index] ^= 0xFF
    path.write_bytes(bytes(content))

  def test_nothing_saved_restores_nothing(self):
    self.assertIsNone(self._make(a=[1, 2]).restore_newest())

  def test_restores_the_newest(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1, 2, 3)
    self.variables[0].assign([0, 0])
    self.assertEqual(saved.restore_newest()['step'], 3)
    np.testing.assert_array_equal(self.variables[0], [3, 3])

  def test_reads_variables_under_any_names(self):
    names = ['a', 'net.Stem', '.S.', 'a..S']
    self._save(self._make(**{name: [1, 2] for name in names}), 1)
    found = checkpoints.read(self.directory, 1, 'model')
    self.assertCountEqual(found, names)

  def test_keeps_the_newest_and_the_best(self):
    self._save(self._make(a=[1, 2]), 1, 2, 3, 4, 5, keep=2)
    self.assertEqual(checkpoints.steps(self.directory), [1, 4, 5])

  def test_a_torn_save_does_not_count_and_is_swept(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    torn = self.directory / '.writing-2'
    torn.mkdir()
    (torn / 'variables.index').write_text('half')
    self.assertEqual(saved.restore_newest()['step'], 1)
    saved.sweep()
    self.assertFalse(torn.exists())

  def test_a_damaged_checkpoint_gives_way_to_the_one_before(self):
    for name in (
      'variables.index',
      'variables.data-00000-of-00001',
      'state.json',
    ):
      with self.subTest(name):
        saved = self._make(a=[1, 2])
        self._save(saved, 1, 2)
        self._corrupt(2, name)
        with self.assertLogs(level='WARNING') as logged:
          self.assertEqual(saved.restore_newest()['step'], 1)
        self.assertIn('step-00000002 is damaged', logged.output[0])
        np.testing.assert_array_equal(self.variables[0], [1, 1])

  def test_a_cut_off_checkpoint_gives_way_and_is_removed(self):
    for length in (0, 3):
      with self.subTest(length):
        saved = self._make(a=[1, 2])
        self._save(saved, 1, 2, 3)
        folder = self.directory / 'step-00000002'
        for step in (2, 3):
          name = f'step-{step:08d}/variables.data-00000-of-00001'
          os.truncate(self.directory / name, length)
        with self.assertLogs(level='WARNING'):
          self.assertEqual(saved.restore_newest()['step'], 1)
        # It would stand in the way of the step that is now trained anew.
        self.assertFalse(folder.exists())
        self._save(saved, 2, keep=1)
        self.assertEqual(checkpoints.steps(self.directory), [1, 2])

  def test_a_full_disk_leaves_the_checkpoint_before(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    full = OSError(errno.ENOSPC, 'No space left on device')
    with mock.patch.object(pathlib.Path, 'write_text', side_effect=full):
      with self.assertRaises(errors.RunError) as caught:
        self._save(saved, 2)
    self.assertEqual(
      str(caught.exception),
      f'The checkpoint of step 2 could not be written to {self.directory}: '
      '[Errno 28] No space left on device. The checkpoints before it are '
      'whole; start the run again once that is mended.',
    )
    self.assertEqual(os.listdir(self.directory), ['step-00000001'])

  def test_only_damaged_checkpoints_are_no_fresh_start(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    self._corrupt(1, 'state.json')
    with self.assertRaises(errors.InputError) as caught:
      saved.restore_newest()
    self.assertEqual(
      str(caught.exception),
      f'{self.directory} must hold a whole checkpoint. Received: 1 damaged '
      'ones, of steps [1]. Remove the folder to train from the start.',
    )

  def test_another_network_is_refused(self):
    self._save(self._make(a=[1, 2], b=[1], c=[1]), 1)
    with self.assertRaises(errors.InputError) as caught:
      self._make(a=[1, 2, 3], b=[1], d=[1]).restore_newest()
    self.assertEqual(
      str(caught.exception),
      f'{self.directory}/step-00000001 must fit the network and optimizer of '
      'the config: go on with the one that it was written with. Received: '
      'extra model/c; missing model/d; model/a of shape (2,), not (3,).',
    )

  def test_what_points_outside_is_not_read(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    outside = self.directory.with_name('outside')
    (self.directory / 'step-00000001').rename(outside)
    self.variables[0].assign([7, 7])
    # TensorFlow's index, by which `tf.train.latest_checkpoint` goes there.
    (self.directory / 'checkpoint').write_text(
      f'model_checkpoint_path: "{outside}/variables"\n'
    )
    self.assertIsNone(saved.restore_newest())
    whole, part = (self.directory / f'step-{step:08d}' for step in (2, 3))
    whole.symlink_to(outside)
    part.mkdir()
    for path in outside.iterdir():
      (part / path.name).symlink_to(path)
    for step in (3, 2):
      for read in (
        saved.restore_newest,
        lambda: saved.restore_found('latest'),
        lambda: saved.find('best'),
        lambda: checkpoints.read(
          self.directory, checkpoints.steps(self.directory)[-1], 'model'
        ),
      ):
        with self.assertRaises(errors.InputError) as caught:
          read()
        self.assertRegex(
          str(caught.exception),
          rf'^{self.directory}/step-0000000{step}.* must lie in the run '
          rf'directory\. Received: a link to {outside}.*\. Put there what it '
          r'leads to, if you trust it\.$',
        )
      if step == 3:
        shutil.rmtree(part)
    np.testing.assert_array_equal(self.variables[0], [7, 7])

  def test_finds_checkpoints_by_name(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1, 2, 3)
    found = [saved.find(name) for name in ('best', 'latest', '2')]
    self.assertEqual(found, [1, 3, 2])
    for name in ('4', 'newest', '-1'):
      with self.assertRaises(errors.InputError) as caught:
        saved.find(name)
      self.assertEqual(
        str(caught.exception),
        f'The checkpoint of {self.directory} must be best, latest or one of '
        f'the steps [1, 2, 3]. Received: {name}.',
      )

  def test_says_why_there_is_no_best(self):
    saved = self._make(a=[1, 2])
    saved.save(4, {'best': None}, keep=1, best_step=4)
    with self.assertRaises(errors.InputError) as caught:
      saved.find('best')
    self.assertEqual(
      str(caught.exception),
      f'The checkpoint of {self.directory} must be best, latest or one of the '
      'steps [4]. Received: best, and none is evaluated yet.',
    )

  def test_says_which_checkpoint_asked_for_is_damaged(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 4)
    self._corrupt(4, 'state.json')
    self._corrupt(4, 'variables.index')
    for read in (
      lambda: saved.find('best'),
      lambda: saved.restore_found('4'),
      lambda: checkpoints.read(self.directory, 4, 'model'),
    ):
      with self.assertRaises(errors.InputError) as caught:
        read()
      self.assertRegex(
        str(caught.exception),
        rf'^{self.directory}/step-00000004 must be a whole checkpoint\. '
        r'Received: a damaged one \(.+\)\. Choose another of the steps '
        r'\[4\]\.$',
      )

  def test_the_state_is_readable(self):
    self._save(self._make(a=[1, 2]), 7)
    text = (self.directory / 'step-00000007' / 'state.json').read_text()
    self.assertEqual(json.loads(text)['step'], 7)


if __name__ == '__main__':
  absltest.main()
