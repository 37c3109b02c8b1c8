"""Learning rates over the course of a run, as Keras schedules.

Each component is called with the run's timeline, which converts durations to
steps, and returns a Keras schedule.
"""

import dataclasses
import math
from typing import Annotated

import gin
import keras
from absl import logging
from annotated_types import Gt
from annotated_types import Interval

from tinygin.training import durations

LearningRate = keras.optimizers.schedules.LearningRateSchedule


class Scaled(LearningRate):
  """A schedule multiplied by a factor that may change during the run."""

  def __init__(self, schedule: LearningRate, scale: keras.Variable | float):
    """Takes a schedule and a factor, a number or a scalar variable."""
    self._schedule = schedule
    self._scale = scale

  def __call__(self, step: keras.Variable) -> keras.KerasTensor:
    """Returns the learning rate of a step."""
    return self._schedule(step) * self._scale


@gin.register
@dataclasses.dataclass(frozen=True)
class Constant:
  """A constant rate.

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
  """A linear rise from 0 to the peak, then half a cosine down.

  Loshchilov and Hutter, "SGDR", 2017.

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
    warmup_steps = _rise_steps(timeline, self.warmup, 'WarmupCosine.warmup')
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
  """The rate is multiplied by a coefficient at the end of every period.

  Attributes:
    initial: learning rate of the first period.
    coefficient: factor of the rate from one period to the next.
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
class OneCycle:
  """Half a cosine up to the peak, then half a cosine down.

  Smith and Topin, "Super-convergence", 2018, in fast.ai's variant.

  Attributes:
    peak: highest learning rate.
    start_fraction: rate at the start, as a fraction of the peak.
    final_fraction: rate at the end of the run, as a fraction of the peak.
    rise: duration of the rise, such as `'3 epochs'`.
  """

  peak: Annotated[float, Gt(0)]
  start_fraction: Annotated[float, Interval(ge=0, le=1)]
  final_fraction: Annotated[float, Interval(ge=0, le=1)]
  rise: durations.Duration

  def __call__(self, timeline: durations.Timeline) -> LearningRate:
    """Returns the schedule of a run."""
    rise_steps = max(1, _rise_steps(timeline, self.rise, 'OneCycle.rise'))
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


def _rise_steps(timeline: durations.Timeline, duration: str, name: str) -> int:
  """Returns a duration in steps; warns if the run is not longer."""
  steps = timeline.steps(duration)
  if steps >= timeline.total_steps:
    logging.warning(
      'The learning rate never reaches its peak: %s = %r is %s steps, but the '
      'run has only %s.',
      name,
      duration,
      f'{steps:,}',
      f'{timeline.total_steps:,}',
    )
  return steps


def _half_cosine(
  start: float, end: float, share: keras.KerasTensor
) -> keras.KerasTensor:
  return end + (start - end) * (1 + keras.ops.cos(math.pi * share)) / 2
