"""Plateaus: the rules of Keras' callbacks, as functions of a state."""

import keras
from absl.testing import absltest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tinygin.training import plateaus

_VALUES = st.lists(st.integers(0, 8).map(lambda n: n / 4), max_size=25)


def _rates_of_keras(values, **arguments):
  """Returns the learning rate after each epoch with Keras' callback."""
  model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
  model.compile(optimizer=keras.optimizers.SGD(1.0), loss='mse')
  callback = keras.callbacks.ReduceLROnPlateau(monitor='loss', **arguments)
  callback.set_model(model)
  callback.on_train_begin()
  rates = []
  for epoch, value in enumerate(values):
    callback.on_epoch_end(epoch, {'loss': value})
    rates.append(float(model.optimizer.learning_rate))
  return rates


class ReduceOnPlateauTest(absltest.TestCase):
  @settings(max_examples=60, deadline=None, derandomize=True)
  @given(
    _VALUES, st.integers(1, 4), st.integers(0, 3), st.sampled_from([0, 0.3])
  )
  def test_does_what_the_callback_of_keras_does(
    self, values, patience, cooldown, minimum_change
  ):
    rule = plateaus.ReduceOnPlateau(
      monitor='train_loss',
      factor=0.5,
      patience=patience,
      minimum_change=minimum_change,
      cooldown=cooldown,
      minimum_rate=0.1,
    )
    state, rates = plateaus.State(), []
    for value in values:
      state = rule.after_evaluation(state, value, learning_rate=state.scale)
      rates.append(state.scale)
    expected = _rates_of_keras(
      values,
      factor=0.5,
      patience=patience,
      min_delta=minimum_change,
      cooldown=cooldown,
      min_lr=0.1,
    )
    for ours, theirs in zip(rates, expected, strict=True):
      self.assertAlmostEqual(ours, theirs, places=6)

  def test_accuracy_is_to_rise(self):
    rule = plateaus.ReduceOnPlateau(
      monitor='validation_top1',
      factor=0.5,
      patience=1,
      minimum_change=0.0,
      cooldown=0,
      minimum_rate=0.0,
    )
    state = rule.after_evaluation(plateaus.State(), 0.5, 1.0)
    state = rule.after_evaluation(state, 0.6, 1.0)
    self.assertEqual(state.scale, 1.0)
    state = rule.after_evaluation(state, 0.6, 1.0)
    self.assertEqual(state.scale, 0.5)


class EarlyStoppingTest(absltest.TestCase):
  def test_waits_for_its_patience(self):
    rule = plateaus.EarlyStopping(
      monitor='train_loss', patience=2, minimum_change=0.1
    )
    state, ends = plateaus.State(), []
    for value in (1.0, 0.95, 0.8, 0.75, 0.71):
      state = rule.after_evaluation(state, value)
      ends.append(rule.ends(state))
    self.assertEqual(ends, [False, False, False, False, True])


if __name__ == '__main__':
  absltest.main()
