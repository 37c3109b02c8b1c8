"""A run's directory: its lock, and the files that describe the run."""

import ast
import contextlib
import datetime
import fcntl
import itertools
import json
import os
import pathlib
import re
import shutil
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TextIO

from absl import logging

from tinygin.config import constraints
from tinygin.config import differences
from tinygin.config import errors
from tinygin.config import loading
from tinygin.config import paths

CONFIG = 'config.gin'
PROVENANCE = 'provenance.json'
RESULT = 'result.json'
CLASSES = 'classes.txt'
CHECKPOINTS = 'checkpoints'
EVALUATIONS = 'evaluations'
_LOCK = 'lock'
_DATA_DIR = 'dataset.data_dir'
# Parameters that only set the location of files.
_PLACES = ('train.run_dir', _DATA_DIR)
# The path of a directory; the start's time replaces `{time}` in it.
TIMED_PATH = constraints.Condition(
  re.compile(r'([^{}]|\{time\})*').fullmatch, 'with no braces but {time}'
)
# Folders with the results of a run or a sweep.
_RESULT_FOLDERS = (CHECKPOINTS, 'trials')
_LOCK_ATTEMPTS = 5
_LOCK_WAIT_SECONDS = 0.05


@contextlib.contextmanager
def locked(
  pattern: str,
  start: datetime.datetime,
  kind: str = 'run',
  setting: str = 'train.run_dir',
) -> Iterator[pathlib.Path]:
  """Creates the directory and holds its lock.

  A new directory is removed again if the input turns out to be wrong, or if the
  program is stopped before it has results. A subprocess started with
  `close_fds=False` shares the lock and holds it until it ends.

  Args:
    pattern: the absolute path of the directory. `{time}` in it is replaced by
      the start time, with a number added if that directory exists.
    start: the time at which this run starts.
    kind: `run` or `sweep`, for messages.
    setting: the parameter that sets the directory, for messages.

  Yields:
    The directory.

  Raises:
    InputError: the directory cannot be written, or another process holds its
      lock.
  """
  try:
    path, is_new = _made(pattern, start)
    if any(entry.name != _LOCK for entry in path.iterdir()):
      check_is_run(path, kind)
    lock = open(path / _LOCK, 'a')  # noqa: SIM115
    os.set_inheritable(lock.fileno(), True)
  except OSError as error:
    raise errors.InputError(
      f'Cannot write to the {kind} directory {pattern}: {error.strerror} '
      f'({error.filename}). Choose another with {setting}.'
    ) from error
  try:
    _take(lock)
  except BlockingIOError as error:
    lock.close()
    raise errors.InputError(
      f'Another process is using the {kind} directory {path}. Wait until it '
      f'ends, or choose another directory with {setting}.'
    ) from error
  try:
    yield path
  except (errors.InputError, errors.StoppedError, KeyboardInterrupt):
    if is_new and not any((path / name).exists() for name in _RESULT_FOLDERS):
      shutil.rmtree(path)
    raise
  finally:
    lock.close()


def _take(lock: TextIO) -> None:
  """Locks a file.

  Tries several times, because `is_locked` holds the lock for an instant.

  Raises:
    BlockingIOError: another process holds the lock.
  """
  for _ in range(_LOCK_ATTEMPTS - 1):
    with contextlib.suppress(BlockingIOError):
      return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    time.sleep(_LOCK_WAIT_SECONDS)
  fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(directory: pathlib.Path) -> bool:
  """Whether a process trains in a run's directory.

  A lock that cannot be read counts as held.
  """
  try:
    with open(directory / _LOCK) as lock:
      fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except FileNotFoundError:
    return False
  except OSError:
    return True
  return False


def _made(pattern: str, start: datetime.datetime) -> tuple[pathlib.Path, bool]:
  """Creates the directory; returns it, and whether it is new."""
  time = start.strftime('%Y%m%d-%H%M%S')
  for number in itertools.count(1):
    name = time if number == 1 else f'{time}-{number}'
    path = pathlib.Path(pattern.replace('{time}', name))
    try:
      path.mkdir(parents=True)
      return path, True
    except FileExistsError:
      if '{time}' not in pattern:
        return path, False


