"""Exceptions whose text is the whole message to the user."""

import contextlib
import signal
from collections.abc import Iterator

from absl import logging

# The extra of this project that installs a package.
EXTRAS = {
  'dask': 'dask',
  'distributed': 'dask',
  'gcsfs': 'gcp',
  'lsprotocol': 'editor',
  'onnx': 'onnx',
  'optuna': 'sweeps',
  'pygls': 'editor',
  's3fs': 's3',
  'tf2onnx': 'onnx',
  'trackio': 'trackio',
}


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


def missing_extra(error: BaseException) -> str:
  """Returns which extra installs what an import did not find, or nothing."""
  if not isinstance(error, ModuleNotFoundError):
    return ''
  package = (error.name or '').partition('.')[0]
  if package not in EXTRAS:
    return ''
  return (
    f'{package} is not installed. Install tinygin with the extra that contains '
    f'it: tinygin[{EXTRAS[package]}].'
  )


def reason(error: Exception) -> str:
  """Returns why a file cannot be read or written, without its path."""
  if isinstance(error, UnicodeError):
    return 'it is not UTF-8 text'
  return getattr(error, 'strerror', None) or str(error)


@contextlib.contextmanager
def optional(name: str) -> Iterator[None]:
  """Turns any error in the body into a warning, and continues.

  Args:
    name: the name of the skipped part, for the warning.
  """
  try:
    yield
  except Exception as error:
    logging.warning('Skipped %s: %s: %s', name, type(error).__name__, error)
