"""Durations in steps, epochs or images, and their conversion to steps."""

import dataclasses
import math
import re
from typing import Annotated

from tinygin.config import constraints

_DURATION = re.compile(r'(\d+(?:\.\d+)?|\d*\.\d+) *(step|epoch|image)s?')


_WORDS = "and a unit, such as '100 steps', '2.5 epochs' or '50000 images'"
Duration = Annotated[
  str, constraints.Condition(_DURATION.fullmatch, f'of a number {_WORDS}')
]
Period = Annotated[
  str,
  constraints.Condition(
    re.compile(rf'(?=[\d.]*[1-9]){_DURATION.pattern}').fullmatch,
    f'of a number above 0 {_WORDS}',
  ),
]


@dataclasses.dataclass(frozen=True)
class Timeline:
  """Converts the durations of a run to steps.

  Attributes:
    examples: examples in an epoch.
    batch_size: examples in a step, over all replicas.
    length: length of the run, as for `steps`.
  """

  examples: int
  batch_size: int
  length: float | str

  @property
  def total_steps(self) -> int:
    """Steps of the whole run; a partial last batch counts as a step."""
    return self.steps(self.length)

  def steps(self, duration: float | str) -> int:
    """Returns a duration in whole steps, rounded up.

    Args:
      duration: such as `'100 steps'`, `'2.5 epochs'` or `'50000 images'`; or a
        number of epochs.
    """
    if isinstance(duration, str):
      match = _DURATION.fullmatch(duration)
      number, unit = float(match[1]), match[2]
    else:
      number, unit = duration, 'epoch'
    if unit == 'step':
      return math.ceil(number)
    images = number * self.examples if unit == 'epoch' else number
    return self._steps_for_images(images)

  def due(self, step: int, period: str) -> bool:
    """Whether a period, or the run, ends after this number of steps."""
    return step >= self.total_steps or step % self.steps(period) == 0

  def steps_until(self, step: int, period: str) -> int:
    """Returns the number of steps until `due` is true again."""
    every = self.steps(period)
    return min(every - step % every, self.total_steps - step)

  def epoch(self, step: int) -> float:
    """Returns the number of epochs in a number of steps."""
    return step * self.batch_size / self.examples

  def _steps_for_images(self, images: float) -> int:
    # Rounded first: 0.1 epochs of 1,000 images are 100 images, not 100.00…01.
    # But no duration above 0 becomes 0 steps.
    steps = math.ceil(round(images / self.batch_size, 6))
    return steps or math.ceil(images / self.batch_size)
