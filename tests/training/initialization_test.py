"""First weights from the checkpoints of a run."""

import os
import pathlib

import keras
import numpy as np
from absl.testing import absltest

from tinygin.config import errors
from tinygin.training import checkpoints
from tinygin.training import initialization

_HEAD = ['head_*']
_WHOLE = {'head': _HEAD, 'include_head': True}


def _network(classes):
  inputs = keras.Input((4,))
  x = keras.layers.Dense(3, name='body')(inputs)
  x = keras.layers.Dense(classes, name='head_dense')(x)
  return keras.Model(inputs, x, name='net')


def _values(model):
  return {v.path: v.numpy() for v in model.variables}


class InitializationTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.run = pathlib.Path(self.create_tempdir().full_path)
    self.model = _network(classes=5)
    saved = checkpoints.Checkpoints(
      self.run / 'checkpoints',
      {'model': checkpoints.by_path(self.model.variables)},
    )
    best = self.best = _values(self.model)
    saved.save(1, {'best': {'step': 1}}, keep=9, best_step=1)
    for variable in self.model.variables:
      variable.assign(best[variable.path] + 1)
    saved.save(2, {'best': {'step': 1}}, keep=9, best_step=1)

  def test_takes_the_best_not_the_last(self):
    initialization.initialize(self.model, str(self.run), **_WHOLE)
    for path, value in _values(self.model).items():
      np.testing.assert_array_equal(value, self.best[path])

  def test_another_number_of_classes_keeps_its_own_head(self):
    model = _network(classes=2)
    head = _values(model)['head_dense/kernel']
    initialization.initialize(
      model, str(self.run), head=_HEAD, include_head=False
    )
    values = _values(model)
    np.testing.assert_array_equal(
      values['body/kernel'], self.best['body/kernel']
    )
    np.testing.assert_array_equal(values['head_dense/kernel'], head)
    with self.assertRaisesRegex(
      errors.InputError,
      r'^The weights of train\.init_from, .*, do not fit net:(.|\n)*'
      r'head_dense/kernel is float32 \(3, 5\), expected float32 \(3, 2\)'
      r'(.|\n)*All but the head fits: set train.init_head = False.',
    ):
      initialization.initialize(model, str(self.run), **_WHOLE)

  def test_refuses_a_damaged_checkpoint(self):
    before = _values(self.model)
    path = self.run / 'checkpoints/step-00000001'
    os.truncate(path / 'arrays.safetensors', 10)
    with self.assertRaisesRegex(
      errors.InputError,
      f'The checkpoint {path} is damaged',
    ):
      initialization.initialize(self.model, str(self.run), **_WHOLE)
    for path, value in _values(self.model).items():
      np.testing.assert_array_equal(value, before[path])

  def test_says_that_a_folder_holds_no_run(self):
    folder = self.create_tempdir().full_path
    with self.assertRaises(errors.InputError) as caught:
      initialization.initialize(self.model, folder, **_WHOLE)
    self.assertEqual(
      str(caught.exception),
      "train.init_from must be a run's directory, the .safetensors file of a "
      'checkpoint, an exported .keras file, or an HDF5 file of weights saved '
      f'by Keras 2. Received: {folder}. {folder} holds no checkpoint; expected '
      'one in checkpoints/. Name the directory of a run that has saved one.',
    )

  def test_a_source_that_does_not_exist(self):
    with self.assertRaisesRegex(
      errors.InputError,
      r'^train\.init_from must .* Received: runs/none\. No such file or folder',
    ):
      initialization.initialize(self.model, 'runs/none', **_WHOLE)


if __name__ == '__main__':
  absltest.main()
