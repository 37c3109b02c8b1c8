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
    weights = (generator.uniform(size=64) < 0.7).astype(np.float32)
    means = metrics.mean(metrics.sums(losses, labels, logits, weights).numpy())
    ranks = np.argmax(np.argsort(-logits, axis=1) == labels[:, None], axis=1)
    counted = weights == 1
    self.assertEqual(means.count, counted.sum())
    self.assertAlmostEqual(means.top1, np.mean(ranks[counted] == 0), places=6)
    self.assertAlmostEqual(means.top5, np.mean(ranks[counted] < 5), places=6)
    self.assertAlmostEqual(means.loss, losses[counted].mean(), places=5)

  def test_a_network_without_an_opinion_is_not_right(self):
    for logits in (np.zeros((4, 8)), np.full((4, 8), np.nan)):
      totals = metrics.sums(
        np.ones(4, np.float32),
        np.arange(4),
        logits.astype(np.float32),
        np.ones(4, np.float32),
      ).numpy()
      self.assertEqual(list(totals[1:3]), [0, 0])


if __name__ == '__main__':
  absltest.main()
