"""Checkpoints: a folder of arrays and state for each saved step.

A folder `step-00000010` holds two files:

- `arrays.safetensors`: every variable, named `group/path`.
- `state.json`: the state of the run, and a SHA-256 over the arrays file and
  the state.

Both are written to a temporary folder, which is then renamed. A folder with the
name of a step is therefore complete. Reading one runs no code.
"""

import collections
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import Literal

import keras
import numpy as np
import safetensors
import safetensors.numpy
import tensorflow as tf
from absl import logging

from tinygin.config import errors
from tinygin.models import pretrained

ARRAYS = 'arrays.safetensors'
Weights = Literal['average', 'raw']
_STATE = 'state.json'
_FOLDER = re.compile(r'step-(\d+)')


class MissingError(errors.InputError):
  """The checkpoint does not exist, or was removed while it was read."""


class DamagedError(errors.InputError):
  """The checkpoint cannot be read, or its checksum is wrong."""


class Checkpoints:
  """The checkpoints of a run, saved from and restored to its variables."""

  def __init__(
    self,
    directory: str | os.PathLike,
    groups: Mapping[str, Mapping[str, tf.Variable]],
  ):
    """Names the variables; touches no file.

    Args:
      directory: the folder of the checkpoints; created by the first save.
      groups: variables by group, such as `model`, and path.
    """
    self._directory = pathlib.Path(directory)
    self._variables = {
      f'{group}/{path}': variable
      for group, members in groups.items()
      for path, variable in members.items()
    }

  def sweep(self) -> None:
    """Removes the temporary folders of interrupted saves."""
    for pattern in ('.writing-*', '.removing-*'):
      for torn in self._directory.glob(pattern):
        shutil.rmtree(torn)

  def save(
    self, step: int, state: Mapping[str, Any], *, keep: int, best_step: int
  ) -> None:
    """Saves the variables and the state, then prunes.

    If the step is saved already, replaces its state and keeps its variables.

    Args:
      step: number of training steps done.
      state: JSON-serializable; `restore` returns it.
      keep: number of newest checkpoints that `prune` keeps.
      best_step: the step of the best checkpoint, which `prune` keeps too.

    Raises:
      RunError: the disk is full, or the folder cannot be written.
    """
    temporary = self._directory / f'.writing-{step}'
    final = _folder(self._directory, step)
    try:
      temporary.mkdir(parents=True)
      if final.exists():
        _write_state(temporary, final, state)
        (temporary / _STATE).rename(final / _STATE)
        temporary.rmdir()
      else:
        arrays = {
          name: np.asarray(variable.numpy())
          for name, variable in self._variables.items()
        }
        (temporary / ARRAYS).write_bytes(safetensors.numpy.save(arrays))
        _write_state(temporary, temporary, state)
        temporary.rename(final)
    except OSError as error:
      shutil.rmtree(temporary, ignore_errors=True)
      raise errors.RunError(
        f'Cannot write the checkpoint of step {step} to {self._directory}: '
        f'{error}. Earlier checkpoints are intact; fix that, then start the '
        'run again.'
      ) from error
    self.prune(keep, best_step)

  def prune(self, keep: int, best_step: int) -> None:
    """Removes all checkpoints but the newest and the best.

    Args:
      keep: number of newest checkpoints to keep.
      best_step: the step of the best checkpoint, which is kept too.
    """
    present = steps(self._directory)
    for old in set(present) - set(present[-keep:]) - {best_step}:
      self._remove(old)

  def restore_newest(self) -> dict[str, Any] | None:
    """Restores the newest intact checkpoint and removes damaged newer ones.

    Returns:
      Its state, or None if there is no checkpoint.

    Raises:
      InputError: a checkpoint does not fit the variables, or all are damaged.
    """
    present = steps(self._directory)
    for step in reversed(present):
      try:
        state = self.restore(step)
      except DamagedError as error:
        logging.warning('%s Restoring an earlier one.', error)
        continue
      # Damaged ones would count among the newest to keep.
      for newer in present[present.index(step) + 1 :]:
        self._remove(newer)
      return state
    if present:
      raise errors.InputError(
        f'All checkpoints in {self._directory} are damaged: steps {present}. '
        'Remove the folder to train from the start.'
      )
    return None

  def restore(self, step: int) -> dict[str, Any]:
    """Restores the checkpoint of a step and returns its state.

    Raises:
      InputError: it does not fit the variables, or is damaged. In this case, no
        variable is changed.
    """
    arrays, state = _load(self._directory, step)
    if faults := list(pretrained.misfits(self._variables, arrays)):
      raise errors.InputError(
        f'{_folder(self._directory, step)} does not fit the network and '
        'optimizer of this configuration:\n  ' + '\n  '.join(faults) + '\nUse '
        'the configuration that it was trained with.'
      )
    for name, variable in self._variables.items():
      variable.assign(arrays[name])
    return state

  def _remove(self, step: int) -> None:
    # Renamed first: no folder with the name of a step is ever incomplete.
    removed = self._directory / f'.removing-{step}'
    _folder(self._directory, step).rename(removed)
    shutil.rmtree(removed)


