"""Batches: the same examples, whatever the number of replicas."""

from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tinygin.config import errors
from tinygin.data import augmentation
from tinygin.data import batches
from tinygin.data import mixing
from tinygin.data import source
from tinygin.training import strategies

AUGMENTATION = [
  augmentation.HorizontalFlip(probability=0.5),
  augmentation.RandomAffine(rotation=45.0, shift=0.1, zoom=0.1, edge='nearest'),
  mixing.Mixup(probability=0.5, concentration=0.3),
]


def _split(size, classes=3):
  images = np.arange(size * 12, dtype=np.int64).reshape(size, 2, 2, 3) % 251
  return source.Split(
    name='train',
    images=tf.constant(images, tf.uint8),
    labels=tf.constant(np.arange(size) % classes, tf.int64),
    class_names=tuple('abc'[:classes]),
  )


def _local(strategy, batch):
  """Joins the replicas' parts of a batch."""
  return [
    np.concatenate(
      [part.numpy() for part in strategy.experimental_local_results(b)]
    )
    for b in batch
  ]


def setUpModule():
  global ONE, TWO
  TWO = strategies.mirrored(logical_cpus=2)
  ONE = tf.distribute.MirroredStrategy(['/cpu:0'])


class TrainingTest(parameterized.TestCase):
  def _take(self, strategy, count, first_step=0, batch_size=4):
    dataset = batches.training(
      _split(10),
      strategy,
      batch_size=batch_size,
      first_step=first_step,
      seed=5,
      augmentation=AUGMENTATION,
      preprocessing=lambda images: images / 255,
    )
    iterator = iter(dataset)
    return [_local(strategy, next(iterator)) for _ in range(count)]

  def test_two_replicas_see_what_one_sees(self):
    for one, two in zip(self._take(ONE, 6), self._take(TWO, 6), strict=True):
      np.testing.assert_array_equal(one[0], two[0])
      np.testing.assert_array_equal(one[1], two[1])

  def test_starting_at_a_step_equals_reaching_it(self):
    whole = self._take(TWO, 7)
    resumed = self._take(TWO, 4, first_step=3)
    for ours, theirs in zip(whole[3:], resumed, strict=True):
      np.testing.assert_array_equal(ours[0], theirs[0])

  def test_chunks_do_not_matter(self):
    for strategy in (ONE, TWO):
      whole = self._take(strategy, 4, first_step=2, batch_size=24)
      for images in (1, 3, 6):  # Of 12 values.
        with mock.patch.object(batches, '_CHUNK_BYTES', images * 48):
          parts = self._take(strategy, 4, first_step=2, batch_size=24)
        for ours, theirs in zip(whole, parts, strict=True):
          np.testing.assert_array_equal(ours[0], theirs[0])
          np.testing.assert_array_equal(ours[1], theirs[1])

  @parameterized.parameters(
    (32, 42.0, 32),
    (256, 42.0, 32),
    (256, 3.5, 4),
    (62, 42.0, 62),
    (256, 0.1, 2),
    (33, 4.0, 33),
    (1, 4.0, 1),
    (96, 7.0, 8),
  )
  def test_chunks_keep_pairs_together(self, batch, images, chunk):
    self.assertEqual(batches._chunk(batch, images), chunk)

  @parameterized.parameters((2**20, 8), (2**28, 4), (2**30, 1), (2**33, 1))
  def test_batches_that_are_ready_have_bounded_memory(self, size, steps):
    self.assertEqual(batches._prefetched_steps(size), steps)

  def test_an_epoch_holds_every_example_once(self):
    taken = self._take(ONE, 5)  # Two epochs of ten examples.
    labels = np.concatenate([labels for _, labels in taken])
    # Mixed labels, too, add up to those of the examples.
    np.testing.assert_allclose(labels[:10].sum(0), [4, 3, 3], rtol=1e-6)
    np.testing.assert_allclose(labels[10:].sum(0), [4, 3, 3], rtol=1e-6)

  def test_an_input_error_is_raised_as_it_is(self):
    with self.assertRaises(errors.InputError) as caught:
      self._take(TWO, 1, batch_size=6)
    self.assertEqual(
      str(caught.exception),
      "Mixing pairs requires an even number of images in each replica's batch. "
      'Received: 3. Change train.batch_size.',
    )


class FirstTest(absltest.TestCase):
  def test_shows_what_the_run_sees_first(self):
    split = _split(10)
    images, labels = batches.first(
      split, seed=5, augmentation=AUGMENTATION, count=6
    )
    self.assertEqual((images.dtype, images.shape), (tf.uint8, (6, 2, 2, 3)))
    dataset = batches.training(
      split,
      ONE,
      batch_size=6,
      first_step=0,
      seed=5,
      augmentation=AUGMENTATION,
      preprocessing=tf.identity,
    )
    expected = next(iter(dataset))
    np.testing.assert_allclose(images, expected[0], atol=0.51)
    np.testing.assert_array_equal(labels, expected[1])


class EvaluationTest(parameterized.TestCase):
  @parameterized.product(size=[1, 7, 8, 9], replicas=[1, 2], batch_size=[4, 3])
  def test_holds_every_example_in_order(self, size, replicas, batch_size):
    strategy = ONE if replicas == 1 else TWO
    split = _split(size)
    dataset, steps = batches.evaluation(
      split, strategy, batch_size=batch_size, preprocessing=tf.identity
    )
    taken = [_local(strategy, batch) for batch in dataset]
    self.assertLen(taken, steps)
    images, labels = (
      np.concatenate(parts) for parts in zip(*taken, strict=True)
    )
    np.testing.assert_array_equal(images[:size], split.images)
    np.testing.assert_array_equal(labels[:size], split.labels)
    self.assertLess(len(images), size + batch_size + replicas)

  def test_chunks_do_not_matter(self):
    split = _split(30)
    with mock.patch.object(batches, '_CHUNK_BYTES', 2 * 48):
      dataset, steps = batches.evaluation(
        split, TWO, batch_size=16, preprocessing=tf.identity
      )
      taken = [_local(TWO, batch) for batch in dataset]
    self.assertLen(taken, steps)
    images, labels = (
      np.concatenate(parts) for parts in zip(*taken, strict=True)
    )
    np.testing.assert_array_equal(images[:30], split.images)
    np.testing.assert_array_equal(labels[:30], split.labels)


if __name__ == '__main__':
  absltest.main()
