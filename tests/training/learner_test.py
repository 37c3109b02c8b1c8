"""The learner: training steps agree with plain mathematics; refused input."""

import functools
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tests.training import small_experiment
from tinygin.config import errors
from tinygin.models import layers
from tinygin.training import durations
from tinygin.training import learner as learners
from tinygin.training import schedules
from tinygin.training import strategies

BATCH = 8
CLASSES = small_experiment.CLASSES


def setUpModule():
  global STRATEGIES
  two = strategies.mirrored(logical_cpus=2)
  STRATEGIES = {1: tf.distribute.MirroredStrategy(['/cpu:0']), 2: two}


def _data():
  generator = np.random.default_rng(1)
  images = generator.normal(size=(6, BATCH, 4, 4, 3)).astype(np.float32)
  numbers = generator.integers(0, CLASSES, (6, BATCH))
  return images, np.eye(CLASSES, dtype=np.float32)[numbers]


def _distributed(strategy, images, labels):
  def pipeline(context):
    replicas = context.num_replicas_in_sync
    shape = (len(images) * replicas, BATCH // replicas)
    return tf.data.Dataset.from_tensor_slices(
      (
        images.reshape(shape + images.shape[2:]),
        labels.reshape(shape + labels.shape[2:]),
      )
    )

  return iter(strategy.distribute_datasets_from_function(pipeline))


def _linear(*first):
  return keras.Sequential(
    [
      keras.Input((4, 4, 3)),
      *(layer() for layer in first),
      keras.layers.Flatten(),
      keras.layers.Dense(
        CLASSES, kernel_regularizer=keras.regularizers.L2(0.1)
      ),
    ]
  )


def _normalization():
  """The project's batch normalization, which synchronizes by itself."""
  return layers.BatchNormalization(momentum=0.5, epsilon=1e-3)


def _build(replicas=1, **changes):
  experiment = small_experiment.make(
    STRATEGIES[replicas],
    **{
      'model': _linear,
      'optimizer': functools.partial(keras.optimizers.SGD, momentum=0.9),
      'learning_rate': schedules.Constant(rate=0.5),
      'batch_size': BATCH,
      **changes,
    },
  )
  timeline = durations.Timeline(examples=90, batch_size=BATCH, length=2)
  return learners.Learner(experiment, timeline, CLASSES)


def _train(replicas=1, count=6, data=None, **changes):
  """Takes steps; returns the learner and the outcome."""
  learner = _build(replicas, **changes)
  iterator = _distributed(STRATEGIES[replicas], *(data or _data()))
  return learner, learner.train(iterator, count)


def _weights(learner):
  return [weight.numpy() for weight in learner.model.trainable_variables]


class StepTest(parameterized.TestCase):
  def _assert_equal(self, ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
      np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)

  @parameterized.product(replicas=[1, 2], clip_norm=[None, 0.1])
  def test_norm_is_that_of_the_whole_gradient(self, replicas, clip_norm):
    before = _weights(_build())
    after = _weights(_train(count=1)[0])
    # The first step goes by half of the gradient, at a rate of 0.5.
    moves = [one - other for one, other in zip(before, after, strict=True)]
    expected = 2 * np.sqrt(sum(np.sum(np.square(each)) for each in moves))
    _, outcome = _train(replicas, count=1, clip_norm=clip_norm)
    self.assertAlmostEqual(outcome.gradient_norm, expected, places=4)

  @parameterized.parameters((1, 2), (1, 4), (2, 1), (2, 2))
  def test_parts_and_replicas_change_only_rounding(self, replicas, parts):
    plain, expected = _train()
    other, outcome = _train(replicas, accumulation=parts)
    self._assert_equal(_weights(plain), _weights(other))
    np.testing.assert_allclose(outcome.sums, expected.sums, rtol=1e-4)

  def test_normalization_is_synchronized_within_each_part(self):
    # With this order, the parts of both replicas together hold the same
    # examples as the parts of one.
    halves = [0, 1, 4, 5, 2, 3, 6, 7]
    images, labels = _data()
    model = functools.partial(_linear, _normalization)
    for accumulation, data in (
      (1, None),
      (2, (images[:, halves], labels[:, halves])),
    ):
      options = {'accumulation': accumulation, 'model': model}
      one, _ = _train(1, **options)
      two, _ = _train(2, data=data, **options)
      self._assert_equal(one.model.get_weights(), two.model.get_weights())

  @parameterized.parameters(1, 2)
  def test_clips_the_gradient_of_the_whole_batch(self, replicas):
    before = _weights(_build())
    after = _weights(_train(replicas, count=1, clip_norm=0.05)[0])
    moved = np.sqrt(
      sum(np.sum((a - b) ** 2) for a, b in zip(after, before, strict=True))
    )
    # One step of plain descent, at a rate of 0.5, by the clipped gradient.
    self.assertAlmostEqual(moved, 0.5 * 0.05, places=5)

  @parameterized.parameters(1, 2)
  def test_says_where_the_loss_stopped_being_finite(self, replicas):
    images, labels = _data()
    images[3, 2] = np.inf
    _, outcome = _train(replicas, data=(images, labels))
    self.assertEqual(outcome.steps, 3)
    self.assertTrue(np.isnan(outcome.loss))
    # Steps before it count; no step after it does.
    _, before = _train(replicas, count=3)
    np.testing.assert_array_equal(outcome.sums, before.sums)
    self.assertEqual(_train(replicas)[1].steps, 6)

  def test_learning_rate_is_that_of_the_last_step(self):
    def falling(timeline):
      del timeline
      return keras.optimizers.schedules.PiecewiseConstantDecay(
        [0, 1, 2], [0.4, 0.3, 0.2, 0.1]
      )

    for count, rate in ((1, 0.4), (2, 0.3), (3, 0.2), (4, 0.1)):
      _, outcome = _train(count=count, learning_rate=falling)
      self.assertAlmostEqual(outcome.learning_rate, rate, places=6)

  def test_xla_changes_only_rounding(self):
    plain, _ = _train()
    compiled, _ = _train(jit_compile=True)
    self._assert_equal(_weights(plain), _weights(compiled))


class WaitingTest(absltest.TestCase):
  """A clock that only data or only steps advance, by 2 seconds each."""

  def _waited(self, advanced_by):
    now = 0.0

    def advance(value):
      nonlocal now
      now += 2.0
      return value

    def advanced(name, tensor):
      if name != advanced_by:
        return tensor
      moved = tf.numpy_function(advance, [tensor], tensor.dtype)
      return tf.ensure_shape(moved, tensor.shape)

    def loss(labels, logits):
      return keras.losses.categorical_crossentropy(
        advanced('steps', labels), logits, from_logits=True
      )

    learner = _build(loss=loss)
    images, labels = _data()
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).map(
      lambda image, label: (advanced('data', image), label)
    )
    with mock.patch.object(learners.time, 'monotonic', lambda: now):
      learner.trace(iter(dataset))
      now = 0.0
      return learner.train(iter(dataset), 6).waited

  def test_steps_that_wait_for_data(self):
    self.assertEqual(self._waited('data'), 12.0)

  def test_steps_that_do_not(self):
    self.assertEqual(self._waited('steps'), 0.0)


