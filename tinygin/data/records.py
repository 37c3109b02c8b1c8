"""Reads the examples of TFRecord files into memory, or on demand.

Examples have the features `image` and `label`, as in TFDS's image data sets.
"""

import contextlib
import errno
import math
import mmap
import os
import re
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tinygin.config import errors
from tinygin.config import files
from tinygin.data import pipelines
from tinygin.data import record_index

Instructions = Sequence[tfds.core.utils.shard_utils.FileInstruction]

_BATCH = 64
# Of the operating system, in an error of TensorFlow.
_PYTHON_ERROR = re.compile(r'\w+Error: \[Errno .*')
# A record is its length, a checksum of the length, the data and a checksum of
# the data.
_LENGTH_BYTES, _HEADER_BYTES, _FOOTER_BYTES = 8, 12, 4
_FRAME_BYTES = _HEADER_BYTES + _FOOTER_BYTES


def decoded(
  instructions: Instructions, image_shape: tuple[int, int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
  """Reads and decodes all examples into memory.

  Args:
    instructions: the files, and the examples in them.
    image_shape: height, width and channels.

  Returns:
    The images, uint8 (examples, height, width, channels), and the labels, int64
    (examples,).

  Raises:
    InputError: the files are damaged or hold too few examples.
    RunError: a file could not be read.
  """
  count = sum(each.take for each in instructions)
  # A mapping has the alignment that TensorFlow requires.
  memory = mmap.mmap(
    -1, count * math.prod(image_shape), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
  )
  with contextlib.suppress(OSError):  # Some kernels have no large pages.
    memory.madvise(mmap.MADV_HUGEPAGE)
  images = np.frombuffer(memory, np.uint8).reshape(count, *image_shape)
  labels = np.empty(count, np.int64)
  examples = (
    _parts(instructions)
    .flat_map(
      lambda path, skip, take: (
        tf.data.TFRecordDataset(path).skip(skip).take(take)
      )
    )
    .batch(_BATCH)
    .map(
      lambda records: (
        decode_images(_filled(records), image_shape),
        _labels(records),
      ),
      pipelines.PARALLEL_CALLS,
    )
    .with_options(pipelines.untuned_options())
  )
  filled = 0
  for batch in _undamaged(examples, instructions):
    end = filled + len(batch[1])
    images[filled:end], labels[filled:end] = batch[0][: end - filled], batch[1]
    filled = end
  _check_count(instructions, count, filled)
  # Shares the memory; other conversions copy it.
  tensor = tf.experimental.dlpack.from_dlpack(images.__dlpack__())
  return tensor, tf.convert_to_tensor(labels)


class StoredImages:
  """JPEG images that are read from their files on demand.

  Attributes:
    shape: (examples, height, width, channels).
  """

  def __init__(
    self,
    paths: Sequence[str],
    files: np.ndarray,
    offsets: np.ndarray,
    sizes: np.ndarray,
    image_shape: tuple[int, int, int],
  ):
    """Takes the places of the examples; see `stored`.

    Args:
      paths: the paths of the files.
      files: each example's file, as an index of `paths`.
      offsets: each example's first byte in its file.
      sizes: each example's size, in bytes.
      image_shape: height, width and channels.
    """
    self._paths = paths
    self._files = files
    self._offsets = offsets
    self._sizes = sizes
    self.shape = (len(sizes), *image_shape)

  def gather(self, indices: tf.Tensor) -> tf.Tensor:
    """Returns images by index, uint8 (batch, height, width, channels).

    Args:
      indices: int64 (batch,).

    Raises:
      OSError: a file cannot be read; in a pipeline, tf.errors.UnknownError.
    """
    records = tf.numpy_function(self._read, [indices], tf.string, False)
    return decode_images(
      tf.ensure_shape(records, indices.shape), self.shape[1:]
    )

  def _read(self, indices: np.ndarray) -> np.ndarray:
    """Returns the serialized examples, bytes (batch,)."""
    records = np.empty(len(indices), object)
    paths = [self._paths[file] for file in self._files[indices]]
    offsets = (self._offsets[indices] - _HEADER_BYTES).tolist()
    sizes = (self._sizes[indices] + _HEADER_BYTES).tolist()
    frames = files.read_ranges(paths, offsets, sizes)
    for place, frame in enumerate(frames):
      length = int.from_bytes(frame[:_LENGTH_BYTES], 'little')
      if length != sizes[place] - _HEADER_BYTES:
        raise OSError(errno.EIO, 'Holds other records', paths[place])
      records[place] = frame[_HEADER_BYTES:]
    return records


@contextlib.contextmanager
def reading() -> Iterator[None]:
  """Turns failures to read stored images in a pipeline into one message.

  Files replaced by others of the same size go unnoticed.

  Raises:
    RunError: a file could not be read.
  """
  try:
    yield
  except tf.errors.UnknownError as error:  # OSError among them.
    reason = _PYTHON_ERROR.search(error.message)
    if reason is None:
      raise
    raise errors.RunError(
      'The files of the data set must stay readable and unchanged during the '
      f'run. Received: {reason[0]}. Restore the files, then resume the run.'
    ) from error


def stored(
  instructions: Instructions, image_shape: tuple[int, int, int]
) -> tuple[StoredImages, tf.Tensor]:
  """Finds the places of the examples, and reads their labels.

  Reads through the files that have no index, verifies their checksums, and
  writes their indexes; see `record_index`.

  Args:
    instructions: the files, and the examples in them.
    image_shape: height, width and channels.

  Returns:
    The images, and the labels, int64 (examples,).

  Raises:
    InputError: the files are damaged or hold another number of examples.
    RunError: a file could not be read.
  """
  found = {
    each.filename: record_index.load(each.filename) for each in instructions
  }
  missing = {
    each.filename: each for each in instructions if found[each.filename] is None
  }
  if missing:
    found |= _read_through(list(missing.values()))
  offsets, sizes, labels = [], [], []
  for each in instructions:
    records = found[each.filename]
    _check_count(instructions, each.examples_in_shard, len(records.sizes))
    ends = np.cumsum(records.sizes + _FRAME_BYTES)
    chosen = slice(each.skip, each.skip + each.take)
    sizes.append(records.sizes[chosen])
    labels.append(records.labels[chosen])
    offsets.append(ends[chosen] - sizes[-1] - _FOOTER_BYTES)
  images = StoredImages(
    [each.filename for each in instructions],
    np.repeat(np.arange(len(sizes)), [len(each) for each in sizes]),
    np.concatenate(offsets),
    np.concatenate(sizes),
    image_shape,
  )
  return images, tf.convert_to_tensor(np.concatenate(labels))


def _read_through(
  instructions: Instructions,
) -> dict[str, record_index.Records]:
  """Returns the records of whole files by path, and writes their indexes."""
  paths = [each.filename for each in instructions]
  counts = [each.examples_in_shard for each in instructions]
  batches = (
    _parts(instructions)
    .flat_map(lambda path, skip, take: tf.data.TFRecordDataset(path))
    .batch(_BATCH)
    .map(
      lambda records: (tf.strings.length(records), _labels(records)),
      pipelines.PARALLEL_CALLS,
    )
    .with_options(pipelines.untuned_options())
  )
  versions = [record_index.version(path) for path in paths]
  read = list(_undamaged(batches, instructions))
  _check_count(instructions, sum(counts), sum(len(each[1]) for each in read))
  ends = np.cumsum(counts)[:-1]
  sizes, labels = (
    np.split(np.concatenate(part), ends) for part in zip(*read, strict=True)
  )
  found = dict(
    zip(paths, map(record_index.Records, sizes, labels), strict=True)
  )
  for version, (path, records) in zip(versions, found.items(), strict=True):
    if np.sum(records.sizes + _FRAME_BYTES) != files.size(path):
      raise _unexpected(instructions, 'other counts in some of the files')
    record_index.save(path, version, records)
  return found


def decode_images(
  records: tf.Tensor, image_shape: tuple[int, int, int]
) -> tf.Tensor:
  """Returns the images of serialized examples.

  JPEGs are decoded with the accurate integer transform, as in Pillow and
  OpenCV, instead of TensorFlow's faster default.

  Args:
    records: strings (batch,), of known size.
    image_shape: height, width and channels.

  Returns:
    uint8 (batch, height, width, channels).
  """
  features = {'image': tf.io.FixedLenFeature([], tf.string)}
  # An operation for each image: a loop in the graph takes longer.
  decoded_images = [
    tf.io.decode_jpeg(
      encoded, channels=image_shape[-1], dct_method='INTEGER_ACCURATE'
    )
    for encoded in tf.unstack(tf.io.parse_example(records, features)['image'])
  ]
  return tf.stack(
    [tf.ensure_shape(image, image_shape) for image in decoded_images]
  )


def _parts(instructions: Instructions) -> tf.data.Dataset:
  """Yields local files and what to read of them: path, skip, take.

  A copy of a file in a bucket is removed when the next file is asked for.
  """

  def parts() -> Iterator[tuple[str, int, int]]:
    for each in instructions:
      with files.local_copy(each.filename) as path:
        yield path, each.skip, each.take

  types = (tf.TensorSpec((), tf.string), *[tf.TensorSpec((), tf.int64)] * 2)
  return tf.data.Dataset.from_generator(parts, output_signature=types)


def _filled(records: tf.Tensor) -> tf.Tensor:
  """Repeats the last record, so that the batch has the usual size."""
  places = tf.minimum(tf.range(_BATCH), tf.size(records) - 1)
  return tf.gather(records, places)


def _labels(records: tf.Tensor) -> tf.Tensor:
  features = {'label': tf.io.FixedLenFeature([], tf.int64)}
  return tf.io.parse_example(records, features)['label']


def _undamaged(
  batches: tf.data.Dataset, instructions: Instructions
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  try:
    yield from batches.as_numpy_iterator()
  except (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
  ) as error:
    if python_error := _PYTHON_ERROR.search(error.message):
      reason = python_error[0]
    else:
      # TensorFlow puts the names of its operations around the message.
      reason = error.message.rpartition('}}')[2].partition(' [Op')[0].strip()
    unreadable = (tf.errors.PermissionDeniedError, tf.errors.UnknownError)
    missing = reason.startswith('FileNotFoundError')
    if isinstance(error, unreadable) and not missing:
      raise errors.RunError(
        'The files of the data set must be readable. Received: '
        f'{reason.splitlines()[0]}. Restore the files, then start again.'
      ) from error
    faults = [
      f'{os.path.basename(each.filename)}, which is {fault}'
      for each in instructions
      if (fault := _fault(each.filename))
    ]
    received = '; '.join(faults) or 'a damaged image or label'
    raise _unexpected(instructions, received) from error


def _fault(path: str) -> str | None:
  try:
    with files.local_copy(path) as local:
      for _ in tf.data.TFRecordDataset(local).batch(_BATCH):
        pass
  except (FileNotFoundError, tf.errors.NotFoundError):
    return 'missing'
  except tf.errors.DataLossError:
    return 'damaged'
  return None


def _check_count(instructions: Instructions, expected: int, found: int) -> None:
  if found != expected:
    raise _unexpected(instructions, f'{found} of {expected} examples')


def _unexpected(instructions: Instructions, received: str) -> errors.InputError:
  folder = os.path.dirname(instructions[0].filename)
  return errors.InputError(
    f'The files of {folder} must hold the examples that its '
    f'dataset_info.json declares. Received: {received}. Restore the files, '
    'or delete the folder and build the data set again.'
  )
