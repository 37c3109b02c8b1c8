"""Builds a data set if it is missing, and reads its splits."""

import dataclasses
import math
import os
from typing import Protocol

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tinygin.config import errors
from tinygin.config import files
from tinygin.data import records


class BuildableDataset(Protocol):
  """The interface of a declared data set."""

  @property
  def directory(self) -> str:
    """Folder of the finished TFDS data set."""

  @property
  def filter(self) -> str:
    """The filter that resizes other images, such as `box`."""

  def conform(self, content: bytes) -> np.ndarray:
    """Converts any encoded image to the format of this data set, uint8.

    Raises:
      InputError: the image cannot be decoded. The message does not name the
        image.
    """

  def is_built(self) -> bool:
    """Whether the declared data set is complete on disk."""

  def build(self) -> str:
    """Builds the data set and returns its folder."""


@dataclasses.dataclass(frozen=True)
class Split:
  """A split, in the order of its files.

  Attributes:
    name: the TFDS split, such as `train` or `train[:90%]`.
    images: uint8 tensor (examples, height, width, 3); or the places of the
      stored images, if they would take too much memory.
    labels: int64 tensor (examples,); -1 for examples without a label.
    class_names: in the order of the labels.
  """

  name: str
  images: tf.Tensor | records.StoredImages
  labels: tf.Tensor
  class_names: tuple[str, ...]

  @property
  def size(self) -> int:
    """Number of examples."""
    return int(self.labels.shape[0])

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """Height, width and channels."""
    return tuple(self.images.shape[1:])

  def first(self, count: int) -> 'Split':
    """Returns the split with at most that many of its examples."""
    return dataclasses.replace(self, labels=self.labels[:count])

  def gather(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns examples by their index.

    Args:
      indices: int64 (batch,).

    Returns:
      uint8 (batch, height, width, 3) and int64 (batch,).
    """
    if isinstance(self.images, records.StoredImages):
      images = self.images.gather(indices)
    else:
      images = tf.gather(self.images, indices)
    return images, tf.gather(self.labels, indices)


def prepare(dataset: BuildableDataset, may_build: bool) -> str:
  """Returns the folder of the data set; builds the data set if it is missing.

  Args:
    dataset: the declared data set.
    may_build: False: a missing data set is an error.

  Raises:
    InputError: the data set is missing and may not be built, or it was built
      with other parameters.
  """
  if dataset.is_built():
    return dataset.directory
  if not may_build:
    raise errors.InputError(
      f'The data set {dataset.directory} does not exist, and --dry writes '
      'nothing. Build it first, with ./bazelw run '
      '//beam_pipelines:build_dataset -- and the same gin files and bindings.'
    )
  return dataset.build()


def read(directory: str, split: str, memory_limit_mib: int) -> Split:
  """Reads a split, decoded into memory if it fits, otherwise on demand.

  Both give the same examples in the same order.

  Args:
    directory: a TFDS data set with the features `image` and `label`.
    split: a TFDS split, sub-splits such as `train[:90%]` included.
    memory_limit_mib: the most memory for decoded images, in MiB.

  Raises:
    InputError: the split is unknown or empty, or its files are damaged or have
      another number of examples than the data set declares.
    RunError: a file could not be read.
  """
  try:
    with files.local_folder(directory, leave_out='.tfrecord') as folder:
      info = tfds.builder_from_directory(folder).info
  except Exception as error:  # TFDS raises many kinds.
    raise errors.InputError(
      f'{directory} must be a data set that TFDS can read. Received: '
      f'{type(error).__name__}: {str(error).rstrip(".")}. Delete that folder '
      'and build the data set again.'
    ) from error
  try:
    split_info = info.splits[split]
  except (KeyError, ValueError) as error:
    raise errors.InputError(
      f'{directory} has no split {split!r}. Its splits: '
      f'{", ".join(sorted(info.splits))}.'
    ) from error
  if split_info.num_examples < 1:
    raise errors.InputError(
      f'The split {split!r} of {directory} has no examples.'
    )
  image_shape = info.features['image'].shape
  size = split_info.num_examples * math.prod(image_shape)
  read_images = (
    records.decoded if size <= memory_limit_mib * 2**20 else records.stored
  )
  instructions = [
    dataclasses.replace(
      each,
      filename=os.path.join(directory, os.path.basename(each.filename)),
    )
    for each in split_info.file_instructions
  ]
  images, labels = read_images(instructions, image_shape)
  return Split(
    name=split,
    images=images,
    labels=labels,
    class_names=tuple(info.features['label'].names),
  )
