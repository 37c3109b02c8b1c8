"""A run's directory: who may write there, and what describes the run."""

import contextlib
import datetime
import fcntl
import itertools
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from tinygin.config import constraints
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
# The path of a directory; the start's time replaces `{time}` in it.
TIMED_PATH = constraints.Condition(
  re.compile(r'([^{}]|\{time\})*').fullmatch, 'with no braces but {time}'
)
# What a run or a sweep has done stands in these.
_WORK = (CHECKPOINTS, 'trials')


@contextlib.contextmanager
def locked(
  pattern: str,
  start: datetime.datetime,
  kind: str = 'run',
  setting: str = 'train.run_dir',
) -> Iterator[pathlib.Path]:
  """Makes the directory and holds its lock.

  A directory that was made here is removed again when the input is wrong, or
  when the program is stopped before there is anything to go on with. A process
  that is started with `close_fds=False` keeps the lock for as long as it lives.

  Args:
    pattern: the run's directory, absolute. `{time}` in it stands for the start,
      and for a number where there is such a directory already.
    start: when this run starts.
    kind: what the directory is that of, for messages.
    setting: what names the directory, for messages.

  Yields:
    The directory.

  Raises:
    InputError: it cannot be written, or another process trains there.
  """
  try:
    path, is_new = _made(pattern, start)
    if any(entry.name != _LOCK for entry in path.iterdir()):
      check_is_run(path, kind)
    lock = open(path / _LOCK, 'a')  # noqa: SIM115
    os.set_inheritable(lock.fileno(), True)
  except OSError as error:
    raise errors.InputError(
      f'The {kind} directory {pattern} must be a folder that can be written. '
      f'Received: {error.strerror} ({error.filename}). Choose another with '
      f'{setting}.'
    ) from error
  try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    lock.close()
    raise errors.InputError(
      f'The {kind} directory {path} is in use by another process. Wait until '
      f'it ends, or choose another with {setting}.'
    ) from error
  try:
    yield path
  except (errors.InputError, errors.StoppedError, KeyboardInterrupt):
    if is_new and not any((path / name).exists() for name in _WORK):
      shutil.rmtree(path)
    raise
  finally:
    lock.close()


def _made(pattern: str, start: datetime.datetime) -> tuple[pathlib.Path, bool]:
  """Makes the directory; returns it, and whether it was not there before."""
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


def check_is_run(directory: pathlib.Path, kind: str = 'run') -> None:
  """Refuses a directory that holds something else than a run, or a sweep.

  Raises:
    InputError: there is no `config.gin` in it.
  """
  if not (directory / CONFIG).exists():
    raise errors.InputError(
      f'{directory} must be the directory of a {kind}. Received: one without '
      f'{CONFIG}.'
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
    InputError: the directory holds a run of another configuration, or what
      describes that run is damaged.
  """
  starts(directory)
  changed = _changes(directory, configuration)
  fixed = [each for each in changed if each.name in configuration.fixed()]
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

  Where the configuration has changed since an earlier start, `config.gin` says
  at which step and how: it alone does not repeat such a run.

  Args:
    directory: the run's directory.
    configuration: what is trained.
    step: the step from which the run goes on; 0 at its beginning.
    start: what describes this start of the run.
  """
  changes = _changes(directory, configuration)
  parameters = json.loads(configuration.json())
  every = [
    *starts(directory),
    {
      'step': step,
      'changes': {each.name: list(each.values) for each in changes},
      **start,
      'parameters': parameters,
    },
  ]
  write_json(directory / PROVENANCE, {'starts': every})
  config = directory / CONFIG
  if changes or not config.exists():
    write(config, (_header(every) + configuration.text()).encode())


def _changes(
  directory: pathlib.Path, configuration: loading.Configuration
) -> list[differences.Difference]:
  """Returns in what a configuration differs from the run's so far."""
  if not (directory / CONFIG).exists():
    return []
  found = differences.differences(read_config(directory), configuration.text())
  # It says where a run lies, not what it is.
  return [each for each in found if each.name != 'train.run_dir']


def _header(every: Sequence[Mapping[str, Any]]) -> str:
  """Returns the comment above a run's configuration."""
  changed = [each for each in every if each.get('step') and each.get('changes')]
  if not changed:
    return (
      '# All that train is configured with: --gin_file=THIS_FILE repeats it.\n'
    )
  text = (
    f'What train is configured with since step {changed[-1]["step"]}. The '
    'configuration\nchanged on the way: this file alone does not repeat the '
    'run.\n'
  )
  for start in changed:
    rows = [
      differences.Difference(name, values)
      for name, values in start['changes'].items()
    ]
    table = differences.table(rows, ['parameter', 'before', 'after'])
    text += f'\nAt step {start["step"]}:\n\n{table}\n'
  lines = (f'# {line}'.rstrip() for line in text.splitlines())
  return '\n'.join([*lines, '', ''])


def read_config(directory: pathlib.Path) -> str:
  """Returns the text of a run's `config.gin`.

  Raises:
    InputError: there is none, or it cannot be read.
  """
  path = directory / CONFIG
  try:
    return path.read_text(encoding='utf-8')
  except (OSError, UnicodeError) as error:
    reason = getattr(error, 'strerror', None) or 'it is not UTF-8 text'
    raise errors.InputError(
      f'{directory} must be the directory of a run. Received: one in which '
      f'{CONFIG} cannot be read ({reason}).'
    ) from error


def load(directory: pathlib.Path) -> loading.Configuration:
  """Loads what a run was trained with.

  Raises:
    InputError: the directory is not that of a run, or its `config.gin` is
      wrong.
  """
  check_is_run(directory)
  return loading.load([str(directory / CONFIG)], [], root='train')


def starts(directory: pathlib.Path) -> list[dict[str, Any]]:
  """Returns what describes each start of a run; nothing for a new one.

  Raises:
    InputError: the file is damaged.
  """
  found = read_json(directory / PROVENANCE).get('starts', [])
  if not (
    isinstance(found, list) and all(isinstance(each, dict) for each in found)
  ):
    raise _damaged(directory / PROVENANCE, 'no list of starts')
  return found


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Returns what `write_json` has written; nothing where there is no file.

  Raises:
    InputError: the file is damaged.
  """
  try:
    value = json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError:
    return {}
  except json.JSONDecodeError as error:
    raise _damaged(path, f'{error.msg} in line {error.lineno}') from error
  except (OSError, UnicodeError) as error:
    reason = getattr(error, 'strerror', None) or 'no UTF-8 text'
    raise _damaged(path, reason) from error
  if not isinstance(value, dict):
    raise _damaged(path, 'no JSON object')
  return value


def _damaged(path: pathlib.Path, reason: str) -> errors.InputError:
  return errors.InputError(
    f'{path} must be as a run has written it. Received: {reason}. Restore it, '
    'or remove it to go on without.'
  )


def write_classes(directory: pathlib.Path, names: Sequence[str]) -> None:
  """Writes `classes.txt`: the names of the classes in order, one a line."""
  text = ''.join(f'{name}\n' for name in names)
  write(directory / CLASSES, text.encode())


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
      'whole; start again once that is mended.'
    ) from error
