"""Brings a data set to the trainer: builds it if need be, then reads it."""

import dataclasses
import math
from typing import Protocol

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tinygin.config import errors
from tinygin.data import records


class BuildableDataset(Protocol):
  """What the trainer asks of a declared data set."""

  @property
  def directory(self) -> str:
    """Folder of the finished TFDS data set."""

  @property
  def filter(self) -> str:
    """What resizes images of another size: `box` and its like."""

  def conform(self, content: bytes) -> np.ndarray:
    """Returns any encoded image as the data set would hold it, uint8.

    Raises:
      InputError: it cannot be decoded; the text does not name it.
    """

  def is_built(self) -> bool:
    """Whether the folder holds exactly the declared data set."""

  def build(self) -> str:
    """Builds the data set and returns its folder."""


@dataclasses.dataclass(frozen=True)
class Split:
  """A split, in the order of its files.

  Attributes:
    name: the TFDS split, such as `train` or `train[:90%]`.
    images: uint8 tensor (examples, height, width, 3); or where they are stored,
      if they would take too much memory.
    labels: int64 tensor (examples,); -1 where the archive holds no label.
    class_names: the names of the labels.
  """

  name: str
  images: tf.Tensor | records.StoredImages
  labels: tf.Tensor
  class_names: tuple[str, ...]

  @property
  def size(self) -> int:
    """Number of examples."""
    return int(self.labels.shape[0])

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
  """Returns the folder of the data set, built first where it is missing.

  Args:
    dataset: the declared data set.
    may_build: whether a missing data set is built; otherwise it is an error.

  Raises:
    InputError: the data set is missing and must not be built, or what lies in
      its folder was built from other parameters.
  """
  if dataset.is_built():
    return dataset.directory
  if not may_build:
    raise errors.InputError(
      f'The data set {dataset.directory} is not built yet, and a dry run '
      'writes nothing. Run //beam_pipelines:build_dataset first.'
    )
  return dataset.build()


def read(directory: str, split: str, memory_limit_mib: int) -> Split:
  """Reads a split: decoded into memory if it fits, else when it is asked for.

  Either way gives the same examples in the same order.

  Args:
    directory: a TFDS data set with the features `image` and `label`.
    split: a TFDS split, sub-splits such as `train[:90%]` included.
    memory_limit_mib: the most that the decoded images may take, in MiB.

  Raises:
    InputError: no such split, an empty one, or files that are damaged or hold
      another number of examples than the data set declares.
  """
  try:
    info = tfds.builder_from_directory(directory).info
  except Exception as error:  # TFDS raises whatever comes.
    raise errors.InputError(
      f'{directory} must be a data set that TFDS can read. Received: '
      f'{type(error).__name__}: {str(error).rstrip(".")}. Delete that folder, '
      'and build the data set again.'
    ) from error
  try:
    split_info = info.splits[split]
  except (KeyError, ValueError) as error:
    raise errors.InputError(
      f'{directory} must hold the split asked for. Received: {split!r}; '
      f'present: {", ".join(sorted(info.splits))}.'
    ) from error
  if split_info.num_examples < 1:
    raise errors.InputError(
      f'The split asked for must hold examples. Received: {split!r} of '
      f'{directory}, which has none.'
    )
  image_shape = info.features['image'].shape
  size = split_info.num_examples * math.prod(image_shape)
  read_images = (
    records.decoded if size <= memory_limit_mib * 2**20 else records.stored
  )
  images, labels = read_images(split_info.file_instructions, image_shape)
  return Split(
    name=split,
    images=images,
    labels=labels,
    class_names=tuple(info.features['label'].names),
  )
