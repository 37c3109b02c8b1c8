"""A run of a trial, in its own process."""

import contextlib
import math
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Sequence

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import paths
from tinygin.training import run_directory

# Lines of a message that are shown as the reason of a failure.
_REASON_LINES = 3
# How long a run may take to save its state and to end.
_STOP_SECONDS = 120
_TRAIN = (sys.executable, '-m', 'tinygin.train')


class FailedError(errors.RunError):
  """A run has failed."""


class Run:
  """A process that trains. Its output goes to a file beside its directory.

  Attributes:
    directory: the run's directory.
    device: the GPUs that the process sees, or None if it sees all.
  """

  def __init__(
    self,
    arguments: Sequence[str],
    directory: pathlib.Path,
    device: str | None,
  ):
    """Starts the process.

    It has its own session, so that Ctrl-C in a terminal reaches the sweep
    alone, which then stops its runs.

    Args:
      arguments: the flags of train.
      directory: the run's directory.
      device: the value of CUDA_VISIBLE_DEVICES, or None to leave it as it is.
    """
    self.directory = directory
    self.device = device
    visible = {} if device is None else {'CUDA_VISIBLE_DEVICES': device}
    self._log = directory.with_name(f'{directory.name}.log')
    self._message = directory.with_name(f'{directory.name}.message')
    self._log.parent.mkdir(exist_ok=True)
    self._message.unlink(missing_ok=True)
    path = [paths.project_root(), os.environ.get('PYTHONPATH')]
    with open(self._log, 'ab') as output:
      self._process = subprocess.Popen(
        [*_TRAIN, *arguments],
        env={
          **os.environ,
          **visible,
          'PYTHONPATH': os.pathsep.join(filter(None, path)),
          entry_point.MESSAGE_FILE: str(self._message),
        },
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        close_fds=False,  # It inherits the lock of the sweep's directory.
      )

  def ended(self) -> bool:
    """Whether the process has ended."""
    return self._process.poll() is not None

  def stop(self) -> None:
    """Asks the process to save its state and to end."""
    self._process.terminate()

  def wait(self) -> None:
    """Waits for the end of the process; kills it if that takes too long."""
    try:
      self._process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(self._process.pid, signal.SIGKILL)
      self._process.wait()

  def result(self, metric: str) -> float:
    """Returns a validation metric at the end of the run.

    Raises:
      FailedError: the run has failed; the message gives the reason in one line.
    """
    status = self._process.returncode
    if status:
      # A traceback ends with the exception.
      lines = _lines(self._message)[:_REASON_LINES] or _lines(self._log)[-1:]
    else:
      result = run_directory.read_json(self.directory / run_directory.RESULT)
      value = result.get('validation', {}).get(metric, math.nan)
      if math.isfinite(value):
        return value
      lines = [f'{run_directory.RESULT} holds no finite validation {metric}.']
    how = (
      f'killed by {signal.Signals(-status).name}'
      if status < 0
      else f'exit status {status}'
    )
    raise FailedError(
      f'{how}: {" | ".join(lines)} (see {paths.display(str(self._log))})'
    )


def _lines(path: pathlib.Path) -> list[str]:
  """Returns the lines of a file that are not empty; none without a file."""
  text = path.read_text('utf-8', 'replace') if path.exists() else ''
  return [*filter(None, map(str.strip, text.splitlines()))]
