"""Exponential moving average of a network's variables."""

import contextlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping

import keras
import tensorflow as tf

from tinygin.training import checkpoints


class WeightAverage:
  """Averages of a network's variables, updated after every step.

  The decay starts at min(decay, (1 + step) / (10 + step)), so that the initial
  weights are soon forgotten (as in `tf.train.ExponentialMovingAverage`).

  Attributes:
    variables: the averages by the path of the averaged variable.
  """

  def __init__(
    self, strategy: tf.distribute.Strategy, model: keras.Model, decay: float
  ):
    """Starts the averages at the present values.

    Args:
      strategy: the strategy in whose scope the model was built.
      model: the network.
      decay: fraction of the average that each step keeps.
    """
    self._strategy = strategy
    self._decay = decay
    # Trainable weights and the moving statistics of normalization: statistics
    # of the last weights alone would not fit the averaged weights.
    self._averaged = checkpoints.by_path(
      weight for weight in model.weights if weight.value.dtype.is_floating
    )
    with strategy.scope():
      self.variables: Mapping[str, tf.Variable] = {
        path: tf.Variable(
          variable,
          trainable=False,
          aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        for path, variable in self._averaged.items()
      }

  def restart(self) -> None:
    """Sets the averages to the present values."""
    self._for_each(lambda average, value: average.assign(value))

  def update(self, step: tf.Tensor) -> None:
    """Updates the averages; call it in cross-replica context.

    Args:
      step: number of steps done, an integer scalar.
    """
    step = tf.cast(step, tf.float32)
    decay = tf.minimum(self._decay, (1 + step) / (10 + step))

    def move(average: tf.Variable, value: tf.Variable) -> None:
      average.assign_sub((1 - decay) * (average - value))

    self._for_each(move)

  @contextlib.contextmanager
  def applied(self) -> Iterator[None]:
    """Swaps the network's variables with their averages inside the context."""
    self._for_each(_exchange)
    try:
      yield
    finally:
      self._for_each(_exchange)

  def _for_each(
    self, function: Callable[[tf.Variable, tf.Variable], object]
  ) -> None:
    """Calls a function of average and variable on each replica."""
    for path, average in self.variables.items():
      self._strategy.extended.update(
        average, function, args=(self._averaged[path],)
      )


def _exchange(average: tf.Variable, variable: tf.Variable) -> None:
  before = tf.identity(average)
  average.assign(variable)
  variable.assign(before)
