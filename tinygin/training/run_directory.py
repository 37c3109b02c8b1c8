"""A run's directory: who may write there, and what describes the run."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from tinygin.config import differences
from tinygin.config import errors
from tinygin.config import loading

CONFIG = 'config.gin'
PROVENANCE = 'provenance.json'
RESULT = 'result.json'
CLASSES = 'classes.txt'
CHECKPOINTS = 'checkpoints'
EVALUATIONS = 'evaluations'
_LOCK = 'lock'


@contextlib.contextmanager
def locked(directory: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Makes the directory and holds its lock.

  A directory that was made here is removed again on an InputError.

  Args:
    directory: the run's directory, absolute.

  Yields:
    The directory.

  Raises:
    InputError: it cannot be written, or another process trains there.
  """
  path = pathlib.Path(directory)
  missing = not path.exists()
  try:
    path.mkdir(parents=True, exist_ok=True)
    if any(entry.name != _LOCK for entry in path.iterdir()):
      check_is_run(path)
    lock = open(path / _LOCK, 'a')  # noqa: SIM115
  except OSError as error:
    raise errors.InputError(
      f'The run directory {path} must be a folder that can be written. '
      f'Received: {error.strerror} ({error.filename}). Choose another with '
      'train.run_dir.'
    ) from error
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    lock.close()
    raise errors.InputError(
      f'The run directory {path} is in use by another process. Wait until it '
      'ends, or choose another with train.run_dir.'
    ) from error
  try:
    yield path
  except errors.InputError:
    if missing and not (path / CHECKPOINTS).exists():
      shutil.rmtree(path)
    raise
  finally:
    lock.close()


def check_is_run(directory: pathlib.Path) -> None:
  """Refuses a directory that holds something else than a run.

  Raises:
    InputError: there is no `config.gin` in it.
  """
  if not (directory / CONFIG).exists():
    raise errors.InputError(
      f'{directory} must be the directory of a run. Received: one without '
      f'{CONFIG}.'
    )


def describe(
  directory: pathlib.Path,
  configuration: loading.Configuration,
  start: Mapping[str, Any],
  allow_changes: bool,
) -> None:
  """Writes `config.gin` and adds a start to `provenance.json`.

  Args:
    directory: the run's directory.
    configuration: what is trained.
    start: what describes this start of the run.
    allow_changes: whether a run that goes on may differ in what is safe to
      change.

  Raises:
    InputError: the directory holds a run of another configuration.
  """
  config, provenance = directory / CONFIG, directory / PROVENANCE
  starts = []
  if config.exists():
    differences.check_continuation(
      config.read_text(),
      configuration,
      str(directory),
      allow_changes,
      ignored=('train.run_dir',),
    )
  if provenance.exists():
    starts = json.loads(provenance.read_text())['starts']
  if not config.exists() or allow_changes:
    write(config, configuration.text().encode())
  parameters = json.loads(configuration.json())
  write_json(
    provenance, {'starts': [*starts, {**start, 'parameters': parameters}]}
  )


def write_classes(directory: pathlib.Path, names: Sequence[str]) -> None:
  """Writes `classes.txt`: the names of the classes in order, one a line."""
  lines = ''.join(f'{name}\n' for name in names)
  write(directory / CLASSES, lines.encode())


def read_classes(directory: pathlib.Path) -> list[str]:
  """Reads what `write_classes` wrote.

  Raises:
    InputError: it is missing.
  """
  try:
    return (directory / CLASSES).read_text().splitlines()
  except OSError as error:
    raise errors.InputError(
      f'{directory} must be the directory of a run that has started. '
      f'Received: one without {CLASSES}.'
    ) from error


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes a JSON file whole: under another name first, then renamed."""
  text = json.dumps(value, indent=2) + '\n'
  # A row of numbers, of which matrices have many, stands on one line.
  text = re.sub(r'\[[\d.,\s]+\]', lambda row: ' '.join(row[0].split()), text)
  write(path, text.encode())


def write(path: pathlib.Path, content: bytes) -> None:
  """Writes a file whole: under another name first, then renamed.

  Raises:
    RunError: there is no room, or the folder cannot be written.
  """
  temporary = path.with_name(f'.{path.name}.writing')
  try:
    temporary.write_bytes(content)
    temporary.rename(path)
  except OSError as error:
    temporary.unlink(missing_ok=True)
    raise errors.RunError(
      f'{path} could not be written: {error.strerror}. The checkpoints are '
      'whole; start again once there is room.'
    ) from error
