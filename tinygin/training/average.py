"""Exponential moving average of the weights."""

import contextlib
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

import keras
import tensorflow as tf


class WeightAverage:
  """Averages of a network's weights, updated after every step.

  Early on the decay is min(decay, (1 + step) / (10 + step)), so that the
  average soon forgets where the weights started (as in
  `tf.train.ExponentialMovingAverage`). Moving statistics of normalisation are
  averages already and are taken as they are.
  """

  def __init__(
    self,
    strategy: tf.distribute.Strategy,
    weights: Sequence[keras.Variable],
    decay: float,
  ):
    """Starts the averages at the weights.

    Args:
      strategy: in whose scope the weights were made.
      weights: the trainable variables.
      decay: share of the average that stays at each step.
    """
    self._strategy = strategy
    self._decay = decay
    self._weights = [weight.value for weight in weights]
    with strategy.scope():
      self._averages = [
        tf.Variable(
          weight,
          trainable=False,
          aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        for weight in self._weights
      ]
    self._paths = [weight.path for weight in weights]

  @property
  def variables(self) -> Mapping[str, tf.Variable]:
    """The averages by the paths of their weights."""
    return dict(zip(self._paths, self._averages, strict=True))

  def restart(self) -> None:
    """Starts anew at what the weights are now."""
    _assign(self._averages, [weight.numpy() for weight in self._weights])

  def update(self, step: tf.Tensor) -> None:
    """Moves the averages; called outside of the replicas' context.

    Args:
      step: number of steps done, an integer scalar.
    """
    step = tf.cast(step, tf.float32)
    decay = tf.minimum(self._decay, (1 + step) / (10 + step))

    def move(average: tf.Variable, weight: tf.Tensor) -> None:
      average.assign_sub((1 - decay) * (average - weight))

    for average, weight in zip(self._averages, self._weights, strict=True):
      self._strategy.extended.update(average, move, args=(weight,))

  @contextlib.contextmanager
  def applied(self) -> Iterator[None]:
    """Puts the averages in place of the weights."""
    weights = [weight.numpy() for weight in self._weights]
    _assign(self._weights, [average.numpy() for average in self._averages])
    try:
      yield
    finally:
      _assign(self._weights, weights)


def _assign(variables: Sequence[tf.Variable], values: Sequence) -> None:
  for variable, value in zip(variables, values, strict=True):
    variable.assign(value)