def find(run: str) -> pathlib.Path:
  """Returns the directory of a run that a user names.

  Raises:
    InputError: there is no such directory.
  """
  return pathlib.Path(paths.find(run, kind='run'))


def check_is_run(directory: pathlib.Path, kind: str = 'run') -> None:
  """Checks that a directory belongs to a run or a sweep.

  Raises:
    InputError: it has no `config.gin`.
  """
  if not (directory / CONFIG).exists():
    raise errors.InputError(
      f'{directory} is not the directory of a {kind}: it has no {CONFIG}.'
    )


def check_continuation(
  directory: pathlib.Path,
  configuration: loading.Configuration,
  allow_changes: bool,
) -> None:
  """Refuses to continue a run with another configuration.

  Args:
    directory: the run's directory; a new one is accepted.
    configuration: the configuration with which the run would continue.
    allow_changes: whether parameters that are declared
      `constraints.CONTINUABLE` may differ.

  Raises:
    InputError: the directory holds a run of another configuration, or the files
      that describe that run are damaged.
  """
  starts(directory)
  changed = _changes(directory, configuration)
  fixed = {
    name: values
    for name, values in changed.items()
    if name in configuration.fixed()
  }
  if not changed or (allow_changes and not fixed):
    return
  shown = fixed if allow_changes else changed
  table = differences.table(shown, ['parameter', 'saved', 'now'])
  advice = 'Start another run, or continue this one with its configuration'
  if not fixed:
    advice += ', or allow these changes with --allow_changes'
  raise errors.InputError(
    f'The run in {directory} was started with another configuration:\n\n'
    f'{table}\n\n{advice}.'
  )


def describe(
  directory: pathlib.Path,
  configuration: loading.Configuration,
  step: int,
  start: Mapping[str, Any],
) -> None:
  """Writes `config.gin` and adds a start to `provenance.json`.

  If the configuration has changed since an earlier start, the file alone no
  longer repeats the run. A comment in `config.gin` then lists the changes and
  their steps.

  Args:
    directory: the run's directory.
    configuration: the configuration of this start.
    step: the step at which this start begins; 0 for a new run.
    start: the provenance of this start.

  Raises:
    InputError: `provenance.json` is damaged.
    RunError: the files cannot be written.
  """
  changes = _changes(directory, configuration)
  parameters = json.loads(configuration.json())
  earlier = starts(directory)
  if step and earlier:
    _warn_of_differences(earlier[-1], start)
  every = [
    *earlier,
    {
      'step': step,
      'changes': changes,
      **start,
      'parameters': parameters,
    },
  ]
  write_json(directory / PROVENANCE, {'starts': every})
  config = directory / CONFIG
  if changes or not config.exists():
    write(config, (_header(every) + configuration.text()).encode())


