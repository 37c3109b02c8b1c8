"""Initializes networks from trained weights."""

import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import safetensors.numpy

from tinygin.config import errors
from tinygin.config import paths
from tinygin.models import layers  # noqa: F401  Registers layers of .keras files.
from tinygin.models import pretrained
from tinygin.training import checkpoints
from tinygin.training import run_directory


def initialize(
  model: keras.Model, source: str, *, head: Sequence[str], include_head: bool
) -> None:
  """Initializes a network from trained weights.

  Averaged weights are used if the source has them.

  Args:
    model: the network.
    source: a run's directory, whose best checkpoint is used; the
      `.safetensors` file of a checkpoint; an exported `.keras` file; or an HDF5
      file of weights saved by Keras 2.
    head: patterns of the paths of the head's variables.
    include_head: whether the head is initialized too. If not, it may have
      another number of classes.

  Raises:
    InputError: the source does not exist, is damaged, or does not fit the
      network; or the head is left out and one of its patterns matches nothing.
  """
  try:
    path = paths.find(source, kind='file or folder')
    read = _READERS.get(pathlib.Path(path).suffix, pretrained.read_hdf5)
    if os.path.isdir(path):
      read = _read_run
    weights = read(path)
  except errors.InputError as error:
    raise errors.InputError(
      "train.init_from must be a run's directory, the .safetensors file of a "
      'checkpoint, an exported .keras file, or an HDF5 file of weights saved '
      f'by Keras 2. Received: {source}. {error}'
    ) from error
  pretrained.initialize(
    model,
    weights,
    f'train.init_from, {path},',
    head=head,
    include_head=include_head,
  )


def _read_run(directory: str) -> dict[str, np.ndarray]:
  folder = pathlib.Path(directory, run_directory.CHECKPOINTS)
  return checkpoints.read_trained(folder, 'best', 'average')[1]


def _read_safetensors(path: str) -> dict[str, np.ndarray]:
  try:
    arrays = safetensors.numpy.load_file(path)
  except (OSError, safetensors.SafetensorError) as error:
    raise errors.InputError(
      f'{path} must be a safetensors file. Received: {error}.'
    ) from error
  return checkpoints.trained(arrays, 'average')


def _read_keras(path: str) -> dict[str, np.ndarray]:
  try:
    loaded = keras.saving.load_model(path, compile=False)
  except Exception as error:  # Keras raises errors of many types.
    raise errors.InputError(
      f'{path} must be a network that Keras 3 has saved. Received: {error}'
    ) from error
  return {each.path: each.numpy() for each in loaded.variables}


_READERS = {'.keras': _read_keras, '.safetensors': _read_safetensors}
