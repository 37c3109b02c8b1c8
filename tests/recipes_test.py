"""Gin files of optimizers and plateaus do what their headers say."""

import pathlib

import keras
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tinygin.config import loading
from tinygin.config import paths
from tinygin.training import plateaus

ROOT = pathlib.Path(paths.project_root())
QUICKSTART = str(ROOT / 'gin/quickstart.gin')


def _build(name):
  files = [QUICKSTART, str(ROOT / 'gin' / name)]
  return loading.load(files, [], root='train').build()


class WeightDecayTest(parameterized.TestCase):
  @parameterized.parameters(
    ('sgd_onecycle', 5e-4, 0.1), ('rmsprop_steps', 1e-5, 1.0)
  )
  def test_is_that_of_the_recipe_that_adds_to_the_gradient(
    self, name, coupled, rate
  ):
    experiment = _build(f'optimizers/{name}.gin')
    left = {}
    for kind in ('decoupled', 'coupled'):
      optimizer = experiment.optimizer(learning_rate=rate)
      weight = keras.Variable(np.full((2, 2), 0.05, np.float32))
      optimizer.build([weight])
      if kind == 'coupled':
        optimizer.weight_decay = None
      for _ in range(300):
        added = coupled if kind == 'coupled' else 0.0
        optimizer.apply([added * weight.value], [weight])
      left[kind] = np.log(weight.numpy()[0, 0] / 0.05)
    self.assertLess(left['coupled'], -0.1)
    self.assertAlmostEqual(left['decoupled'] / left['coupled'], 1, delta=0.05)


class PlateauTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.experiment = _build('plateau.gin')

  def _rates(self, losses):
    """Returns the scale of the rate after each evaluation, up to the end."""
    reduction = self.experiment.reduce_on_plateau
    stopping = self.experiment.early_stopping
    states, rates = [plateaus.State(), plateaus.State()], []
    for loss in losses:
      rate = 0.002 * states[0].scale
      states[0] = reduction.after_evaluation(states[0], loss, rate)
      states[1] = stopping.after_evaluation(states[1], loss)
      rates.append(states[0].scale)
      if stopping.ends(states[1]):
        break
    return rates

  def test_without_an_improvement(self):
    # The first evaluation sets the mark.
    self.assertEqual(
      self._rates([1.0] * 30), [1.0] * 5 + [0.5] * 6 + [0.25] * 5
    )

  def test_goes_on_when_a_lower_rate_helps(self):
    losses = [1.0] * 6 + [0.9 - 0.05 * n for n in range(10)] + [0.4] * 30
    rates = self._rates(losses)
    self.assertLen(rates, 17 + 15)
    self.assertEqual(rates[:17], [1.0] * 5 + [0.5] * 12)

  @settings(max_examples=500, deadline=None, derandomize=True)
  @given(st.lists(st.integers(0, 200).map(lambda n: n / 100), max_size=80))
  def test_no_run_ends_before_a_lower_rate_was_tried(self, losses):
    rates = self._rates(losses + [min(losses, default=1.0)] * 20)
    # Halved within the last 15 evaluations, and not just at the end.
    self.assertLess(rates[-5], rates[-16])


if __name__ == '__main__':
  absltest.main()
