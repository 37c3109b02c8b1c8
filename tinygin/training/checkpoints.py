"""Checkpoints: written whole or not at all, restored whole or refused."""

import collections
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tinygin.config import errors

_FOLDER = re.compile(r'step-(\d+)')
_VARIABLES = 'variables'
_STATE = 'state.json'


class MissingError(errors.InputError):
  """There is no such checkpoint, or no longer."""


class Checkpoints:
  """The checkpoints of a run: one folder a step.

  A folder holds the variables in TensorFlow's format and `state.json`. It is
  written under another name and then renamed, so that a folder with a step's
  name is complete.
  """

  def __init__(
    self,
    directory: str | os.PathLike,
    groups: Mapping[str, Mapping[str, tf.Variable]],
  ):
    """Names what is saved and restored; touches no file.

    Args:
      directory: the folder of the checkpoints; made when the first is saved.
      groups: variables by group, such as `model`, and path.
    """
    self._directory = pathlib.Path(directory)
    self._groups = groups
    # Explicit dictionaries: automatic tracking misses variables of layers that
    # are held in plain lists.
    self._checkpoint = tf.train.Checkpoint(
      **{group: dict(members) for group, members in groups.items()}
    )

  def sweep(self) -> None:
    """Removes what an interrupted save left behind."""
    for pattern in ('.writing-*', '.removing-*'):
      for torn in self._directory.glob(pattern):
        shutil.rmtree(torn)

  def save(
    self, step: int, state: Mapping[str, Any], *, keep: int, best_step: int
  ) -> None:
    """Saves the variables and the state, then removes superfluous ones.

    Args:
      step: number of training steps that led here.
      state: JSON-serialisable; returned by `restore`.
      keep: how many of the newest checkpoints stay, beside the best.
      best_step: the step of the best checkpoint.

    Raises:
      RunError: there is no room, or the folder cannot be written.
    """
    temporary = self._directory / f'.writing-{step}'
    final = _folder(self._directory, step)
    if final.exists():
      return  # Saved by an evaluation just now.
    try:
      temporary.mkdir(parents=True)
      self._checkpoint.write(str(temporary / _VARIABLES))
      (temporary / _STATE).write_text(json.dumps(state, indent=2))
      temporary.rename(final)
    except (OSError, tf.errors.OpError) as error:
      shutil.rmtree(temporary, ignore_errors=True)
      raise errors.RunError(
        f'The checkpoint of step {step} could not be written to '
        f'{self._directory}: {error}. The checkpoints before it are whole; '
        'start the run again once that is mended.'
      ) from error
    self.prune(keep, best_step)

  def prune(self, keep: int, best_step: int) -> None:
    """Removes all but the newest checkpoints and the best.

    Args:
      keep: how many of the newest checkpoints stay, beside the best.
      best_step: the step of the best checkpoint.
    """
    present = steps(self._directory)
    for old in set(present) - set(present[-keep:]) - {best_step}:
      self._remove(old)

  def restore_newest(self) -> dict[str, Any] | None:
    """Restores the newest checkpoint that is whole.

    Returns:
      Its state, or None where there is no checkpoint.

    Raises:
      InputError: a checkpoint is of another model, or all are damaged.
    """
    present = steps(self._directory)
    for step in reversed(present):
      try:
        state = self.restore(step)
        # What is newer is damaged, and would count among those to keep.
        for newer in present[present.index(step) + 1 :]:
          self._remove(newer)
        return state
      except errors.InputError:
        raise
      except Exception as error:  # TensorFlow raises what it likes.
        logging.warning(
          'The checkpoint %s is damaged and left out: %s',
          _folder(self._directory, step),
          error,
        )
    if present:
      raise errors.InputError(
        f'{self._directory} must hold a whole checkpoint. Received: '
        f'{len(present)} damaged ones, of steps {present}. Remove the folder '
        'to train from the start.'
      )
    return None

  def find(self, name: str) -> int:
    """Returns the step of a checkpoint.

    Args:
      name: `latest`, `best` (of the validation top-1 so far) or a step.

    Raises:
      MissingError: there is no such checkpoint.
      InputError: the newest, which knows the best, is damaged.
    """
    present = steps(self._directory)
    if not present:
      raise MissingError(
        f'{self._directory.parent} must be the directory of a run that has '
        'saved a checkpoint. Received: one with none in '
        f'{self._directory.name}/.'
      )
    step, received = present[-1], name
    if name == 'best':
      step = self._best_step(step)
      received = 'best, and none is evaluated yet'
    elif name != 'latest':
      step = int(name) if name.isdecimal() else None
    if step not in present:
      raise MissingError(
        f'The checkpoint of {self._directory} must be best, latest or one of '
        f'the steps {present}. Received: {received}.'
      )
    return step

  def restore_found(self, name: str) -> int:
    """Restores a checkpoint while another process may be training.

    Args:
      name: as for `find`.

    Returns:
      Its step.

    Raises:
      MissingError: there is no such checkpoint, or no longer.
      InputError: it is of another model, or damaged.
    """
    while True:
      step = self.find(name)
      try:
        self.restore(step)
        return step
      except errors.InputError:
        raise
      except Exception as error:  # TensorFlow raises what it likes.
        # One that was pruned meanwhile is not found again.
        if step in steps(self._directory):
          raise _damaged(self._directory, step, error) from error

  def restore(self, step: int) -> dict[str, Any]:
    """Restores the checkpoint of a step and returns its state."""
    folder = _folder(self._directory, step)
    _check_place(folder)
    state = json.loads((folder / _STATE).read_text())
    reader = tf.train.load_checkpoint(str(folder / _VARIABLES))
    self._check_variables(folder, reader.get_variable_to_shape_map())
    # All are read before the first is assigned: what is damaged, or removed
    # meanwhile, leaves the variables as they are.
    values = [
      (variable, reader.get_tensor(_key(group, path)))
      for group, members in self._groups.items()
      for path, variable in members.items()
    ]
    for variable, value in values:
      variable.assign(value)
    return state

  def _best_step(self, step: int) -> int | None:
    """Returns the step of the best evaluation up to a checkpoint."""
    folder = _folder(self._directory, step)
    _check_place(folder)
    try:
      best = json.loads((folder / _STATE).read_text())['best']
    except (OSError, ValueError) as error:
      raise _damaged(self._directory, step, error) from error
    return best and best['step']

  def _remove(self, step: int) -> None:
    # Renamed first, so that no folder with a step's name is ever torn.
    removed = self._directory / f'.removing-{step}'
    _folder(self._directory, step).rename(removed)
    shutil.rmtree(removed)

  def _check_variables(
    self, folder: pathlib.Path, shapes: Mapping[str, Sequence[int]]
  ) -> None:
    expected = {
      _key(group, path): variable.shape
      for group, members in self._groups.items()
      for path, variable in members.items()
    }
    present = {
      key: shape
      for key, shape in shapes.items()
      if key.split('/', 1)[0] in self._groups
    }
    faults = [f'missing {_unescape(key)}' for key in expected.keys() - present]
    faults += [f'extra {_unescape(key)}' for key in present.keys() - expected]
    faults += [
      f'{_unescape(key)} of shape {tuple(present[key])}, not {tuple(shape)}'
      for key, shape in expected.items()
      if key in present and tuple(present[key]) != tuple(shape)
    ]
    if faults:
      raise errors.InputError(
        f'{folder} must fit the network and optimizer of the config: go on '
        'with the one that it was written with. Received: '
        f'{"; ".join(sorted(faults))}.'
      )


