"""A run of a trial: a process of its own."""

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Sequence

from tinygin.config import paths
from tinygin.training import run_directory

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
    self._log.parent.mkdir(exist_ok=True)
    path = [paths.project_root(), os.environ.get('PYTHONPATH')]
    with open(self._log, 'ab') as output:
      self._process = subprocess.Popen(
        [*_TRAIN, *arguments],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, path))},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        close_fds=False,  # It holds the sweep's lock, too.
      )

  def status(self) -> int | None:
    """Returns the exit status, or None while the process runs."""
    return self._process.poll()

  def stop(self) -> None:
    """Asks the process to save its state and to end."""
    if self.status() is None:
      self._process.send_signal(signal.SIGTERM)

  def wait(self) -> None:
    """Waits for the end of the process."""
    self._process.wait()

  def result(self, metric: str) -> float | None:
    """Returns a validation metric at the end of the run; None without it."""
    path = self.directory / run_directory.RESULT
    return json.loads(path.read_text())['validation'].get(metric)

  def reason(self) -> str:
    """Says in a line how the process has failed."""
    status = self._process.returncode
    how = (
      f'killed by {signal.Signals(-status).name}'
      if status < 0
      else f'exit status {status}'
    )
    lines = self._log.read_text(errors='replace').strip().splitlines()
    last = f': {lines[-1].strip()}' if lines else ''
    return f'{how}{last} (see {paths.display(str(self._log))})'
