"""The data set that an experiment is configured with."""

import contextlib
import dataclasses
import errno
import logging
import os
import re
import signal
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Annotated

import gin
import numpy as np
from annotated_types import Ge
from etils import epath

from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines import resize as resizing
from tinygin.config import constraints
from tinygin.config import errors
from tinygin.config import native_output
from tinygin.config import paths

if TYPE_CHECKING:
  from apache_beam.options import pipeline_options as beam_options


# A name that any file system takes.
FILE_NAME = constraints.Condition(
  re.compile(r'[\w-][\w.-]*').fullmatch, "of letters, digits, '_', '-' and '.'"
)


@gin.register('dataset')
@dataclasses.dataclass(frozen=True)
class Dataset:
  """A TFDS data set on disk, and all it takes to build it.

  Attributes:
    name: of the data set's folder, such as `quickstart`.
    data_dir: the folder of all data sets, relative to where the user is.
    source: where the images come from: `@synthetic()`, `@stanford()` or
      `@ilsvrc()`.
    classes: how many the source must have.
    image_size: height and width of the images, in pixels.
    resize: makes images of that size: `@resize()`; None: the source's images
      have it, and their bytes are kept.
    examples_per_shard: the most that one record file holds.
    max_bad_images: how many images that cannot be read are left out, and listed
      in `rejected.jsonl`; one more, and nothing is built.
  """

  name: Annotated[str, FILE_NAME]
  data_dir: str
  source: indexing.Source
  classes: Annotated[int, Ge(2)]
  image_size: Annotated[int, Ge(1)]
  resize: resizing.Resize | None
  examples_per_shard: Annotated[int, Ge(1)]
  max_bad_images: Annotated[int, Ge(0)]

  @property
  def directory(self) -> str:
    """Where the data set lies: a folder for `tfds.builder_from_directory`."""
    return os.path.join(
      paths.resolve(self.data_dir),
      fingerprint.DATASET,
      self.name,
      fingerprint.VERSION,
    )

  @property
  def filter(self) -> str:
    """What resizes images of another size; see `conform`."""
    # One that leaves an image of the same size as it is.
    return self.resize.filter if self.resize else 'catmull_rom'

  def conform(self, content: bytes) -> np.ndarray:
    """Returns an encoded image of any kind as this data set would hold it.

    Args:
      content: BMP, GIF, JPEG, PNG, TIFF or WebP, of any size and colours.

    Returns:
      uint8 (image_size, image_size, 3).

    Raises:
      errors.InputError: it is no such image; the text does not name it.
    """
    try:
      image = resizing.conform(
        content, self.image_size, self.resize, self.filter
      )
    except resizing.BadImageError as error:
      raise errors.InputError(str(error)) from error
    return np.asarray(image)

  def mismatches(self) -> list[str]:
    """Names the parameters in which the data set on disk differs from these."""
    metadata = fingerprint.read(self.directory)
    found = fingerprint.differences(
      metadata.get('parameters', {}), fingerprint.parameters(self)
    )
    if (rejected := metadata.get('rejected', 0)) > self.max_bad_images:
      found.append(
        f'dataset.max_bad_images: {rejected:,} images were left out, '
        f'configured as {self.max_bad_images}'
      )
    return found

  def is_built(self) -> bool:
    """Whether the data set is there, complete and built as configured.

    Raises:
      errors.InputError: it was built with other parameters.
    """
    if not (epath.Path(self.directory) / 'dataset_info.json').exists():
      return False
    if mismatches := self.mismatches():
      raise errors.InputError(
        f'{self.directory} must be built as configured. Received:\n  '
        + '\n  '.join(mismatches)
        + '\nDelete that folder, or give this data set another dataset.name '
        'or dataset.data_dir.'
      )
    return True

  def build(
    self, pipeline_options: 'beam_options.PipelineOptions | None' = None
  ) -> str:
    """Builds the data set unless it is built already; returns its directory.

    Args:
      pipeline_options: of the Beam pipeline. Without a runner in them, it runs
        in this process.

    Raises:
      errors.InputError: the source is not what it should be, or the data set
        on disk was built with other parameters.
      errors.RunError: the disk is full.
      errors.StoppedError: SIGINT or SIGTERM arrived.
    """
    if self.is_built():
      return self.directory
    try:
      with _stoppable():
        self._build(pipeline_options)
    except Exception as error:
      if not _is_disk_full(error):
        raise
      raise errors.RunError(
        f'There is no space left on the disk of {self.directory}. Free some '
        f'and build again: finished files are kept.'
      ) from error
    self.is_built()  # Another build that was waited for may have made it.
    return self.directory

  def _build(
    self, pipeline_options: 'beam_options.PipelineOptions | None'
  ) -> None:
    data_dir = paths.resolve(self.data_dir)
    # What is wrong with the source is said before anything slow is imported.
    index = indexing.read_index(
      self.source, self.classes, os.path.join(data_dir, 'downloads')
    )
    print(f'Building {self.directory}', file=sys.stderr)
    # Beam and TFDS take seconds to import, and are needed only here. Beam warns
    # of optional packages that it does without.
    with native_output.hidden(), _logging_above(logging.WARNING):
      import tensorflow  # noqa: F401  TFDS would import it later, and aloud.
      import tensorflow_datasets as tfds

      from beam_pipelines import tiny_imagenet

      builder = tiny_imagenet.Builder(
        data_dir=data_dir,
        config=tiny_imagenet.TinyImagenetConfig(
          **{
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != 'data_dir'
          }
        ),
      )
    config = tfds.download.DownloadConfig(beam_options=pipeline_options)
    # What fails in this process is raised here, and need not be logged too.
    quiet = logging.ERROR if pipeline_options is None else logging.INFO
    with _logging_above(quiet):
      builder.download_and_prepare(download_config=config, index=index)


def _is_disk_full(error: BaseException | None) -> bool:
  """Whether a full disk, or a quota, is behind an error; runners wrap it."""
  while error is not None:
    if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT) or any(
      os.strerror(number) in str(error)
      for number in (errno.ENOSPC, errno.EDQUOT)
    ):
      return True
    error = error.__cause__ or error.__context__
  return False


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
  """Turns SIGINT and SIGTERM into `errors.StoppedError`, after cleaning up."""
  received = []

  def stop(number: int, _: types.FrameType | None) -> None:
    received.append(number)
    raise KeyboardInterrupt(number)

  before = {
    number: signal.signal(number, stop)
    for number in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    yield
  except BaseException as error:  # Beam makes other exceptions of it.
    if not received:
      raise
    raise errors.StoppedError(
      received[0], 'finished files are kept: start again to go on.'
    ) from error
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def _logging_above(level: int) -> Iterator[None]:
  """Silences all log messages of the given level and below."""
  before = logging.root.manager.disable
  logging.disable(level)
  try:
    yield
  finally:
    logging.disable(before)
