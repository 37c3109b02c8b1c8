"""Profiles chosen steps of a run."""

import itertools
import pathlib
import shutil
from typing import Annotated

import tensorflow as tf
from annotated_types import Ge

from tinygin.config import constraints


def _ascending(steps: tuple[int, ...]) -> bool:
  return all(a < b for a, b in itertools.pairwise(steps))


Steps = Annotated[
  tuple[Annotated[int, Ge(0)], Annotated[int, Ge(0)]],
  constraints.Condition(_ascending, 'in ascending order'),
]


class Profile:
  """Starts and stops TensorFlow's profiler between calls of the loop.

  A run resumed within the chosen steps profiles nothing; one resumed before
  them profiles them again and replaces the old profile.
  """

  def __init__(self, steps: Steps | None, directory: pathlib.Path | None):
    """Prepares profiling; does not start the profiler.

    Args:
      steps: the first step and the one after the last; None: no step.
      directory: the run's directory; profiles go to `plugins/profile` in it.
        None: nothing is profiled.
    """
    self._steps = steps or ()
    self._directory = directory
    self._running = False

  def distances(self, step: int) -> list[int]:
    """Returns the numbers of steps until a call of the loop must end.

    It ends at the start and the end of profiling and, between them, after each
    step. Resumed runs end calls at the same steps, even without profiling.
    Calls of other lengths would round sums differently.
    """
    ahead = [each - step for each in self._steps if each > step]
    return [1, *ahead] if len(ahead) == 1 else ahead

  def marked(self, step: int) -> tf.profiler.experimental.Trace:
    """Marks the body as a training step for the profiler."""
    return tf.profiler.experimental.Trace('train', step_num=step, _r=1)

  def start(self, step: int) -> None:
    """Starts the profiler if this step is the first to profile."""
    if self._directory and self._steps and step == self._steps[0]:
      shutil.rmtree(self._directory / 'plugins', ignore_errors=True)
      tf.profiler.experimental.start(str(self._directory))
      self._running = True

  def stop(self, step: int) -> None:
    """Stops the profiler if this many steps complete the profile."""
    if self._running and step == self._steps[1]:
      tf.profiler.experimental.stop()
      self._running = False

  def close(self) -> None:
    """Discards an incomplete profile."""
    if self._running:
      tf.profiler.experimental.stop(save=False)
