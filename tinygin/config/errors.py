"""Exceptions whose text is the whole message to the user."""

import signal


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
