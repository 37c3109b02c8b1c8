"""Writes examples as TFDS record files, one Beam task for each file."""

import dataclasses
import hashlib
import itertools
import os
import pathlib
import tempfile
import warnings
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options
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
from tinygin.config import files

if TYPE_CHECKING:
  from beam_pipelines import dataset


@dataclasses.dataclass(frozen=True)
class Report:
  """The result of writing one record file.

  Attributes:
    path: path of the file.
    examples: number of examples written.
    example_bytes: total size of the serialized examples.
    sha256: SHA-256 of the file, in hexadecimal.
    rejected: the `id`, `member` and `reason` of each bad image.
  """

  path: str
  examples: int
  example_bytes: int
  sha256: str
  rejected: list[dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Writer:
  """Writes one record file; see `tasks.Work`.

  Attributes:
    image_size: height and width of each image, in pixels.
    resize: resizes images; None: images must have the right size and are stored
      unchanged.
  """

  image_size: int
  resize: resizing.Resize | None

  def __call__(self, path: str, images: list[Any]) -> dict[str, Any]:
    """Writes a file completely or not at all.

    Args:
      path: path of the file.
      images: an `indexing.Example` as JSON returns it for each image.

    Returns:
      The values of a `Report`.

    Raises:
      OSError: reading or writing failed, so the task must be tried again.
    """
    records, rejected = self._serialize(images)
    # TFDS writes local files only.
    with tempfile.TemporaryDirectory() as folder:
      file = pathlib.Path(folder, 'records')
      file_adapters.TfRecordFileAdapter.write_examples(file, records)
      content = file.read_bytes()
    files.write_bytes(path, content)
    sha256 = hashlib.sha256(content).hexdigest()
    sizes = [len(record) for _, record in records]
    report = Report(path, len(sizes), sum(sizes), sha256, rejected)
    return dataclasses.asdict(report)

  def _serialize(
    self, images: list[Any]
  ) -> tuple[list[tuple[str, bytes]], list[dict[str, str]]]:
    """Returns the good images' keys and records, and the bad images."""
    info = features(self.image_size, self.resize).get_serialized_info()
    serializer = example_serializer.ExampleSerializer(info)
    examples = [indexing.parse(each) for each in images]
    good, rejected = self._read_images(examples)
    records = []
    for example in examples:
      if example.key in good:
        message = serializer.get_tf_example(
          {
            'image': good[example.key],
            'label': example.label,
            'id': example.key,
            'bbox': np.array(example.box, np.float32),
          }
        )
        # Otherwise the order of the features differs between processes.
        record = message.SerializeToString(deterministic=True)
        records.append((example.key, record))
    return records, rejected

  def _read_images(
    self, examples: list[indexing.Example]
  ) -> tuple[dict[str, bytes], list[dict[str, str]]]:
    """Returns the good images by key, and the bad ones."""
    good, rejected = {}, []
    # In the order of the archive, reading does not seek back.
    examples = sorted(examples, key=lambda each: each.member.position)
    stored = archives.read_stored([each.member for each in examples])
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Pillow warns of broken EXIF data.
      for example, content in zip(examples, stored, strict=True):
        try:
          good[example.key] = self._image(
            archives.unpack(example.member, content)
          )
        except (archives.CorruptMemberError, resizing.BadImageError) as error:
          rejected.append(
            {
              'id': example.key,
              'member': example.member.name,
              'reason': str(error),
            }
          )
    return good, rejected

  def _image(self, content: bytes) -> bytes:
    if self.resize is not None:
      return self.resize.apply(content, self.image_size)
    resizing.check(content, self.image_size)
    return content


def features(
  image_size: int, resize: resizing.Resize | None
) -> tfds.features.FeaturesDict:
  """Returns the data set's features, still without the class names."""
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
  index: indexing.Index, directory: str, examples_per_shard: int
) -> dict[str, list[tasks.Task]]:
  """Divides each split's examples into record files, in the order of TFDS.

  Args:
    index: the examples.
    directory: the folder of the record files.
    examples_per_shard: maximum number of examples in a file. The files of a
      split differ by at most one example.
  """
  planned = {}
  for split, found in index.splits.items():
    if not found:
      continue
    hasher = hashing.Hasher(split)
    order = sorted(
      range(len(found)), key=lambda i: hasher.hash_key(found[i].key)
    )
    count = -(-len(order) // examples_per_shard)
    ends = shard_utils.get_shard_boundaries(len(order), count)
    template = tfds.core.ShardedFileTemplate(
      data_dir='',  # TFDS would change a URL.
      dataset_name=fingerprint.DATASET,
      split=split,
      filetype_suffix='tfrecord',
    )
    planned[split] = [
      tasks.Task(
        os.path.join(
          directory, template.relative_filepath(shard_index=i, num_shards=count)
        ),
        found.take(order[begin:end]),
      )
      for i, (begin, end) in enumerate(itertools.pairwise([0, *ends]))
    ]
  return planned


def write(
  index: indexing.Index,
  directory: str,
  declared: 'dataset.Dataset',
  options: pipeline_options.PipelineOptions | None,
) -> dict[str, list[Report]]:
  """Writes the record files and checks that they hold all examples.

  Args:
    index: the examples.
    directory: the folder of the record files. Files that an interrupted build
      completed there are kept.
    declared: the data set.
    options: Beam's options; see `tasks.run`.

  Returns:
    The reports of each split's files.

  Raises:
    RuntimeError: the runner lost or changed something.
  """
  planned = plan(index, directory, declared.examples_per_shard)
  work = [task for split in planned.values() for task in split]
  present = files.names(directory)
  for task in work:
    name = os.path.basename(task.path)
    if name not in present and f'{name}.json' in present:
      files.remove(f'{task.path}.json')
  found = tasks.run(
    Writer(declared.image_size, declared.resize), work, options, 'writing'
  )
  reports, present = {}, files.names(directory)
  for task, values in zip(work, found, strict=True):
    report = reports[task.path] = Report(**values)
    count = report.examples + len(report.rejected)
    missing = os.path.basename(task.path) not in present
    if missing or count != len(task.images):
      raise RuntimeError(
        f'The Beam runner reported success, but {task.path} with '
        f'{len(task.images):,} examples is missing or incomplete.'
      )
  return {
    split: [reports[task.path] for task in each]
    for split, each in planned.items()
  }


def rejected(
  reports: dict[str, list[Report]], max_bad_images: int
) -> list[dict[str, str]]:
  """Returns the rejected images with their splits, sorted by member.

  Raises:
    errors.InputError: lists all bad images if there are more than accepted.
  """
  bad = [
    {'split': split, **each}
    for split, found in reports.items()
    for report in found
    for each in report.rejected
  ]
  bad.sort(key=lambda each: each['member'])
  if len(bad) > max_bad_images:
    lines = [f'\n  {each["member"]}: {each["reason"]}.' for each in bad]
    raise errors.InputError(
      f'Found {len(bad):,} unusable images; dataset.max_bad_images allows '
      f'{max_bad_images:,}:{"".join(lines)}\nReplace them, or raise '
      'dataset.max_bad_images to leave them out. Finished files are kept.'
    )
  return bad
