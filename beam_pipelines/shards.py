"""Writes examples as TFDS record files, a Beam task for each file.

The worker that gets a task reads its images from the archive, resizes them if
that is asked for, writes the file, and reports what came of it.
"""

import dataclasses
import hashlib
import itertools
import os
import uuid
import warnings
from collections.abc import Iterable
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options
from etils import epath
from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core import hashing
from tensorflow_datasets.core.utils import shard_utils

from beam_pipelines import archives
from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines import resize as resizing
from beam_pipelines import tasks
from tinygin.config import errors


@dataclasses.dataclass(frozen=True)
class Report:
  """What came of a shard.

  Attributes:
    examples: number of examples written.
    example_bytes: size of all serialized examples.
    file_bytes: size of the file; more, by the record headers.
    sha256: of the file, in hexadecimal.
    rejected: for each image that is no good, its `split`, `id`, `member` and
      the `reason`.
  """

  examples: int
  example_bytes: int
  file_bytes: int
  sha256: str
  rejected: list[dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Shard:
  """The task of writing one record file.

  Attributes:
    path: of the file, absolute.
    split: that it is a part of.
    image_size: height and width of each image, in pixels.
    resize: makes images of that size; None: the images must have it, and their
      bytes are kept.
    examples: in the order in which they are written.
  """

  path: str
  split: str
  image_size: int
  resize: resizing.Resize | None
  examples: tuple[indexing.Example, ...]

  @property
  def size(self) -> int:
    """Number of images."""
    return len(self.examples)

  def run(self) -> dict[str, object]:
    """Writes the file, whole or not at all; returns a `Report`'s values."""
    rejected, sizes = [], []
    temporary = epath.Path(f'{self.path}.{uuid.uuid4().hex}')
    try:
      with warnings.catch_warnings(action='ignore'):  # Of broken EXIF data.
        file_adapters.TfRecordFileAdapter.write_examples(
          temporary, self._serialize(rejected, sizes)
        )
      content = temporary.read_bytes()
      temporary.replace(self.path)
    finally:
      temporary.unlink(missing_ok=True)
    sha256 = hashlib.sha256(content).hexdigest()
    report = Report(len(sizes), sum(sizes), len(content), sha256, rejected)
    return dataclasses.asdict(report)

  def _serialize(
    self, rejected: list[dict[str, str]], sizes: list[int]
  ) -> Iterator[tuple[str, bytes]]:
    """Yields each good image's key and record; notes the bad, and the sizes."""
    info = features(self.image_size, self.resize).get_serialized_info()
    serializer = example_serializer.ExampleSerializer(info)
    images = self._read_images(rejected)
    for example in self.examples:
      if example.key not in images:
        continue
      message = serializer.get_tf_example(
        {
          'image': images[example.key],
          'label': example.label,
          'id': example.key,
          'bbox': np.array(example.box, np.float32),
        }
      )
      # Otherwise the order of the features changes from process to process.
      record = message.SerializeToString(deterministic=True)
      sizes.append(len(record))
      yield example.key, record

  def _read_images(self, rejected: list[dict[str, str]]) -> dict[str, bytes]:
    """Returns the good images by key, read in the order of the archive."""
    images = {}
    with archives.Reader() as reader:
      for example in sorted(
        self.examples, key=lambda each: each.member.position
      ):
        try:
          images[example.key] = self._image(reader.read(example.member))
        except (archives.CorruptMemberError, resizing.BadImageError) as error:
          rejected.append(
            {
              'split': self.split,
              'id': example.key,
              'member': example.member.name,
              'reason': str(error),
            }
          )
    return images

  def _image(self, content: bytes) -> bytes:
    if self.resize is not None:
      return self.resize.apply(content, self.image_size)
    resizing.check(content, self.image_size)
    return content


def features(
  image_size: int, resize: resizing.Resize | None
) -> tfds.features.FeaturesDict:
  """Returns the data set's features; the class names are still to be set."""
  return tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(
        shape=(image_size, image_size, 3),
        encoding_format='jpeg' if resize is None else resize.encoding.format,
      ),
      'label': tfds.features.ClassLabel(),
      'id': tfds.features.Text(),
      'bbox': tfds.features.BBoxFeature(),
    }
  )


def plan(
  index: indexing.Index,
  directory: str,
  image_size: int,
  resize: resizing.Resize | None,
  examples_per_shard: int,
) -> dict[str, list[Shard]]:
  """Divides each split's examples into shards, in the order of TFDS.

  Args:
    index: the examples.
    directory: where the record files go.
    image_size: height and width of each image, in pixels.
    resize: makes images of that size; None: they have it.
    examples_per_shard: the most that a file holds; the number of examples in
      the files of a split differs by one at most.
  """
  planned = {}
  for split, found in index.splits.items():
    if not found:
      continue
    hasher = hashing.Hasher(split)
    ordered = sorted(found, key=lambda each: hasher.hash_key(each.key))
    count = -(-len(ordered) // examples_per_shard)
    ends = shard_utils.get_shard_boundaries(len(ordered), count)
    template = tfds.core.ShardedFileTemplate(
      data_dir=directory,
      dataset_name=fingerprint.DATASET,
      split=split,
      filetype_suffix='tfrecord',
    )
    planned[split] = [
      Shard(
        os.fspath(template.sharded_filepath(shard_index=i, num_shards=count)),
        split,
        image_size,
        resize,
        tuple(ordered[begin:end]),
      )
      for i, (begin, end) in enumerate(itertools.pairwise([0, *ends]))
    ]
  return planned


def write(
  shards: list[Shard], options: pipeline_options.PipelineOptions | None
) -> dict[str, Report]:
  """Writes the shards; proves that all examples are in them, or rejected.

  Args:
    shards: what to write. Shards that an earlier, interrupted run completed
      are kept.
    options: of the Beam pipeline; see `tasks.run`.

  Returns:
    The shards' reports, by path.

  Raises:
    RuntimeError: the runner lost or changed something.
  """
  found = tasks.run(shards, options, 'writing')
  reports = {}
  for shard, values in zip(shards, found, strict=True):
    report = reports[shard.path] = Report(**values)
    file = epath.Path(shard.path)
    if (
      report.examples + len(report.rejected) != shard.size
      or not file.exists()
      or report.file_bytes != file.stat().length
    ):
      raise RuntimeError(
        f'The Beam runner reported success, but {shard.path} with '
        f'{shard.size:,} examples is missing or incomplete.'
      )
  return reports


def rejected(
  reports: Iterable[Report], max_bad_images: int
) -> list[dict[str, str]]:
  """Returns what was rejected, sorted.

  Raises:
    errors.InputError: with all bad images, if there are more than accepted.
  """
  bad = [each for report in reports for each in report.rejected]
  bad.sort(key=lambda each: each['member'])
  if len(bad) > max_bad_images:
    lines = [f'\n  {each["member"]}: {each["reason"]}.' for each in bad]
    raise errors.InputError(
      f'Every image must be whole and of the configured size, but for '
      f'dataset.max_bad_images = {max_bad_images}. Received {len(bad):,} that '
      f'are not:{"".join(lines)}'
    )
  return bad
