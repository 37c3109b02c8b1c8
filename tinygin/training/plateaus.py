"""Responses to a metric that stops improving.

The rules are those of Keras' callbacks ReduceLROnPlateau and EarlyStopping.
They are pure functions of a small state. Checkpoints hold this state, so that a
resumed run continues to count where it stopped.
"""

import dataclasses
from typing import Annotated
from typing import Literal

import gin
from annotated_types import Ge
from annotated_types import Interval

Monitor = Literal[
  'train_loss', 'train_top1', 'validation_loss', 'validation_top1'
]
NonNegative = Annotated[float, Ge(0)]
Periods = Annotated[int, Ge(0)]


@dataclasses.dataclass
class State:
  """The state of a rule after some evaluations.

  Attributes:
    best: the best value of the metric; None before the first.
    waited: number of evaluations without an improvement.
    cooldown: number of coming evaluations that are not counted.
    scale: factor of the learning rate.
  """

  best: float | None = None
  waited: int = 0
  cooldown: int = 0
  scale: float = 1.0


@gin.register
@dataclasses.dataclass(frozen=True)
class ReduceOnPlateau:
  """Lowers the learning rate when a metric stops improving.

  Attributes:
    monitor: the metric; training metrics are means since the last evaluation.
    factor: factor of each reduction.
    patience: number of evaluations without an improvement before a reduction.
    minimum_change: smallest change that counts as an improvement.
    cooldown: number of evaluations after a reduction that are not counted.
    minimum_rate: lower limit of the learning rate.
  """

  monitor: Monitor
  factor: Annotated[float, Interval(gt=0, lt=1)]
  patience: Periods
  minimum_change: NonNegative
  cooldown: Periods
  minimum_rate: NonNegative

  def after_evaluation(
    self, state: State, value: float, learning_rate: float
  ) -> State:
    """Returns the next state.

    Args:
      state: the state before this evaluation.
      value: the metric.
      learning_rate: rate of the last step, including the state's scale.
    """
    cooldown = max(state.cooldown - 1, 0)
    if _improves(self.monitor, state.best, value, self.minimum_change):
      return dataclasses.replace(state, best=value, waited=0, cooldown=cooldown)
    if cooldown:
      return dataclasses.replace(state, waited=0, cooldown=cooldown)
    waited = (0 if state.cooldown else state.waited) + 1
    # The rate was computed in float32 and may exceed the minimum by rounding.
    at_minimum = learning_rate <= self.minimum_rate * (1 + 1e-6)
    if waited < self.patience or at_minimum:
      return dataclasses.replace(state, waited=waited, cooldown=0)
    factor = max(self.factor, self.minimum_rate / learning_rate)
    return dataclasses.replace(
      state, waited=0, cooldown=self.cooldown, scale=state.scale * factor
    )


@gin.register
@dataclasses.dataclass(frozen=True)
class EarlyStopping:
  """Ends a run when a metric stops improving.

  Attributes:
    monitor: the metric; training metrics are means since the last evaluation.
    patience: number of evaluations without an improvement before the end.
    minimum_change: smallest change that counts as an improvement.
  """

  monitor: Monitor
  patience: Annotated[int, Ge(1)]
  minimum_change: NonNegative

  def after_evaluation(self, state: State, value: float) -> State:
    """Returns the next state, given the state before and the metric."""
    if _improves(self.monitor, state.best, value, self.minimum_change):
      return dataclasses.replace(state, best=value, waited=0)
    return dataclasses.replace(state, waited=state.waited + 1)

  def ends(self, state: State) -> bool:
    """Whether the run ends in this state."""
    return state.waited >= self.patience


def _improves(
  monitor: str, best: float | None, value: float, minimum_change: float
) -> bool:
  if best is None:
    return True
  gain = best - value if monitor.endswith('loss') else value - best
  return gain > minimum_change
