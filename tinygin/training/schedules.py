"""Learning rates over the course of a run, as Keras schedules.

Each component is called with the run's timeline, which turns durations into
steps, and returns what a Keras optimizer takes as its learning rate.
"""

import dataclasses
import math
from typing import Annotated

import gin
import keras
from annotated_types import Ge
from annotated_types import Gt
from annotated_types import Interval

from tinygin.training import durations

LearningRate = keras.optimizers.schedules.LearningRateSchedule


class Scaled(LearningRate):
  """A schedule times a factor that may change during the run."""

  def __init__(self, schedule: LearningRate, scale: keras.Variable):
    """Takes the schedule and the factor, a scalar variable."""
    self._schedule = schedule
    self._scale = scale

  def __call__(self, step: keras.Variable) -> keras.KerasTensor:
    """Returns the learning rate of a step."""
    return self._schedule(step) * self._scale


@gin.register
@dataclasses.dataclass(frozen=True)
class Constant:
  """The same rate throughout.

  Attributes:
    rate: the learning rate.
  """

  rate: Annotated[float, Gt(0)]

  def __call__(self, timeline: durations.Timeline) -> LearningRate:
    """Returns the schedule of a run."""
    del timeline
    return keras.optimizers.schedules.PiecewiseConstantDecay(
      [1], [self.rate, self.rate]
    )


@gin.register
@dataclasses.dataclass(frozen=True)
class WarmupCosine:
  """A linear rise from 0 to the peak, then half a cosine down (SGDR, 2017).

  Attributes:
    peak: highest learning rate.
    warmup: duration of the rise, such as `'1 epoch'`.
    final_fraction: rate at the end of the run, as a fraction of the peak.
  """

  peak: Annotated[float, Gt(0)]
  warmup: durations.Duration
  final_fraction: Annotated[float, Interval(ge=0, le=1)]

  def __call__(self, timeline: durations.Timeline) -> LearningRate:
    """Returns the schedule of a run."""
    warmup_steps = timeline.steps(self.warmup)
    return keras.optimizers.schedules.CosineDecay(
      initial_learning_rate=0.0 if warmup_steps else self.peak,
      decay_steps=max(1, timeline.total_steps - warmup_steps),
      alpha=self.final_fraction,
      warmup_target=self.peak if warmup_steps else None,
      warmup_steps=warmup_steps,
    )


@gin.register
@dataclasses.dataclass(frozen=True)
class ExponentialSteps:
  """The rate times a coefficient at the end of every period.

  Attributes:
    initial: learning rate of the first period.
    coefficient: what the rate is multiplied by.
    every: length of a period, such as `'10 epochs'`.
  """

  initial: Annotated[float, Gt(0)]
  coefficient: Annotated[float, Interval(ge=0, le=1)]
  every: durations.Period

  def __call__(self, timeline: durations.Timeline) -> LearningRate:
    """Returns the schedule of a run."""
    return keras.optimizers.schedules.ExponentialDecay(
      initial_learning_rate=self.initial,
      decay_steps=timeline.steps(self.every),
      decay_rate=self.coefficient,
      staircase=True,
    )


@gin.register
@dataclasses.dataclass(frozen=True)
class ExponentialAfter:
  """The same rate at first, then times a coefficient at every epoch.

  The decay of the demo's published code: initial · coefficient^(epoch - after),
  from epoch `after` on.

  Attributes:
    initial: learning rate of the first epochs.
    coefficient: what the rate is multiplied by at each epoch.
    after: number of whole epochs at the initial rate.
  """

  initial: Annotated[float, Gt(0)]
  coefficient: Annotated[float, Interval(ge=0, le=1)]
  after: Annotated[int, Ge(0)]

  def __call__(self, timeline: durations.Timeline) -> LearningRate:
    """Returns the schedule of a run."""
    last_epoch = int(timeline.epoch(timeline.total_steps - 1))
    decays = range(self.after + 1, last_epoch + 1)
    rates = [self.initial]
    rates += [
      self.initial * self.coefficient ** (epoch - self.after)
      for epoch in decays
    ]
    # Boundaries are the last steps at the rate before.
    boundaries = [timeline.steps(epoch) - 1 for epoch in decays]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)


@gin.register
@dataclasses.dataclass(frozen=True)
class OneCycle:
  """Half a cosine up to the peak, then half a cosine down.

  Smith and Topin, "Super-convergence", 2018, in the form of fast.ai.

  Attributes:
    peak: highest learning rate.
    start_fraction: rate at the start, as a fraction of the peak.
    final_fraction: rate at the end of the run, as a fraction of the peak.
    rise: duration of the way up, such as `'3 epochs'`.
  """

  peak: Annotated[float, Gt(0)]
  start_fraction: Annotated[float, Interval(ge=0, le=1)]
  final_fraction: Annotated[float, Interval(ge=0, le=1)]
  rise: durations.Duration

  def __call__(self, timeline: durations.Timeline) -> LearningRate:
    """Returns the schedule of a run."""
    rise_steps = max(1, timeline.steps(self.rise))
    return _OneCycleSchedule(
      self, rise_steps, max(1, timeline.total_steps - rise_steps)
    )


class _OneCycleSchedule(LearningRate):
  def __init__(self, cycle: OneCycle, rise_steps: int, fall_steps: int):
    self._cycle = cycle
    self._rise_steps = rise_steps
    self._fall_steps = fall_steps

  def __call__(self, step: keras.Variable) -> keras.KerasTensor:
    cycle = self._cycle
    step = keras.ops.cast(step, 'float32')
    rising = keras.ops.minimum(step / self._rise_steps, 1.0)
    falling = keras.ops.clip((step - self._rise_steps) / self._fall_steps, 0, 1)
    up = _half_cosine(cycle.start_fraction, 1.0, rising)
    down = _half_cosine(1.0, cycle.final_fraction, falling)
    return cycle.peak * keras.ops.where(step < self._rise_steps, up, down)


def _half_cosine(
  start: float, end: float, share: keras.KerasTensor
) -> keras.KerasTensor:
  return end + (start - end) * (1 + keras.ops.cos(math.pi * share)) / 2
