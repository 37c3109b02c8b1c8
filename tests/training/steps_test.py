"""Training steps: parts, clipping and averages, beside plain mathematics."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tinygin.training import average
from tinygin.training import steps
from tinygin.training import strategies

BATCH = 8


def setUpModule():
  global STRATEGIES
  two = strategies.mirrored(logical_cpus=2)
  STRATEGIES = {1: tf.distribute.MirroredStrategy(['/cpu:0']), 2: two}


def _data():
  generator = np.random.default_rng(1)
  images = generator.normal(size=(6, BATCH, 4, 4, 3)).astype(np.float32)
  labels = np.eye(5, dtype=np.float32)[generator.integers(0, 5, (6, BATCH))]
  return images, labels


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


def _loss(labels, logits):
  return keras.losses.categorical_crossentropy(labels, logits, from_logits=True)


def _normalization(wanted, strategy):
  synchronized = strategy.num_replicas_in_sync > 1
  layer = keras.layers.BatchNormalization(synchronized=synchronized)
  return [layer] if wanted else []


class TrainingStepTest(parameterized.TestCase):
  def _train(
    self,
    replicas,
    count=6,
    decay=None,
    data=None,
    normalized=False,
    **changes,
  ):
    """Trains a linear network; returns its weights, what the loop returns.

    Between them stand the averages, if any.
    """
    strategy = STRATEGIES[replicas]
    keras.utils.set_random_seed(2)
    with strategy.scope():
      model = keras.Sequential(
        [
          keras.Input((4, 4, 3)),
          *_normalization(normalized, strategy),
          keras.layers.Flatten(),
          keras.layers.Dense(5, kernel_regularizer=keras.regularizers.L2(0.1)),
        ]
      )
      optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
      optimizer.build(model.trainable_variables)
    averaged = decay and average.WeightAverage(
      strategy, model.trainable_variables, decay
    )
    fields = {
      'accumulation': 1,
      'clip_norm': None,
      'jit_compile': False,
      **changes,
    }
    step = steps.TrainingStep(
      strategy=strategy,
      model=model,
      optimizer=optimizer,
      loss=_loss,
      batch_size=BATCH,
      weight_average=averaged or None,
      **fields,
    )
    iterator = _distributed(strategy, *(data or _data()))
    sums, finite, loss, norm = step.loop()(iterator, tf.constant(count))
    weights = [weight.numpy() for weight in model.trainable_variables]
    averages = averaged and [v.numpy() for v in averaged.variables.values()]
    outcome = sums.numpy(), int(finite), averages, float(loss), float(norm)
    return weights, *outcome

  @parameterized.product(replicas=[1, 2], clip_norm=[None, 0.1])
  def test_norm_is_that_of_the_whole_gradient(self, replicas, clip_norm):
    before, *_ = self._train(1, count=0)
    after, *_ = self._train(1, count=1)
    # At the rate of 0.5, the first step goes by half of the gradient.
    moves = [one - other for one, other in zip(before, after, strict=True)]
    expected = 2 * np.sqrt(sum(np.sum(np.square(each)) for each in moves))
    *_, norm = self._train(replicas, count=1, clip_norm=clip_norm)
    self.assertAlmostEqual(norm, expected, places=4)

  def _assert_equal(self, ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
      np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)

  @parameterized.parameters((1, 2), (1, 4), (2, 1), (2, 2))
  def test_parts_and_replicas_change_only_rounding(self, replicas, parts):
    plain = self._train(1)
    other = self._train(replicas, accumulation=parts)
    self._assert_equal(plain[0], other[0])
    np.testing.assert_allclose(plain[1], other[1], rtol=1e-4)

  def test_normalization_is_synchronised_within_each_part(self):
    # So that the replicas' parts, taken together, hold the same examples.
    halves = [0, 1, 4, 5, 2, 3, 6, 7]
    images, labels = _data()
    for accumulation, data in (
      (1, None),
      (2, (images[:, halves], labels[:, halves])),
    ):
      options = {'accumulation': accumulation, 'normalized': True}
      self._assert_equal(
        self._train(1, **options)[0], self._train(2, data=data, **options)[0]
      )

  @parameterized.parameters(1, 2)
  def test_clips_the_gradient_of_the_whole_batch(self, replicas):
    clip_norm = 0.05
    (kernel, bias), *_ = self._train(replicas, count=1, clip_norm=clip_norm)
    keras.utils.set_random_seed(2)
    dense = keras.layers.Dense(5)
    dense.build((None, 48))
    moved = np.sqrt(
      np.sum((kernel - dense.kernel.numpy()) ** 2) + np.sum(bias**2)
    )
    # One step of plain descent, at a rate of 0.5, by the clipped gradient.
    self.assertAlmostEqual(moved, 0.5 * clip_norm, places=5)

  @parameterized.parameters(1, 2)
  def test_averages_the_weights(self, replicas):
    decay = 0.3
    averages = self._train(replicas, decay=decay)[3]
    keras.utils.set_random_seed(2)
    dense = keras.layers.Dense(5)
    dense.build((None, 48))
    expected = [dense.kernel.numpy(), dense.bias.numpy()]
    for count in range(1, 7):
      weights = self._train(replicas, count=count)[0]
      share = min(decay, (1 + count) / (10 + count))
      expected = [
        share * mean + (1 - share) * weight
        for mean, weight in zip(expected, weights, strict=True)
      ]
    self._assert_equal(averages, expected)

  @parameterized.parameters(1, 2)
  def test_says_where_the_loss_stopped_being_finite(self, replicas):
    images, labels = _data()
    images[3, 2] = np.inf
    _, sums, finite_steps, _, loss, _ = self._train(
      replicas, data=(images, labels)
    )
    self.assertEqual(finite_steps, 3)
    self.assertTrue(np.isnan(loss))
    # What came before it counts, and nothing after.
    before = self._train(replicas, count=3)
    np.testing.assert_array_equal(sums, before[1])
    self.assertEqual(self._train(replicas)[2], 6)

  def test_xla_changes_only_rounding(self):
    self._assert_equal(self._train(1)[0], self._train(1, jit_compile=True)[0])


if __name__ == '__main__':
  absltest.main()
