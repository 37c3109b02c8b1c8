"""The weights a run starts with, where they are not drawn."""

import os

import keras

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
    InputError: there is no such source, or it does not fit the network.
  """
  path = paths.find(source)
  if os.path.isdir(path):
    folder = os.path.join(path, run_directory.CHECKPOINTS)
    step = checkpoints.Checkpoints(folder, {}).find('best')
    weights = checkpoints.read(folder, step, 'model')
  else:
    weights = pretrained.read_hdf5(path)
  pretrained.initialize(model, weights, include_head, path)