def find(directory: str | os.PathLike, name: str) -> int:
  """Returns the step of a checkpoint.

  Args:
    directory: the folder of the checkpoints.
    name: `latest`, `best` (by validation top-1) or a step.

  Raises:
    MissingError: there is no such checkpoint.
    InputError: the newest checkpoint, which records the best one, is damaged.
  """
  directory = pathlib.Path(directory)
  present = steps(directory)
  if not present:
    raise MissingError(
      f'{directory.parent} holds no checkpoint; expected one in '
      f'{directory.name}/. Name the directory of a run that has saved one.'
    )
  step, received = present[-1], name
  if name == 'best':
    best = _load(directory, step)[1]['best']
    step = best and best['step']
    received = 'best, but none has been evaluated yet'
  elif name != 'latest':
    step = int(name) if name.isdecimal() else None
  if step not in present:
    raise MissingError(
      f'The checkpoint of {directory} must be best, latest or one of the steps '
      f'{present}. Received: {received}.'
    )
  return step


def read(
  directory: str | os.PathLike, step: int, group: str
) -> dict[str, np.ndarray]:
  """Reads the variables of a group.

  Args:
    directory: the folder of the checkpoints.
    step: one of its steps.
    group: such as `model`.

  Returns:
    Arrays by the path of their variable.

  Raises:
    InputError: the checkpoint is damaged, or is a link.
  """
  return _group(_load(pathlib.Path(directory), step)[0], group)


def read_trained(
  directory: str | os.PathLike, name: str, weights: Weights
) -> tuple[int, dict[str, np.ndarray]]:
  """Reads a trained network while another process may be training it.

  Args:
    directory: the folder of the checkpoints.
    name: as for `find`.
    weights: as for `trained`.

  Returns:
    The step, and arrays by the path of their variable.

  Raises:
    MissingError: there is no such checkpoint.
    InputError: it is damaged, or is a link.
  """
  step, arrays = _load_found(pathlib.Path(directory), name)
  return step, trained(arrays, weights)


def trained(
  arrays: Mapping[str, np.ndarray], weights: Weights
) -> dict[str, np.ndarray]:
  """Selects the arrays of the trained network.

  Args:
    arrays: by `group/path`, as in the arrays file of a checkpoint.
    weights: `average` for the moving averages, where there are any; `raw` for
      the weights of the last step.

  Returns:
    Arrays by the path of their variable.
  """
  found = _group(arrays, 'model')
  return found | _group(arrays, 'average') if weights == 'average' else found


def by_path(variables: Iterable[keras.Variable]) -> dict[str, tf.Variable]:
  """Returns the TensorFlow variables behind Keras variables, by path.

  Raises:
    ValueError: two variables have the same path.
  """
  variables = list(variables)
  found = {variable.path: variable.value for variable in variables}
  if len(found) != len(variables):
    paths = collections.Counter(variable.path for variable in variables)
    repeated = [path for path, count in paths.items() if count > 1]
    raise ValueError(
      'Several variables have the same path, so a checkpoint could not tell '
      f'them apart: {", ".join(repeated)}. Give their layers unique names.'
    )
  return found


def steps(directory: str | os.PathLike) -> list[int]:
  """Returns the steps of the complete checkpoints in a folder, in order."""
  names = [path.name for path in pathlib.Path(directory).glob('step-*')]
  return sorted(int(m[1]) for m in map(_FOLDER.fullmatch, names) if m)


def _load_found(
  directory: pathlib.Path, name: str
) -> tuple[int, dict[str, np.ndarray]]:
  while True:
    step = find(directory, name)
    try:
      return step, _load(directory, step)[0]
    except DamagedError:
      if step in steps(directory):
        raise
      # It was pruned meanwhile: search again.


def _load(
  directory: pathlib.Path, step: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """Returns the arrays by `group/path`, and the state."""
  folder = _folder(directory, step)
  try:
    _refuse_links(folder)
    saved = json.loads((folder / _STATE).read_text(encoding='utf-8'))
    if not (isinstance(saved, dict) and {'sha256', 'state'} <= saved.keys()):
      raise ValueError(f'{_STATE} holds no state with a checksum')
    if saved['sha256'] != _digest(folder, saved['state']):
      raise ValueError('the checksum does not match')
    return safetensors.numpy.load_file(folder / ARRAYS), saved['state']
  except (OSError, ValueError, safetensors.SafetensorError) as error:
    raise DamagedError(
      f'The checkpoint {folder} is damaged ({error}). Its run has checkpoints '
      f'of the steps {steps(directory)}.'
    ) from error


def _write_state(
  folder: pathlib.Path, arrays: pathlib.Path, state: Mapping[str, Any]
) -> None:
  """Writes the state to a folder, with a checksum of the arrays in another."""
  saved = {'state': state, 'sha256': _digest(arrays, state)}
  text = json.dumps(saved, indent=2)
  (folder / _STATE).write_text(text, encoding='utf-8')


def _digest(folder: pathlib.Path, state: Mapping[str, Any]) -> str:
  with open(folder / ARRAYS, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256')
  digest.update(json.dumps(state).encode())
  return digest.hexdigest()


def _group(
  arrays: Mapping[str, np.ndarray], group: str
) -> dict[str, np.ndarray]:
  return {
    name.removeprefix(f'{group}/'): array
    for name, array in arrays.items()
    if name.startswith(f'{group}/')
  }


def _folder(directory: pathlib.Path, step: int) -> pathlib.Path:
  return directory / f'step-{step:08d}'


def _refuse_links(folder: pathlib.Path) -> None:
  for path in (folder.parent, folder, *folder.iterdir()):
    if path.is_symlink():
      raise errors.InputError(
        f'{path} is a link to {path.readlink()}; checkpoints must be inside '
        'the run directory. Copy the target there if you trust it.'
      )