class AverageTest(parameterized.TestCase):
  @parameterized.parameters(1, 2)
  def test_averages_weights_and_statistics(self, replicas):
    decay = 0.3
    options = {'model': functools.partial(_linear, _normalization)}
    averaged, _ = _train(replicas, average_decay=decay, **options)
    expected = {
      each.path: each.numpy() for each in _build(**options).model.weights
    }
    self.assertEqual(expected.keys(), averaged.average.variables.keys())
    for count in range(1, 7):
      learner, _ = _train(replicas, count=count, **options)
      share = min(decay, (1 + count) / (10 + count))
      for weight in learner.model.weights:
        mean = expected[weight.path]
        expected[weight.path] = share * mean + (1 - share) * weight.numpy()
    for path, value in averaged.average.variables.items():
      np.testing.assert_allclose(
        value.numpy(), expected[path], rtol=2e-4, atol=2e-5, err_msg=path
      )

  @parameterized.parameters(1, 2)
  def test_is_applied_for_a_while(self, replicas):
    learner, _ = _train(
      replicas,
      average_decay=0.5,
      model=functools.partial(_linear, keras.layers.BatchNormalization),
    )
    strategy = STRATEGIES[replicas]

    def values():
      """Replicas differ: Keras' own normalization does not synchronize."""
      return [
        part.numpy()
        for weight in learner.model.weights
        for part in strategy.experimental_local_results(weight.value)
      ]

    before = values()
    if replicas == 2:
      self.assertTrue(np.any(before[2] != before[3]) or len(before) == 12)
    averages = [each.numpy() for each in learner.average.variables.values()]
    with self.assertRaises(KeyError), learner.average.applied():
      applied = [weight.numpy() for weight in learner.model.weights]
      raise KeyError
    for one, other in zip(applied, averages, strict=True):
      np.testing.assert_array_equal(one, other)
    for one, other in zip(values(), before, strict=True):
      np.testing.assert_array_equal(one, other)


