"""The weights a run starts with, where they are not drawn."""

import os

import keras
import numpy as np

from tinygin.config import paths
from tinygin.models import pretrained
from tinygin.training import checkpoints
from tinygin.training import run_directory


def initialize(model: keras.Model, source: str, include_head: bool) -> None:
  """Initialises a network from the best checkpoint of a run or an HDF5 file.

  Args:
    model: the network.
    source: the directory of a run, or a file of weights saved by Keras 2.
    include_head: whether the head is initialised too; if not, it may have
      another number of classes.

  Raises:
    InputError: there is no such source, it is damaged, or it does not fit the
      network.
  """
  path = paths.find(source)
  read = _read_run if os.path.isdir(path) else pretrained.read_hdf5
  pretrained.initialize(model, read(path), include_head, path)


def _read_run(directory: str) -> dict[str, np.ndarray]:
  folder = os.path.join(directory, run_directory.CHECKPOINTS)
  step = checkpoints.Checkpoints(folder, {}).find('best')
  return checkpoints.read(folder, step, 'model')
