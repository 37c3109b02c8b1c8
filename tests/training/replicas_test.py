"""Replicas always agree, draw their own dropout and need few all-reduces."""

import collections
import dataclasses
import functools
import pathlib
import signal
from unittest import mock

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tests.training import small_experiment
from tinygin.config import errors
from tinygin.config import loading
from tinygin.config import paths
from tinygin.models import layers
from tinygin.training import durations
from tinygin.training import evaluation
from tinygin.training import learner as learners
from tinygin.training import schedules
from tinygin.training import strategies
from tinygin.training import trainer

_GIN = pathlib.Path(paths.project_root()) / 'gin'


def setUpModule():
  global TWO
  TWO = strategies.mirrored(logical_cpus=2)


def _own():
  """The product's batch normalization, with statistics for each replica."""
  return layers.BatchNormalization(
    momentum=0.9, epsilon=1e-3, synchronized=False
  )


def _train(directory, **changes):
  experiment = small_experiment.make(TWO, **changes)
  with small_experiment.patched():
    result = trainer.train(
      experiment, directory, may_build=False, describe=lambda step: None
    )
  return experiment, result


def _stop(directory, after_loops, **changes):
  """Trains, and sends itself SIGTERM after some calls of the loop."""
  train, loops = learners.Learner.train, []

  def trained(learner, iterator, steps):
    loops.append(steps)
    if len(loops) == after_loops:
      signal.raise_signal(signal.SIGTERM)
    return train(learner, iterator, steps)

  with mock.patch.object(learners.Learner, 'train', trained):
    try:
      _train(directory, **changes)
    except errors.StoppedError:
      return
  raise AssertionError('The run was not stopped.')


def _arrays(directory):
  """Returns the arrays of each checkpoint."""
  return {
    path.parent.name: safetensors.numpy.load_file(path)
    for path in directory.glob('checkpoints/*/arrays.safetensors')
  }


def _repeated(images, labels):
  """Returns an endless stream of one batch."""

  def pipeline(context):
    size = len(images) // context.num_replicas_in_sync
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    return dataset.batch(size, drop_remainder=True).repeat()

  return iter(TWO.distribute_datasets_from_function(pipeline))


class ExactTest(parameterized.TestCase):
  def _directory(self):
    return pathlib.Path(self.create_tempdir().full_path)

  @parameterized.parameters(
    (keras.layers.BatchNormalization, None),
    (keras.layers.BatchNormalization, 0.9),
    (_own, None),
    (small_experiment.normalization, 0.9),
  )
  def test_resumes_and_evaluates_exactly(self, normalization, average_decay):
    changes = {
      'model': functools.partial(
        small_experiment.network, normalization=normalization
      ),
      'average_decay': average_decay,
    }
    whole, stopped = self._directory(), self._directory()
    experiment, result = _train(whole, **changes)
    for loops in (2, 3):
      _stop(stopped, loops, **changes)
    _train(stopped, **changes)
    expected, received = _arrays(whole), _arrays(stopped)
    self.assertEqual(expected.keys(), received.keys())
    for step, arrays in expected.items():
      self.assertEqual(arrays.keys(), received[step].keys())
      for name, array in arrays.items():
        np.testing.assert_array_equal(array, received[step][name], name)

    with small_experiment.patched():
      evaluated = evaluation.RunEvaluation(
        experiment,
        whole,
        'validation',
        weights='average',
        average_flips=False,
      ).evaluate('latest')
    for name, value in result['validation'].items():
      self.assertEqual(evaluated[name], value, name)

  def test_no_variable_differs_between_replicas(self):
    kept = []
    variables = learners.Learner.variables

    def keep(learner):
      kept.append(variables(learner))
      return kept[-1]

    def model():
      x = inputs = keras.Input((8, 8, 3))
      for layer in (
        keras.layers.BatchNormalization(),
        _own(),
        small_experiment.normalization(),
        keras.layers.Dropout(0.5),
        layers.Dropout(0.5),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(small_experiment.CLASSES),
      ):
        x = layer(x)
      return keras.Model(inputs, x)

    with mock.patch.object(learners.Learner, 'variables', keep):
      _train(self._directory(), model=model, average_decay=0.5)
    for group, members in kept[0].items():
      self.assertNotEmpty(members)
      for path, variable in members.items():
        first, second = (each.numpy() for each in variable.values)
        np.testing.assert_array_equal(first, second, f'{group} {path}')