class LearnerTest(parameterized.TestCase):
  @parameterized.parameters(False, True)
  def test_determinism_and_tensor_float_32_are_as_bound(self, value):
    settings = tf.config.experimental
    with mock.patch.object(settings, 'enable_op_determinism') as enable:
      _build(tensor_float_32=value, deterministic=value)
    self.assertEqual(enable.called, value)
    self.assertIs(settings.tensor_float_32_execution_enabled(), value)

  @parameterized.parameters('SGD', 'Adam', 'AdamW', 'RMSprop', 'Lion', 'Lamb')
  def test_biases_and_normalization_do_not_decay(self, name):
    optimizer = getattr(keras.optimizers, name)
    learner = _build(
      model=functools.partial(_linear, _normalization),
      optimizer=functools.partial(optimizer, weight_decay=0.5),
      learning_rate=schedules.Constant(rate=0.1),
    )
    weights = learner.model.trainable_variables
    for weight in weights:
      weight.assign(tf.ones_like(weight))
    # Without a gradient, weights change by their decay alone.
    ((optimizer, _),) = learner._groups
    optimizer.apply([tf.zeros_like(weight) for weight in weights])
    left = {weight.path.split('/')[-1]: weight.numpy() for weight in weights}
    self.assertEqual(set(left), {'kernel', 'bias', 'gamma', 'beta'})
    for weight, value in left.items():
      expected = 0.95 if weight == 'kernel' else 1.0
      np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=weight)

  @parameterized.parameters(1, 2)
  def test_groups_have_rates_and_decays_of_their_own(self, replicas):
    def moves(**changes):
      """Returns how the first step moves each weight, and its start."""
      options = {
        'optimizer': functools.partial(keras.optimizers.SGD, weight_decay=0.2),
        'model': functools.partial(_linear, _normalization),
        **changes,
      }
      before = _build(replicas, **options)
      after, _ = _train(replicas, count=1, **options)
      return {
        one.path: (two.numpy() - one.numpy(), one.numpy())
        for one, two in zip(
          before.model.trainable_variables,
          after.model.trainable_variables,
          strict=True,
        )
      }

    plain = moves()
    grouped = moves(
      parameter_groups={
        '*/kernel': {'learning_rate_factor': 0.5, 'weight_decay_factor': 3.0},
        '*/gamma': {'learning_rate_factor': 0.0},
      }
    )
    factors = {'kernel': 0.5, 'gamma': 0.0, 'bias': 1.0, 'beta': 1.0}
    for path, (moved, start) in plain.items():
      name = path.rpartition('/')[2]
      expected = factors[name] * moved
      if name == 'kernel':  # At a rate of 0.25, and a decay of 0.6, not 0.2.
        expected -= 0.25 * (0.6 - 0.2) * start
      np.testing.assert_allclose(
        grouped[path][0], expected, rtol=1e-4, atol=1e-6, err_msg=path
      )

  def test_a_decay_factor_needs_a_decay(self):
    with self.assertRaisesRegex(
      errors.InputError, 'weight_decay_factor = 0.5, but SGD has no'
    ):
      _build(
        optimizer=keras.optimizers.SGD,
        model=functools.partial(_linear, _normalization),
        parameter_groups={'*/kernel': {'weight_decay_factor': 0.5}},
      )

  @parameterized.parameters(1, 2)
  def test_frozen_layers_change_nothing(self, replicas):
    options = {
      'model': functools.partial(_linear, _normalization),
      'trainable': ['*/kernel'],
      'average_decay': 0.5,
    }
    before = _build(replicas, **options).model.weights
    after = _train(replicas, **options)[0].model.weights
    for one, other in zip(before, after, strict=True):
      same = np.array_equal(one.numpy(), other.numpy())
      self.assertEqual(same, not one.path.endswith('/kernel'), one.path)

  @parameterized.parameters(
    ({'gradient_accumulation_steps': 2}, 'train.accumulation'),
    ({'global_clipnorm': 1.5}, 'train.clip_norm'),
    ({'clipvalue': 0.5}, 'train.clip_norm'),
    ({'loss_scale_factor': 2.0}, "train.precision = 'bfloat16'"),
    ({'use_ema': True}, 'train.average_decay'),
  )
  def test_options_that_keras_applies_per_replica_are_refused(
    self, options, instead
  ):
    ((name, value),) = options.items()
    with self.assertRaisesRegex(
      errors.InputError,
      rf'^Adam\.{name} must not be set: .*Received: {value}\. Use {instead}\.$',
    ):
      _build(optimizer=functools.partial(keras.optimizers.Adam, **options))

  def test_losses_are_not_scaled(self):
    def scaled(learning_rate):
      return keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(learning_rate)
      )

    with self.assertRaisesRegex(
      errors.InputError, "LossScaleOptimizer.*train.precision = 'bfloat16'"
    ):
      _build(optimizer=scaled)

  def test_the_loss_must_not_sum_over_the_batch(self):
    with self.assertRaisesRegex(
      errors.InputError, r'^train\.loss must .*shape \(\).*reduction = None\.$'
    ):
      _build(loss=lambda labels, logits: tf.ones(()))

  def test_the_network_must_fit_the_classes(self):
    experiment = small_experiment.make(STRATEGIES[1], model=_linear)
    timeline = durations.Timeline(examples=90, batch_size=BATCH, length=2)
    with self.assertRaisesRegex(
      errors.InputError, '6 outputs for 9 classes. Set CLASSES.'
    ):
      learners.Learner(experiment, timeline, 9)

  @parameterized.parameters(
    keras.Model, lambda: keras.Sequential([keras.layers.Dense(CLASSES)])
  )
  def test_the_outputs_of_the_network_must_be_known(self, network):
    with self.assertRaisesRegex(
      errors.InputError,
      r'^The network must be a functional .* Received: (Model|Sequential)\.$',
    ):
      _build(model=network)

  def test_the_network_must_end_in_logits(self):
    def network():
      model = _linear()
      return keras.Sequential([model, keras.layers.Softmax()])

    with self.assertRaisesRegex(errors.InputError, 'must end in logits'):
      _build(model=network)


if __name__ == '__main__':
  absltest.main()
