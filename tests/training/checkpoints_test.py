"""Checkpoints are complete or absent, and restore exactly what was saved."""

import errno
import json
import os
import pathlib
import shutil
from unittest import mock

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tinygin.config import errors
from tinygin.training import checkpoints


def _variables(**values):
  return [
    keras.Variable(np.float32(value), name=name)
    for name, value in values.items()
  ]


class CheckpointsTest(parameterized.TestCase):
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

  def test_an_interrupted_save_is_removed(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    torn = self.directory / '.writing-2'
    torn.mkdir()
    (torn / 'arrays.safetensors').write_text('half')
    self.assertEqual(saved.restore_newest()['step'], 1)
    saved.sweep()
    self.assertFalse(torn.exists())

  @parameterized.parameters('arrays.safetensors', 'state.json')
  def test_restores_the_checkpoint_before_a_damaged_one(self, name):
    saved = self._make(a=[1, 2])
    self._save(saved, 1, 2)
    self._corrupt(2, name)
    with self.assertLogs(level='WARNING') as logged:
      self.assertEqual(saved.restore_newest()['step'], 1)
    self.assertIn('step-00000002 is damaged', logged.output[0])
    np.testing.assert_array_equal(self.variables[0], [1, 1])

  @parameterized.parameters(
    ('arrays.safetensors', lambda content: content[:-1] + b'?'),
    ('state.json', lambda content: content.replace(b'"step": 2', b'"step": 9')),
  )
  def test_one_changed_byte_is_noticed(self, name, change):
    saved = self._make(a=[1, 2])
    self._save(saved, 1, 2)
    path = self.directory / 'step-00000002' / name
    path.write_bytes(change(path.read_bytes()))
    with self.assertLogs(level='WARNING') as logged:
      self.assertEqual(saved.restore_newest()['step'], 1)
    self.assertIn('the checksum does not match', logged.output[0])

  def test_a_truncated_checkpoint_is_removed(self):
    for length in (0, 3):
      with self.subTest(length):
        saved = self._make(a=[1, 2])
        self._save(saved, 1, 2, 3)
        folder = self.directory / 'step-00000002'
        for step in (2, 3):
          name = f'step-{step:08d}/arrays.safetensors'
          os.truncate(self.directory / name, length)
        with self.assertLogs(level='WARNING'):
          self.assertEqual(saved.restore_newest()['step'], 1)
        # Otherwise the same step could not be saved again.
        self.assertFalse(folder.exists())
        self._save(saved, 2, keep=1)
        self.assertEqual(checkpoints.steps(self.directory), [1, 2])

  def test_a_full_disk_keeps_the_checkpoint_before(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    full = OSError(errno.ENOSPC, 'No space left on device')
    with mock.patch.object(pathlib.Path, 'write_text', side_effect=full):
      with self.assertRaises(errors.RunError) as caught:
        self._save(saved, 2)
    self.assertEqual(
      str(caught.exception),
      f'Cannot write the checkpoint of step 2 to {self.directory}: [Errno 28] '
      'No space left on device. Earlier checkpoints are intact; fix that, then '
      'start the run again.',
    )
    self.assertEqual(os.listdir(self.directory), ['step-00000001'])

  def test_fails_if_all_checkpoints_are_damaged(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    self._corrupt(1, 'state.json')
    with self.assertRaises(errors.InputError) as caught:
      saved.restore_newest()
    self.assertEqual(
      str(caught.exception),
      f'All checkpoints in {self.directory} are damaged: steps [1]. Remove the '
      'folder to train from the start.',
    )

  def test_another_network_is_refused(self):
    self._save(self._make(a=[1, 2], b=[1], c=[1]), 1)
    with self.assertRaises(errors.InputError) as caught:
      self._make(a=[1, 2, 3], b=[1], d=[1]).restore_newest()
    self.assertEqual(
      str(caught.exception),
      f'{self.directory}/step-00000001 does not fit the network and optimizer '
      'of this configuration:\n'
      '  model/a is float32 (2,), expected float32 (3,)\n'
      '  model/c is unknown\n'
      '  model/d is missing\n'
      'Use the configuration that it was trained with.',
    )

  def test_paths_outside_the_folder_are_not_read(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    outside = self.directory.with_name('outside')
    (self.directory / 'step-00000001').rename(outside)
    self.variables[0].assign([7, 7])
    self.assertIsNone(saved.restore_newest())
    whole, part = (self.directory / f'step-{step:08d}' for step in (2, 3))
    whole.symlink_to(outside)
    part.mkdir()
    for path in outside.iterdir():
      (part / path.name).symlink_to(path)
    for step in (3, 2):
      for read in (
        saved.restore_newest,
        lambda: checkpoints.read_trained(self.directory, 'latest', 'raw'),
        lambda: checkpoints.find(self.directory, 'best'),
        lambda: checkpoints.read(
          self.directory, checkpoints.steps(self.directory)[-1], 'model'
        ),
      ):
        with self.assertRaises(errors.InputError) as caught:
          read()
        self.assertRegex(
          str(caught.exception),
          rf'^{self.directory}/step-0000000{step}.* is a link to {outside}.*; '
          r'checkpoints must be inside the run directory\. Copy the target '
          r'there if you trust it\.$',
        )
      if step == 3:
        shutil.rmtree(part)
    np.testing.assert_array_equal(self.variables[0], [7, 7])

  def test_finds_checkpoints_by_name(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 1, 2, 3)
    found = [
      checkpoints.find(self.directory, name) for name in ('best', 'latest', '2')
    ]
    self.assertEqual(found, [1, 3, 2])
    for name in ('4', 'newest', '-1'):
      with self.assertRaises(errors.InputError) as caught:
        checkpoints.find(self.directory, name)
      self.assertEqual(
        str(caught.exception),
        f'The checkpoint of {self.directory} must be best, latest or one of '
        f'the steps [1, 2, 3]. Received: {name}.',
      )

  def test_says_why_there_is_no_best(self):
    saved = self._make(a=[1, 2])
    saved.save(4, {'best': None}, keep=1, best_step=4)
    with self.assertRaises(errors.InputError) as caught:
      checkpoints.find(self.directory, 'best')
    self.assertEqual(
      str(caught.exception),
      f'The checkpoint of {self.directory} must be best, latest or one of the '
      'steps [4]. Received: best, but none has been evaluated yet.',
    )

  def test_names_the_requested_checkpoint_if_it_is_damaged(self):
    saved = self._make(a=[1, 2])
    self._save(saved, 4)
    self._corrupt(4, 'arrays.safetensors')
    for read in (
      lambda: checkpoints.find(self.directory, 'best'),
      lambda: checkpoints.read_trained(self.directory, '4', 'raw'),
      lambda: checkpoints.read(self.directory, 4, 'model'),
    ):
      with self.assertRaises(errors.InputError) as caught:
        read()
      self.assertRegex(
        str(caught.exception),
        rf'^The checkpoint {self.directory}/step-00000004 is damaged \(.+\)\. '
        r'Its run has checkpoints of the steps \[4\]\.$',
      )

  @parameterized.parameters('{}', '[]', '{"state": {}}', '{"sha256": ""}')
  def test_says_that_the_state_is_not_one_of_ours(self, text):
    self._save(self._make(a=[1, 2]), 4)
    path = self.directory / 'step-00000004' / 'state.json'
    path.write_text(text, encoding='utf-8')
    with self.assertRaisesRegex(
      errors.InputError,
      r'is damaged \(state\.json holds no state with a checksum\)\.',
    ):
      checkpoints.read(self.directory, 4, 'model')

  def test_a_checkpoint_needs_no_code_of_ours(self):
    self._save(self._make(a=[1, 2]), 7)
    folder = self.directory / 'step-00000007'
    arrays = safetensors.numpy.load_file(folder / 'arrays.safetensors')
    np.testing.assert_array_equal(arrays['model/a'], [7, 7])
    saved = json.loads((folder / 'state.json').read_text(encoding='utf-8'))
    self.assertEqual(saved['state'], {'step': 7, 'best': {'step': 1}})

  @parameterized.parameters('[1, 2]', 'a\\b', "a b'c", '*?')
  def test_any_path(self, name):
    self.directory = self.directory / name / 'saved'
    saved = self._make(a=[1, 2])
    self._save(saved, 1)
    self.variables[0].assign([0, 0])
    saved.restore_newest()
    np.testing.assert_array_equal(self.variables[0], [1, 1])

  @parameterized.parameters(
    *('bfloat16', 'float16', 'float32', 'float64', 'bool', 'uint32', 'int64')
  )
  def test_every_type_is_restored_bit_for_bit(self, dtype):
    values = tf.cast([[0.1, -3.0, 0.0], [2.0, 1e-3, 7.5]], dtype)
    variables = [tf.Variable(each) for each in (values, values[0, 1])]
    saved = checkpoints.Checkpoints(
      self.directory, {'model': dict(zip('ab', variables, strict=True))}
    )
    saved.save(1, {}, keep=1, best_step=1)
    for each in variables:
      each.assign(tf.zeros_like(each))
    saved.restore(1)
    np.testing.assert_array_equal(variables[0].numpy(), values.numpy())
    self.assertEqual(variables[1].numpy(), values[0, 1].numpy())
    other = {'a': tf.Variable(tf.zeros((2, 3), 'int8')), 'b': variables[1]}
    with self.assertRaisesRegex(
      errors.InputError, rf'a is {dtype} \(2, 3\), expected int8 \(2, 3\)'
    ):
      checkpoints.Checkpoints(self.directory, {'model': other}).restore(1)

  def test_averages_are_preferred_to_raw_weights(self):
    arrays = {'model/a': 1, 'model/b': 2, 'average/a': 3, 'optimizer/a': 4}
    self.assertEqual(checkpoints.trained(arrays, 'average'), {'a': 3, 'b': 2})
    self.assertEqual(checkpoints.trained(arrays, 'raw'), {'a': 1, 'b': 2})


class ReplicasTest(absltest.TestCase):
  def test_a_checkpoint_is_restored_to_every_replica(self):
    strategy = tf.distribute.MirroredStrategy(['/cpu:0', '/cpu:1'])
    with strategy.scope():
      layer = keras.layers.BatchNormalization(name='norm')
      layer.build((None, 3))
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    groups = {'model': checkpoints.by_path(layer.variables)}
    saved = checkpoints.Checkpoints(self.create_tempdir().full_path, groups)
    saved.save(1, {}, keep=1, best_step=1)
    for variable in groups['model'].values():
      for each in variable.values:
        each.assign(tf.zeros_like(each) - 1)
    saved.restore(1)
    expected = {'norm/moving_mean': [1, 2, 3], 'norm/beta': [0, 0, 0]}
    for path, value in expected.items():
      for replica in groups['model'][path].values:
        np.testing.assert_array_equal(replica, value, path)


def setUpModule():
  (cpu,) = tf.config.list_physical_devices('CPU')
  tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
  )


if __name__ == '__main__':
  absltest.main()