class StepTest(parameterized.TestCase):
  def _learner(self, experiment):
    timeline = durations.Timeline(examples=64, batch_size=8, length=2)
    experiment = dataclasses.replace(experiment, strategy=TWO)
    classes = getattr(experiment.dataset, 'classes', small_experiment.CLASSES)
    return learners.Learner(experiment, timeline, classes)

  def test_moving_statistics_are_the_mean_of_the_replicas(self):
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 3))
    images[:4] += 5
    labels = np.eye(small_experiment.CLASSES)[:1].repeat(8, axis=0)
    images, labels = (each.astype(np.float32) for each in (images, labels))

    def model():
      inputs = keras.Input((8, 8, 3))
      x = keras.layers.BatchNormalization(momentum=0.0, name='norm')(inputs)
      x = keras.layers.Flatten()(x)
      x = keras.layers.Dense(small_experiment.CLASSES)(x)
      return keras.Model(inputs, x)

    experiment = small_experiment.make(TWO, model=model)
    learner = self._learner(experiment)
    learner.train(_repeated(images, labels), 1)
    norm = learner.model.get_layer('norm')
    halves = images.reshape(2, -1, 3)
    np.testing.assert_allclose(
      norm.moving_mean.numpy(), halves.mean(axis=(0, 1)), rtol=1e-5
    )
    np.testing.assert_allclose(
      norm.moving_variance.numpy(), halves.var(axis=1).mean(axis=0), rtol=1e-5
    )

  @parameterized.parameters(keras.layers.Dropout, layers.Dropout)
  def test_replicas_draw_different_dropout(self, dropout):
    # Without momentum, a weight stays as it was where its input was dropped in
    # every example. Both replicas have one example, which is the same.
    images = np.ones((2, 8, 8, 3), np.float32)
    labels = np.eye(small_experiment.CLASSES, dtype=np.float32)[:1]

    def model():
      inputs = keras.Input((8, 8, 3))
      x = keras.layers.Flatten()(inputs)
      x = dropout(0.5, name='drop')(x)
      x = keras.layers.Dense(small_experiment.CLASSES, name='dense')(x)
      return keras.Model(inputs, x)

    experiment = small_experiment.make(
      TWO,
      model=model,
      batch_size=2,
      optimizer=keras.optimizers.SGD,
      learning_rate=schedules.Constant(rate=0.1),
    )
    learner = self._learner(experiment)
    kernel = learner.model.get_layer('dense').kernel
    before = kernel.numpy()
    learner.train(_repeated(images, labels.repeat(2, axis=0)), 1)
    moved = np.mean(np.any(kernel.numpy() != before, axis=1))
    self.assertBetween(moved, 0.65, 0.85)  # Of equal masks, half.

  def test_all_reduces_of_a_step_of_the_default_network(self):
    files = [_GIN / 'quickstart.gin', _GIN / 'models/residual.gin']
    experiment = loading.load(
      list(map(str, files)), ['train.accumulation = 1'], root='train'
    ).build()
    learner = self._learner(experiment)
    images = np.zeros((8, *learner.model.input_shape[1:]), np.float32)
    labels = np.zeros((8, learner.model.output_shape[1]), np.float32)
    learner.trace(_repeated(images, labels))
    (function,) = learner._loop._list_all_concrete_functions()
    graph = function.graph.as_graph_def()
    nodes = [*graph.node]
    for each in graph.library.function:
      nodes += each.node_def
    found = collections.Counter(
      node.op for node in nodes if 'Collective' in node.op
    )
    normalizations = sum(
      each.path.endswith('/moving_mean') for each in learner.model.variables
    )
    self.assertGreater(normalizations, 20)
    # Each replica has an operation for each all-reduce.
    self.assertEqual(
      found, {'CollectiveReduceV2': 2 * (1 + 2 * normalizations)}
    )


if __name__ == '__main__':
  absltest.main()
