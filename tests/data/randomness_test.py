"""The order of examples and their random numbers."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tinygin.data import randomness


def _positions(first, count):
  return tf.range(first, first + count, dtype=tf.int64)


class ShuffledTest(absltest.TestCase):
  @settings(max_examples=20, deadline=None, derandomize=True)
  @given(st.integers(1, 200), st.integers(0, 2**31 - 1), st.integers(0, 10**6))
  def test_every_epoch_is_a_permutation(self, size, seed, epoch):
    indices = randomness.shuffled(_positions(epoch * size, size), size, seed)
    self.assertCountEqual(indices.numpy(), range(size))

  def test_epochs_and_seeds_differ(self):
    orders = [
      tuple(randomness.shuffled(_positions(epoch * 50, 50), 50, seed).numpy())
      for epoch in range(3)
      for seed in range(3)
    ]
    self.assertLen(set(orders), 9)

  def test_does_not_depend_on_how_positions_are_batched(self):
    whole = randomness.shuffled(_positions(0, 60), 25, 7)
    parts = [
      randomness.shuffled(_positions(p, 12), 25, 7) for p in range(0, 60, 12)
    ]
    np.testing.assert_array_equal(whole, tf.concat(parts, 0))


class RandomTest(absltest.TestCase):
  def test_a_position_gets_the_same_numbers_in_any_batch(self):
    whole = randomness.Generator(3, _positions(0, 10))
    part = randomness.Generator(3, _positions(4, 2))
    for _ in range(3):
      np.testing.assert_array_equal(
        whole.uniform(-1, 1)[4:6], part.uniform(-1, 1)
      )

  def test_several_draws_at_once(self):
    one, many = (randomness.Generator(3, _positions(0, 10)) for _ in 'ab')
    for draws in (3, 1, 5):
      np.testing.assert_array_equal(
        many.uniforms(draws, -1, 1), [one.uniform(-1, 1) for _ in range(draws)]
      )
    np.testing.assert_array_equal(many.uniform(0, 1), one.uniform(0, 1))

  def test_draws_are_uniform_and_uncorrelated(self):
    random = randomness.Generator(3, _positions(0, 20_000))
    draws = np.stack([random.uniform(2, 5).numpy() for _ in range(4)])
    self.assertTrue(np.all((draws >= 2) & (draws < 5)))
    for draw in draws:
      counts, _ = np.histogram(draw, bins=30, range=(2, 5))
      # 20,000 / 30 expected; six standard deviations.
      np.testing.assert_allclose(counts, 20_000 / 30, atol=6 * 26)
    correlations = np.corrcoef(draws) - np.eye(4)
    self.assertLess(np.abs(correlations).max(), 0.05)
    self.assertLess(abs(np.corrcoef(draws[0][1:], draws[0][:-1])[0, 1]), 0.05)

  def test_seeds_differ(self):
    first = randomness.Generator(1, _positions(0, 100)).uniform(0, 1).numpy()
    second = randomness.Generator(2, _positions(0, 100)).uniform(0, 1).numpy()
    self.assertLess(np.mean(first == second), 0.05)


if __name__ == '__main__':
  absltest.main()
