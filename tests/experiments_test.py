"""Tests that every experiment loads, builds its network and takes a step."""

import json
import pathlib
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tinygin.config import loading
from tinygin.config import paths
from tinygin.data import source
from tinygin.training import durations
from tinygin.training import trainer

ROOT = pathlib.Path(paths.project_root())
FILES = [ROOT / 'gin/quickstart.gin', *(ROOT / 'gin/experiments').glob('*.gin')]
OPTIMIZERS = sorted((ROOT / 'gin/optimizers').glob('*.gin'))

# Parameters of Keras' classes whose defaults are no hyperparameters of ours:
# the structure of a layer, initial values of zeros or ones, and options whose
# work the trainer does itself.
_STRUCTURE = {
  *('autocast', 'axis', 'center', 'depth_multiplier', 'dilation_rate'),
  *('groups', 'renorm', 'renorm_momentum', 'scale', 'trainable'),
  *('beta_initializer', 'bias_initializer', 'gamma_initializer'),
  *('moving_mean_initializer', 'moving_variance_initializer'),
  *('ema_momentum', 'use_ema'),
}


def _load(path, *bindings):
  if 'stanford.source' in path.read_text():
    bindings += ("stanford.source = 'absent.zip'",)
  return loading.load([str(path)], bindings, root='train')


def _taken_from_code(configuration):
  """Returns the records of hyperparameters that have Keras' defaults."""
  return [
    each
    for each in json.loads(configuration.json())
    if each['source'] == 'default'
    and each['value'] is not None
    and each['parameter'] not in _STRUCTURE
  ]


class ExperimentsTest(parameterized.TestCase):
  @parameterized.named_parameters((path.stem, path) for path in FILES)
  def test_takes_a_step(self, path):
    bindings = ["train.log_every = '1 step'", 'EPOCHS = 1']
    configuration = _load(path, *bindings)
    experiment = configuration.build()

    def read(directory, split, memory_limit_mib):
      del directory, memory_limit_mib
      generator = np.random.default_rng(0)
      classes = experiment.dataset.classes
      size = experiment.batch_size
      images = generator.integers(0, 256, (size, 64, 64, 3))
      return source.Split(
        name=split,
        images=tf.constant(images, tf.uint8),
        labels=tf.constant(generator.integers(0, classes, size), tf.int64),
        class_names=tuple(map(str, range(classes))),
      )

    directory = pathlib.Path(self.create_tempdir().full_path)
    with mock.patch.object(source, 'prepare', lambda *_, **__: 'none'):
      with mock.patch.object(source, 'read', read):
        result = trainer.train(
          experiment, directory, may_build=False, describe=lambda step: None
        )
    self.assertEqual(result['step'], 1)
    self.assertEqual(result['validation']['count'], experiment.batch_size)
    self.assertTrue(np.isfinite(result['validation']['loss']))

  @parameterized.named_parameters((path.stem, path) for path in FILES)
  def test_takes_no_hyperparameter_from_the_code(self, path):
    self.assertEmpty(_taken_from_code(_load(path)))

  def test_sweeps_of_them_are_right(self):
    files = list(ROOT.glob('gin/sweeps/*.gin'))
    self.assertNotEmpty(files)
    for path in files:
      configuration = loading.load([str(path)], [], root='sweep')
      configuration.build().check(configuration.place)

  @parameterized.named_parameters((path.stem, path) for path in OPTIMIZERS)
  def test_composes_with_any_optimizer(self, path):
    quickstart = ROOT / 'gin/quickstart.gin'
    files = [str(quickstart)]
    if path.name not in quickstart.read_text():
      files.append(str(path))
    configuration = loading.load(files, [], root='train')
    self.assertEmpty(_taken_from_code(configuration))
    experiment = configuration.build()
    timeline = durations.Timeline(examples=64, batch_size=32, length=9)
    variable = keras.Variable(np.ones((3, 2)))
    optimizer = experiment.optimizer(
      learning_rate=experiment.learning_rate(timeline)
    )
    for _ in range(3):
      optimizer.apply([tf.ones((3, 2))], [variable])
    self.assertEqual(type(optimizer).__name__.lower(), path.stem.split('_')[0])
    self.assertTrue(np.all(variable.numpy() < 1))

  @parameterized.named_parameters((path.stem, path) for path in FILES)
  def test_composes_with_a_plateau(self, path):
    files = [str(path), str(ROOT / 'gin/plateau.gin')]
    bindings = ["stanford.source = 'absent.zip'"] * ('mini' in path.stem)
    experiment = loading.load(files, bindings, root='train').build()
    self.assertEqual(experiment.reduce_on_plateau.patience, 5)
    self.assertEqual(experiment.early_stopping.monitor, 'train_loss')

  def test_headers_say_what_to_expect(self):
    for path in FILES:
      header = path.read_text().split('\n\n')[0]
      for part in (
        f'--gin_file={path.relative_to(ROOT)}',
        'Cost:',
        'Expected validation top-1:',
        *(['Source:'] if path.parent.name == 'experiments' else []),
      ):
        self.assertIn(part, header, path)

  def test_experiments_override_little(self):
    for path in FILES:
      lines = path.read_text().splitlines()
      statements = [
        line
        for line in lines
        if line and not line.startswith(('#', ' ', 'include', 'import', ')'))
      ]
      self.assertLessEqual(len(statements), 10, path)


if __name__ == '__main__':
  absltest.main()
