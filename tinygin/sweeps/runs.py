"""A run of a trial: a process of its own."""

import json
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

# How many lines of a message tell why a run has failed.
_REASON_LINES = 3
_TRAIN = (sys.executable, '-m', 'tinygin.train')


class Run:
  """A process that trains, with its output in a file beside its directory."""

  def __init__(
    self,
    arguments: Sequence[str],
    directory: pathlib.Path,
  ):
    """Starts the process.

    It is in a session of its own: what a terminal sends reaches the sweep
    alone, which passes it on.

    Args:
      arguments: the flags of train.
      directory: the run's directory.
    """
    self.directory = directory
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
          'PYTHONPATH': os.pathsep.join(filter(None, path)),
          entry_point.MESSAGE_FILE: str(self._message),
        },
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        close_fds=False,  # It holds the sweep's lock, too.
      )

  def ended(self) -> bool:
    """Whether the process has ended."""
    return self._process.poll() is not None

  def stop(self) -> None:
    """Asks the process to save its state and to end."""
    self._process.send_signal(signal.SIGTERM)  # Nothing, where it has ended.

  def wait(self) -> None:
    """Waits for the end of the process."""
    self._process.wait()

  def result(self, metric: str) -> float:
    """Returns a validation metric at the end of the run.

    Raises:
      RunError: the run has failed; the message says in a line how.
    """
    status = self._process.returncode
    if status == 0:
      path = self.directory / run_directory.RESULT
      values = json.loads(path.read_text())['validation']
      if metric in values:
        return values[metric]
      raise errors.RunError(f'{metric} is not among {", ".join(values)}')
    how = (
      f'killed by {signal.Signals(-status).name}'
      if status < 0
      else f'exit status {status}'
    )
    # A traceback ends in the exception, and a crash in whatever is known.
    lines = _lines(self._message)[:_REASON_LINES] or _lines(self._log)[-1:]
    raise errors.RunError(
      f'{how}: {" | ".join(lines)} (see {paths.display(str(self._log))})'
    )


def _lines(path: pathlib.Path) -> list[str]:
  """Returns the lines of a file that are not empty; of none, none."""
  text = path.read_text(errors='replace') if path.exists() else ''
  return [*filter(None, map(str.strip, text.splitlines()))]
