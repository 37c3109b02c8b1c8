"""What a run does when a metric stops improving.

The rules are those of Keras' callbacks of the same purpose. They are pure
functions of a small state, which a checkpoint holds, so that a resumed run
continues to count where it stopped.
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
  """What has been seen.

  Attributes:
    best: the best value of the metric, None before the first.
    waited: evaluations without an improvement.
    cooldown: evaluations during which none is counted.
    scale: what the learning rate is multiplied by.
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
    monitor: the metric; those of training are means since the last evaluation.
    factor: what the learning rate is multiplied by.
    patience: evaluations without an improvement before that.
    minimum_change: the least change that counts as an improvement.
    cooldown: evaluations after a reduction during which none is counted.
    minimum_rate: the learning rate is not reduced below it.
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
      state: what was seen before.
      value: the metric now.
      learning_rate: the rate now, with the state's scale in it.
    """
    cooldown = max(state.cooldown - 1, 0)
    if _improves(self.monitor, state.best, value, self.minimum_change):
      return dataclasses.replace(state, best=value, waited=0, cooldown=cooldown)
    if cooldown:
      return dataclasses.replace(state, waited=0, cooldown=cooldown)
    waited = (0 if state.cooldown else state.waited) + 1
    # The rate comes from float32: no more than equal to the minimum.
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
    monitor: the metric; those of training are means since the last evaluation.
    patience: evaluations without an improvement before that.
    minimum_change: the least change that counts as an improvement.
  """

  monitor: Monitor
  patience: Annotated[int, Ge(1)]
  minimum_change: NonNegative

  def after_evaluation(self, state: State, value: float) -> State:
    """Returns the next state, given what was seen before and the metric."""
    if _improves(self.monitor, state.best, value, self.minimum_change):
      return dataclasses.replace(state, best=value, waited=0)
    return dataclasses.replace(state, waited=state.waited + 1)

  def ends(self, state: State) -> bool:
    """Whether the run ends."""
    return state.waited >= self.patience


def _improves(
  monitor: str, best: float | None, value: float, minimum_change: float
) -> bool:
  if best is None:
    return True
  gain = best - value if monitor.endswith('loss') else value - best
  return gain > minimum_change
