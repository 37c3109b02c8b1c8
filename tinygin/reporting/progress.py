"""The progress of a run: a live line on a terminal, plain lines elsewhere."""

import os
from collections.abc import Mapping
from typing import TextIO


class Progress:
  """Prints the step, metrics, speed and remaining time of a run."""

  def __init__(self, total_steps: int, batch_size: int, stream: TextIO):
    """Prepares the output; prints nothing.

    Args:
      total_steps: steps of the whole run.
      batch_size: images in a step.
      stream: where the lines are written.
    """
    self._total_steps = total_steps
    self._batch_size = batch_size
    self._stream = stream
    self._live = stream.isatty()
    self._shown = False

  def training(
    self, step: int, values: Mapping[str, float], passing: bool = False
  ) -> None:
    """Prints a line of training; on a terminal it replaces the last one.

    Args:
      step: number of training steps done.
      values: epoch, loss, top1, top5 and images_per_second.
      passing: whether the line is for terminals only.
    """
    if passing and not self._live:
      return
    speed = values['images_per_second']
    remaining = (self._total_steps - step) * self._batch_size
    line = (
      f'{self._line(step, "", values)}  {speed:,.0f} images/s  '
      f'ETA {_clock(remaining / speed)}'
    )
    if self._live:
      # A wrapped line could not be replaced. Some terminals report no width.
      width = os.get_terminal_size(self._stream.fileno()).columns or 80
      self._stream.write(f'\r\x1b[2K{line[: width - 1]}')
      self._shown = True
    else:
      self._stream.write(f'{line}\n')
    self._stream.flush()

  def evaluation(self, step: int, values: Mapping[str, float]) -> None:
    """Prints the metrics of an evaluation on a line that stays."""
    self.note(self._line(step, 'validation ', values))

  def note(self, text: str) -> None:
    """Prints a line that stays."""
    start = '\r\x1b[2K' if self._shown else ''
    self._shown = False
    self._stream.write(f'{start}{text}\n')
    self._stream.flush()

  def close(self) -> None:
    """Ends the live line, so that other output starts on a new line."""
    if self._shown:
      self._stream.write('\n')
      self._stream.flush()
      self._shown = False

  def _line(self, step: int, kind: str, values: Mapping[str, float]) -> str:
    shown = '  '.join(
      f'{name} {values[name]:.4f}' for name in ('loss', 'top1', 'top5')
    )
    return (
      f'step {step:,}/{self._total_steps:,}  epoch {values["epoch"]:.2f}  '
      f'{kind}{shown}'
    )


def _clock(seconds: float) -> str:
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return (
    f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
  )