def _warn_of_differences(
  before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
  """Warns if a run continues with other hardware or settings."""
  old, new = before.get('computation', {}), now.get('computation', {})
  changed = [
    f'{name} was {old[name]}, is {new[name]}'
    for name in old.keys() & new.keys()
    if old[name] != new[name]
  ]
  if changed:
    logging.warning(
      'This run continues on other hardware or with other settings, so its '
      'weights may differ in the last bits from those of an uninterrupted run: '
      '%s.',
      '; '.join(sorted(changed)),
    )


def _changes(
  directory: pathlib.Path, configuration: loading.Configuration
) -> differences.Rows:
  """Returns how a configuration differs from the one of the run so far."""
  if not (directory / CONFIG).exists():
    return {}
  now = differences.values(configuration.text())
  found = differences.differing(read_values(directory), now)
  return {name: row for name, row in found.items() if name not in _PLACES}


def _header(every: Sequence[Mapping[str, Any]]) -> str:
  """Returns the comment above a run's configuration."""
  changed = [each for each in every if each.get('step') and each.get('changes')]
  if not changed:
    return (
      '# The complete configuration: --gin_file=THIS_FILE repeats this run.\n'
    )
  text = (
    f'The configuration since step {changed[-1]["step"]}. It changed during '
    'the run, so\nthis file alone does not repeat the run.\n'
  )
  for start in changed:
    headings = ['parameter', 'before', 'after']
    table = differences.table(start['changes'], headings)
    text += f'\nAt step {start["step"]}:\n\n{table}\n'
  lines = (f'# {line}'.rstrip() for line in text.splitlines())
  return '\n'.join([*lines, '', ''])


def read_values(directory: pathlib.Path) -> dict[str, str]:
  """Returns the values in a run's `config.gin`; see `differences.values`.

  Raises:
    InputError: it is missing, cannot be read, or has syntax errors.
  """
  path = directory / CONFIG
  return differences.values(paths.read_text(path), paths.display(str(path)))


def load(directory: pathlib.Path) -> loading.Configuration:
  """Loads the configuration that a run was trained with.

  Raises:
    InputError: the directory is not that of a run, or its `config.gin` or
      `provenance.json` is damaged.
  """
  check_is_run(directory)
  bindings = data_bindings(directory)
  return loading.load([str(directory / CONFIG)], bindings, root='train')


def data_bindings(directory: pathlib.Path) -> list[str]:
  """Returns bindings that set a run's data folder in any working directory.

  A relative `dataset.data_dir` is relative to the folder in which the run was
  first started, which its provenance records.

  Args:
    directory: the directory of the run.

  Raises:
    InputError: `config.gin` or `provenance.json` is damaged.
  """
  bound = read_values(directory).get(_DATA_DIR)
  first = next(iter(starts(directory)), {})
  if bound is None or 'working_directory' not in first:
    return []
  folder = os.path.join(first['working_directory'], ast.literal_eval(bound))
  # Otherwise the run has been moved together with its data set.
  return [f'{_DATA_DIR} = {folder!r}'] if os.path.isdir(folder) else []


def starts(directory: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the provenance of each start of a run; none for a new run.

  Raises:
    InputError: the file is damaged.
  """
  found = read_json(directory / PROVENANCE).get('starts', [])
  if not (
    isinstance(found, list) and all(isinstance(each, dict) for each in found)
  ):
    raise _damaged(directory / PROVENANCE, 'it has no list of starts')
  return found


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Reads a file written by `write_json`; returns {} if there is none.

  Raises:
    InputError: the file is damaged.
  """
  try:
    value = json.loads(path.read_bytes())
  except FileNotFoundError:
    return {}
  except (OSError, ValueError) as error:
    raise _damaged(path, errors.reason(error)) from error
  if not isinstance(value, dict):
    raise _damaged(path, 'it is not a JSON object')
  return value


def _damaged(path: pathlib.Path, reason: str) -> errors.InputError:
  return errors.InputError(
    f'{path} is damaged: {reason}. Restore it, or remove it to continue '
    'without it.'
  )


def write_classes(directory: pathlib.Path, names: Sequence[str]) -> None:
  """Writes `classes.txt`: one class name a line, in the order of the labels."""
  text = ''.join(f'{name}\n' for name in names)
  write(directory / CLASSES, text.encode())


def read_classes(directory: pathlib.Path) -> list[str]:
  """Reads the class names that `write_classes` wrote.

  Raises:
    InputError: the file is missing or is not UTF-8 text.
  """
  return paths.read_text(directory / CLASSES).split('\n')[:-1]


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes a JSON file atomically; see `write`."""
  text = json.dumps(value, indent=2) + '\n'
  # A row of numbers, such as a row of a matrix, goes on one line. Strings are
  # matched first, so that brackets in them stay as they are.
  text = re.sub(
    r'"(?:[^"\\]|\\.)*"|\[[-+\deE.,\s]+\]',
    lambda match: (
      match[0] if match[0].startswith('"') else ' '.join(match[0].split())
    ),
    text,
  )
  write(path, text.encode())


def write(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically: to a temporary file, which is then renamed.

  Raises:
    RunError: the disk is full, or the folder cannot be written.
  """
  temporary = path.with_name(f'.{path.name}.writing')
  try:
    path.parent.mkdir(exist_ok=True)
    temporary.write_bytes(content)
    temporary.rename(path)
  except OSError as error:
    with contextlib.suppress(OSError):
      temporary.unlink()
    raise errors.RunError(
      f'Cannot write {path}: {error.strerror}. Checkpoints are intact; fix '
      'that, then start again.'
    ) from error
