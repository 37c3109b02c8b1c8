"""Metrics as sums."""

import numpy as np
from absl.testing import absltest

from tinygin.training import metrics


class MetricsTest(absltest.TestCase):
  def test_agrees_with_sorting(self):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(64, 12)).astype(np.float32)
    labels = generator.integers(0, 12, 64)
    losses = generator.uniform(size=64).astype(np.float32)
    means = metrics.mean(metrics.sums(losses, labels, logits).numpy())
    ranks = np.argmax(np.argsort(-logits, axis=1) == labels[:, None], axis=1)
    self.assertEqual(means.count, 64)
    self.assertAlmostEqual(means.top1, np.mean(ranks == 0), places=6)
    self.assertAlmostEqual(means.top5, np.mean(ranks < 5), places=6)
    self.assertAlmostEqual(means.loss, losses.mean(), places=5)
    outcomes = metrics.outcomes(losses, labels, logits).numpy()
    odds = np.exp(logits)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    expected = [losses, ranks + 1, logits.argmax(1), probabilities.max(1)]
    np.testing.assert_allclose(outcomes, np.stack(expected, axis=1), rtol=1e-5)

  def test_ties_are_ranked_as_argmax_does(self):
    generator = np.random.default_rng(0)
    logits = generator.integers(0, 3, (500, 8)).astype(np.float32)
    labels = generator.integers(0, 8, 500)
    # A stable sort keeps equal logits in the order of their classes.
    order = np.argsort(-logits, axis=1, kind='stable')
    ranks = 1 + np.argmax(order == labels[:, None], axis=1)
    outcomes = metrics.outcomes(
      np.ones(500, np.float32), labels, logits
    ).numpy()
    np.testing.assert_array_equal(outcomes[:, 1], ranks)
    np.testing.assert_array_equal(outcomes[:, 2] == labels, outcomes[:, 1] == 1)

  def test_a_diverged_network_is_never_right(self):
    logits = np.full((4, 8), np.nan, np.float32)
    totals = metrics.sums(np.ones(4, np.float32), np.arange(4), logits).numpy()
    self.assertEqual(list(totals[1:3]), [0, 0])


if __name__ == '__main__':
  absltest.main()
