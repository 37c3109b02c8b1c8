"""The data set of an experiment."""

import contextlib
import dataclasses
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Annotated

import gin
import numpy as np
from annotated_types import Ge

from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines import resize as resizing
from tinygin.config import constraints
from tinygin.config import errors
from tinygin.config import files
from tinygin.config import native_output
from tinygin.config import paths

if TYPE_CHECKING:
  from apache_beam.options import pipeline_options as beam_options

# Matches the text of an OSError, or of TensorFlow's errors about files.
_SYSTEM_ERROR = re.compile(
  r'(?:\[Errno \d+\]|errors_impl\.\w+:) ([^\n\[]*[^\n\[ .])'
)


# A valid file name on any file system.
FILE_NAME = constraints.Condition(
  re.compile(r'[\w-][\w.-]*').fullmatch, "of letters, digits, '_', '-' and '.'"
)


@gin.register('dataset')
@dataclasses.dataclass(frozen=True)
class Dataset:
  """A TFDS data set on disk, and everything needed to build it.

  Attributes:
    name: name of the data set's folder, such as `quickstart`.
    data_dir: the folder of all data sets, relative to the working directory.
    source: where the images come from: `@synthetic()`, `@stanford()`,
      `@ilsvrc()` or `@folder()`.
    classes: the number of classes that the source must have.
    image_size: height and width of the images, in pixels.
    resize: resizes the images: `@resize()`. None: the source's images must have
      that size, and their bytes are kept.
    examples_per_shard: maximum number of examples in a record file.
    max_bad_images: maximum number of unusable images to leave out. They are
      listed in `rejected.jsonl`. With more of them, the build fails.
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
    """The data set's folder, for `tfds.builder_from_directory`."""
    return os.path.join(
      paths.resolve(self.data_dir),
      fingerprint.DATASET,
      self.name,
      fingerprint.VERSION,
    )

  @property
  def filter(self) -> str:
    """The filter that `conform` resizes other images with."""
    # Catmull-Rom leaves an image unchanged where the size is already right.
    return self.resize.filter if self.resize else 'catmull_rom'

  def parameters(self, identity: dict[str, object]) -> dict[str, object]:
    """Returns everything that the examples depend on, by gin name.

    Args:
      identity: of the source; see `indexing.Source`.
    """
    return self._settings() | identity

  def conform(self, content: bytes) -> np.ndarray:
    """Converts any encoded image to the format of this data set.

    Args:
      content: BMP, GIF, JPEG, PNG, TIFF or WebP, of any size and color mode.

    Returns:
      uint8 (image_size, image_size, 3).

    Raises:
      errors.InputError: the image cannot be decoded. The message does not name
        the image.
    """
    try:
      image = resizing.conform(
        content, self.image_size, self.resize, self.filter
      )
    except resizing.BadImageError as error:
      raise errors.InputError(str(error)) from error
    return np.asarray(image)

  def mismatches(self) -> list[str]:
    """Describes each parameter that differs from the data set on disk.

    The source is read only if its declaration has changed since the build.
    """
    metadata = fingerprint.read(self.directory)
    built = metadata.get('parameters', {})
    if metadata.get('source') == repr(self.source):
      configured = built | self._settings()
    else:
      configured = self.parameters(self.source.identity())
    found = fingerprint.differences(
      built, configured, ('built with', 'configured as')
    )
    if (rejected := metadata.get('rejected', 0)) > self.max_bad_images:
      found.append(
        f'dataset.max_bad_images: {rejected:,} images were left out, '
        f'configured as {self.max_bad_images}'
      )
    return found

  def is_built(self) -> bool:
    """Whether the data set is complete on disk, built as configured.

    Raises:
      errors.InputError: it was built with other parameters.
    """
    if not files.exists(os.path.join(self.directory, 'dataset_info.json')):
      return False
    if mismatches := self.mismatches():
      raise errors.InputError(
        f'{self.directory} was built with other parameters:\n  '
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
      pipeline_options: Beam's options. Without a runner in them, the pipeline
        runs in this process.

    Raises:
      errors.InputError: the source is wrong, or the data set on disk was built
        with other parameters.
      errors.RunError: a file could not be read or written.
      errors.StoppedError: SIGINT, SIGTERM or SIGHUP arrived.
    """
    if self.is_built():
      return self.directory
    try:
      with _stoppable():
        self._build(pipeline_options)
    except (errors.InputError, errors.RunError):
      raise
    except Exception as error:
      if not (reason := _system_error(error)):
        raise
      raise errors.RunError(
        f'Could not build {self.directory}: {reason}. Fix that and build '
        'again; finished files are kept.'
      ) from error
    self.is_built()  # Another process may have built it in the meantime.
    return self.directory

  def _settings(self) -> dict[str, object]:
    """Returns the parameters that do not depend on the source, by gin name."""
    return {
      'dataset.version': fingerprint.VERSION,
      'dataset.source': fingerprint.component_name(self.source),
      'dataset.classes': self.classes,
      'dataset.image_size': self.image_size,
      'dataset.resize': fingerprint.component_name(self.resize),
      'dataset.examples_per_shard': self.examples_per_shard,
      **fingerprint.values(self.resize),
    }

  def _build(
    self, pipeline_options: 'beam_options.PipelineOptions | None'
  ) -> None:
    data_dir = paths.resolve(self.data_dir)
    # Reports faults of the source before the slow imports.
    index = indexing.read_index(
      self.source, self.classes, os.path.join(data_dir, 'downloads')
    )
    print(f'Building {self.directory}', file=sys.stderr)
    # Beam and TFDS take seconds to import, and Beam warns about optional
    # packages that are absent.
    with native_output.hidden(), _logging_above(logging.WARNING):
      import tensorflow  # noqa: F401  TFDS would show its messages later.
      import tensorflow_datasets as tfds

      from beam_pipelines import tiny_imagenet
    config = tfds.download.DownloadConfig(beam_options=pipeline_options)
    # Errors in this process are raised here and need not be logged as well.
    quiet = logging.ERROR if pipeline_options is None else logging.INFO
    # TFDS does not know all the file systems that fsspec knows.
    remote = files.is_remote(data_dir)
    with tempfile.TemporaryDirectory() as folder, _logging_above(quiet):
      builder = tiny_imagenet.Builder(
        data_dir=folder if remote else data_dir,
        config=tiny_imagenet.TinyImagenetConfig(name=self.name, dataset=self),
      )
      builder.download_and_prepare(
        download_config=config,
        index=index,
        url=self.directory if remote else None,
      )


def _system_error(error: BaseException | None) -> str:
  """Returns the operating system's message behind an error, or nothing.

  Runners wrap a worker's error, or keep only its text.
  """
  while error is not None:
    if found := _SYSTEM_ERROR.search(str(error)):
      return found[1]
    error = error.__cause__ or error.__context__
  return ''


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
  """Turns a signal into `errors.StoppedError`, after cleaning up.

  SIGHUP stays ignored if the program was started to ignore it, as by `nohup`.
  Python allows only the main thread to handle signals.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  received = []

  def stop(number: int, _: types.FrameType | None) -> None:
    received.append(number)
    raise KeyboardInterrupt(number)

  before = {
    number: signal.signal(number, stop)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
  }
  try:
    yield
  except BaseException as error:  # Beam turns it into other exceptions.
    if not received:
      raise
    raise errors.StoppedError(
      received[0], 'finished files are kept. Start again to continue.'
    ) from error
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def _logging_above(level: int) -> Iterator[None]:
  """Suppresses all log messages of the given level and below."""
  before = logging.root.manager.disable
  logging.disable(level)
  try:
    yield
  finally:
    logging.disable(before)
