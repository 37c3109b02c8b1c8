"""The progress of a run: a live line on a terminal, plain lines elsewhere."""

import os
from collections.abc import Mapping
from typing import TextIO


class Progress:
  """Prints how far a run is, how fast, and how long it will take."""

  def __init__(
    self,
    total_steps: int,
    batch_size: int,
    now: float,
    stream: TextIO,
  ):
    """Starts the clock.

    Args:
      total_steps: steps of the whole run.
      batch_size: images in a step.
      now: the time, in seconds, of a clock that never runs backwards.
      stream: where the lines go.
    """
    self._total_steps = total_steps
    self._batch_size = batch_size
    self._stream = stream
    self._live = stream.isatty()
    self._shown = False
    self._resumed = now
    self.images = 0
    self.seconds = 0.0

  @property
  def images_per_second(self) -> float:
    """Speed of training up to now, evaluations and saves left out."""
    return self.images / self.seconds if self.seconds else 0.0

  def train(self, steps: int, now: float) -> None:
    """Counts steps that ended at `now`."""
    self.images += steps * self._batch_size
    self.seconds += now - self._resumed
    self._resumed = now

  def resume(self, now: float) -> None:
    """Leaves the time since the last steps out of the speed."""
    self._resumed = now

  def show(
    self,
    step: int,
    epoch: float,
    values: Mapping[str, float],
    passing: bool = False,
  ) -> None:
    """Prints a line of training, which replaces the last one on a terminal.

    Args:
      step: number of training steps done.
      epoch: number of epochs seen.
      values: metrics to show.
      passing: whether the line is for terminals alone.
    """
    if passing and not self._live:
      return
    remaining = (self._total_steps - step) * self._batch_size
    speed = self.images_per_second
    line = (
      f'step {step:,}/{self._total_steps:,}  epoch {epoch:.2f}  '
      f'{_metrics(values)}  {speed:,.0f} images/s  '
      f'ETA {_clock(remaining / speed if speed else 0.0)}'
    )
    if self._live:
      # A line that wraps could not be replaced. Some terminals have no width.
      width = os.get_terminal_size(self._stream.fileno()).columns or 80
      self._stream.write(f'\r\x1b[2K{line[: width - 1]}')
      self._shown = True
    else:
      self._stream.write(f'{line}\n')
    self._stream.flush()

  def note(self, text: str) -> None:
    """Prints a line that stays."""
    start = '\r\x1b[2K' if self._shown else ''
    self._shown = False
    self._stream.write(f'{start}{text}\n')
    self._stream.flush()

  def close(self) -> None:
    """Ends the live line, which stays, so that others can write."""
    if self._shown:
      self._stream.write('\n')
      self._stream.flush()
      self._shown = False

  def evaluation(
    self, step: int, epoch: float, values: Mapping[str, float]
  ) -> None:
    """Prints the outcome of an evaluation on a line that stays."""
    self.note(
      f'step {step:,}/{self._total_steps:,}  epoch {epoch:.2f}  validation '
      f'{_metrics(values)}'
    )


def _metrics(values: Mapping[str, float]) -> str:
  return '  '.join(f'{name} {value:.4f}' for name, value in values.items())


def _clock(seconds: float) -> str:
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return (
    f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
  )
