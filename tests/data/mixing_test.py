"""Mixing: labels match the mixed images, and pairs keep their sums."""

import math

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tinygin.config import errors
from tinygin.data import mixing
from tinygin.data import randomness

MIXERS = {
  'mixup': mixing.Mixup(probability=0.8, concentration=0.3),
  'cutmix': mixing.CutMix(probability=0.8, concentration=1.0),
}
SIZE = 8


def _random(seed, size=SIZE):
  return randomness.Generator(seed, tf.range(size, dtype=tf.int64))


def _plain_images():
  """Returns images of one color each, with labels of different classes."""
  values = 10.0 * np.arange(1, SIZE + 1)
  images = np.broadcast_to(values[:, None, None, None], (SIZE, 9, 7, 3))
  return tf.constant(images, tf.float32), tf.eye(SIZE)


class MixingTest(parameterized.TestCase):
  @parameterized.named_parameters(MIXERS.items())
  def test_labels_follow_the_images(self, mix):
    images, labels = _plain_images()
    values = images[:, 0, 0, 0].numpy()
    seen = []

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(st.integers(0, 2**31 - 1))
    def check(seed):
      mixed, weights = mix(images, labels, _random(seed))
      np.testing.assert_allclose(np.sum(weights, 1), np.ones(SIZE), 1e-6)
      np.testing.assert_allclose(
        np.mean(mixed, (1, 2, 3)), weights.numpy() @ values, rtol=1e-5
      )
      for position, row in enumerate(weights.numpy()):
        self.assertContainsSubset(np.flatnonzero(row), {position, position ^ 1})
      seen.extend(np.diag(weights))

    check()
    self.assertAlmostEqual(np.mean(np.float32(seen) == 1), 0.2, delta=0.15)
    self.assertGreater(len(set(seen)), 20)

  @parameterized.named_parameters(MIXERS.items())
  def test_a_pair_keeps_its_sum(self, mix):
    images, labels = _plain_images()
    for before, after in zip(
      (images, labels), mix(images, labels, _random(5)), strict=True
    ):
      np.testing.assert_allclose(
        before[::2] + before[1::2], after[::2] + after[1::2], rtol=1e-5
      )

  def test_cutmix_exchanges_one_box(self):
    images, labels = _plain_images()
    mix = mixing.CutMix(probability=1.0, concentration=1.0)
    mixed, _ = mix(images, labels, _random(2))
    for position in range(SIZE):
      foreign = mixed[position, :, :, 0] == images[position ^ 1, 0, 0, 0]
      own = mixed[position, :, :, 0] == images[position, 0, 0, 0]
      np.testing.assert_array_equal(foreign, ~own.numpy())
      rows, columns = np.nonzero(foreign)
      if len(rows):
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        self.assertLen(rows, height * width)

  @parameterized.named_parameters(MIXERS.items())
  def test_an_odd_batch_is_refused(self, mix):
    images, labels = _plain_images()
    with self.assertRaises(errors.InputError) as caught:
      mix(images[:5], labels[:5], _random(0, size=5))
    self.assertEqual(
      str(caught.exception),
      "Mixing pairs requires an even number of images in each replica's batch. "
      'Received: 5. Change train.batch_size.',
    )


class SymmetricBetaTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.5, lambda x: 2 / math.pi * np.arcsin(np.sqrt(x))),
    (1.0, lambda x: x),
    (2.0, lambda x: x**2 * (3 - 2 * x)),
    (3.0, lambda x: x**3 * (10 - 15 * x + 6 * x**2)),
  )
  def test_has_the_distribution(self, concentration, cumulative):
    size = 20_000
    draws = np.sort(mixing.symmetric_beta(_random(7, size), concentration))
    # Kolmogorov's statistic; above 2 once in 1,500 seeds.
    distance = np.abs(cumulative(draws) - (np.arange(size) + 0.5) / size)
    self.assertLess(distance.max() * math.sqrt(size), 2)

  @parameterized.parameters(0.01, 0.2, 100.0)
  def test_variance(self, concentration):
    draws = mixing.symmetric_beta(_random(7, 20_000), concentration).numpy()
    self.assertTrue(np.all((draws >= 0) & (draws <= 1)))
    np.testing.assert_allclose(np.mean(draws), 0.5, atol=0.02)
    np.testing.assert_allclose(
      np.var(draws), 1 / (4 * (2 * concentration + 1)), rtol=0.05
    )


if __name__ == '__main__':
  absltest.main()