def read(
  directory: str | os.PathLike, step: int, group: str
) -> dict[str, np.ndarray]:
  """Reads the variables of a group, whatever network the checkpoint is of.

  Args:
    directory: the folder of the checkpoints.
    step: one of its steps.
    group: such as `model`.

  Returns:
    Arrays by the path of their variable.

  Raises:
    InputError: the checkpoint is damaged, or lies elsewhere.
  """
  directory = pathlib.Path(directory)
  folder = _folder(directory, step)
  _check_place(folder)
  try:
    reader = tf.train.load_checkpoint(str(folder / _VARIABLES))
    return {
      _unescape(key).removeprefix(f'{group}/'): reader.get_tensor(key)
      for key in reader.get_variable_to_shape_map()
      if key.startswith(f'{group}/')
    }
  except Exception as error:  # TensorFlow raises what it likes.
    raise _damaged(directory, step, error) from error


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
      'Variables must have paths of their own, to be told apart in a '
      f'checkpoint. Received twice: {", ".join(repeated)}. Give the layers '
      'names.'
    )
  return found


def steps(directory: str | os.PathLike) -> list[int]:
  """Returns the steps of the complete checkpoints in a folder, in order."""
  folder = pathlib.Path(directory)
  names = [path.name for path in folder.glob('step-*')]
  return sorted(int(m[1]) for m in map(_FOLDER.fullmatch, names) if m)


def _folder(directory: pathlib.Path, step: int) -> pathlib.Path:
  return directory / f'step-{step:08d}'


def _damaged(
  directory: pathlib.Path, step: int, error: Exception
) -> errors.InputError:
  return errors.InputError(
    f'{_folder(directory, step)} must be a whole checkpoint. Received: a '
    f'damaged one ({error}). Choose another of the steps {steps(directory)}.'
  )


def _check_place(folder: pathlib.Path) -> None:
  """Refuses a checkpoint that leads to files outside of its folder."""
  for path in (folder.parent, folder, *folder.iterdir()):
    if path.is_symlink():
      raise errors.InputError(
        f'{path} must lie in the run directory. Received: a link to '
        f'{path.readlink()}. Put there what it leads to, if you trust it.'
      )


def _key(group: str, path: str) -> str:
  # As TensorFlow writes names of dictionary entries into its keys.
  escaped = path.replace('.', '..').replace('/', '.S')
  return f'{group}/{escaped}/.ATTRIBUTES/VARIABLE_VALUE'


def _unescape(key: str) -> str:
  name = key.removesuffix('/.ATTRIBUTES/VARIABLE_VALUE')
  return re.sub(r'\.[.S]', lambda pair: '.' if pair[0] == '..' else '/', name)
