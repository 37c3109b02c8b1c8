"""The exceptions whose text is all that the user is told."""

import signal


class InputError(Exception):
  """The user's configuration, flags or files are wrong.

  The text is the whole message: what was wrong, what was expected, what
  arrived, where. Entry points print it alone and exit with status 2.
  """


class RunError(Exception):
  """A run cannot go on, for a reason that is not in its input.

  The text is the whole message. Entry points print it alone and exit with
  `exit_status`.
  """

  exit_status = 1


class StoppedError(RunError):
  """A signal ended the program.

  Attributes:
    number: the signal's.
    exit_status: 128 plus that.
  """

  def __init__(self, number: int, outcome: str):
    super().__init__(f'Stopped by {signal.Signals(number).name}; {outcome}')
    self.number = number
    self.exit_status = 128 + number
