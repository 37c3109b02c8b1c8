"""A sweep's directory: who may write there."""

import contextlib
import fcntl
import pathlib
import shutil
from collections.abc import Iterator

from tinygin.config import errors

CONFIG = 'sweep.gin'
_LOCK = 'lock'


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[int]:
  """Makes the directory and holds its lock.

  A directory that was made here is removed again on an InputError.

  Args:
    path: the sweep's directory, absolute.

  Yields:
    The file descriptor that holds the lock. A process that inherits it keeps
    the lock for as long as it lives.

  Raises:
    InputError: it cannot be written, holds something else, or is in use.
  """
  missing = not path.exists()
  try:
    path.mkdir(parents=True, exist_ok=True)
    names = {entry.name for entry in path.iterdir()} - {_LOCK}
    lock = open(path / _LOCK, 'a')  # noqa: SIM115
  except OSError as error:
    raise errors.InputError(
      f'The sweep directory {path} must be a folder that can be written. '
      f'Received: {error.strerror} ({error.filename}). Choose another with '
      'sweep.directory.'
    ) from error
  with lock:
    if names and CONFIG not in names:
      raise errors.InputError(
        f'{path} must be the directory of a sweep. Received: one without '
        f'{CONFIG}. Choose another with sweep.directory.'
      )
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise errors.InputError(
        f'The sweep directory {path} is in use: another sweep, or a run of one '
        'that was killed, still goes on there. Wait until it ends, or choose '
        'another with sweep.directory.'
      ) from error
    try:
      yield lock.fileno()
    except errors.InputError:
      if missing:
        shutil.rmtree(path)
      raise
