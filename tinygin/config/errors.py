"""Exceptions whose text is the whole message to the user."""

import contextlib
import signal
from collections.abc import Iterator

from absl import logging


class InputError(Exception):
  """The user's configuration, flags or files are wrong.

  The text says what is wrong, what was expected, what was received, and where.
  Entry points print only the text and exit with status 2.
  """


class RunError(Exception):
  """A run cannot continue, although its input is right.

  Entry points print only the text and exit with `exit_status`.
  """

  exit_status = 1


class StoppedError(RunError):
  """A signal stopped the program.

  Attributes:
    number: the number of the signal.
    exit_status: 128 plus that number.
  """

  def __init__(self, number: int, outcome: str):
    super().__init__(f'Stopped by {signal.Signals(number).name}; {outcome}')
    self.number = number
    self.exit_status = 128 + number


@contextlib.contextmanager
def optional(name: str) -> Iterator[None]:
  """Turns any error in the body into a warning, and continues without it.

  Args:
    name: what is then missing, for the warning.
  """
  try:
    yield
  except Exception as error:
    logging.warning('Skipped %s: %s: %s', name, type(error).__name__, error)
