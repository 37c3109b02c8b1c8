"""Reads every byte of a built data set, without the code that wrote it.

`tf.data` reads the records and checks their checksums, TensorFlow parses them,
and Pillow decodes the images.
"""

import array
import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import tqdm
from PIL import Image

from beam_pipelines import fingerprint
from tinygin.config import errors
from tinygin.config import files

_SAMPLES = 10
_UNLABELED = 'test'
_COMMON = 5


@dataclasses.dataclass
class Result:
  """What was found in a data set.

  Attributes:
    class_names: in the order of the labels.
    wordnet_ids: ids of each class.
    fingerprint: as stored in the data set.
    rejected: number of images that were left out when it was built.
    faults: what is wrong.
    notes: findings that are not faults.
    class_counts: number of examples of each label, by split.
    samples: up to 10 decoded images of each label, uint8, height x width x 3.
  """

  class_names: list[str]
  wordnet_ids: list[str]
  fingerprint: str
  rejected: int
  faults: list[str] = dataclasses.field(default_factory=list)
  notes: list[str] = dataclasses.field(default_factory=list)
  class_counts: dict[str, collections.Counter] = dataclasses.field(
    default_factory=dict
  )
  samples: dict[int, list[np.ndarray]] = dataclasses.field(
    default_factory=lambda: collections.defaultdict(list)
  )

  @property
  def counts(self) -> dict[str, int]:
    """The number of examples in each split."""
    return {name: each.total() for name, each in self.class_counts.items()}


def read_info(directory: str) -> tfds.core.DatasetInfo:
  """Returns TFDS's description of a data set.

  Args:
    directory: the folder of a version, as for `tfds.builder_from_directory`.

  Raises:
    errors.InputError: TFDS cannot read it.
  """
  try:
    with files.local_folder(directory, leave_out='.tfrecord') as folder:
      return tfds.builder_from_directory(folder).info
  except Exception as error:  # TFDS raises many kinds.
    raise errors.InputError(
      f'{directory} must be a data set that TFDS can read. Received: '
      f'{type(error).__name__}: {str(error).rstrip(".")}. Delete that folder '
      'and build the data set again.'
    ) from error


def verify(directory: str) -> Result:
  """Reads a data set and returns everything that is wrong with it.

  Memory holds the images of one record file at a time, and 16 bytes for each
  example.

  Args:
    directory: the folder of a version of the data set.

  Raises:
    errors.InputError: as `read_info`.
  """
  info = read_info(directory)
  metadata = fingerprint.read(directory)
  result = Result(
    class_names=list(info.features['label'].names),
    wordnet_ids=list(metadata.get('wordnet_ids', ())),
    fingerprint=metadata.get('fingerprint', 'none'),
    rejected=metadata.get('rejected', 0),
  )
  _check_metadata(directory, info, metadata, result)
  hashes = {name: _Hashes() for name in info.splits}
  with tqdm.tqdm(
    total=sum(split.num_examples for split in info.splits.values()),
    desc='verifying',
    unit=' images',
    disable=None,
  ) as progress:
    for name, split in info.splits.items():
      result.class_counts[name] = collections.Counter()
      for path, count in zip(split.filepaths, split.shard_lengths, strict=True):
        file = os.path.basename(path)
        checksum = metadata.get('sha256', {}).get(file)
        examples = _read_file(directory, file, count, checksum, result)
        _check_examples(file, examples, info, name, result)
        hashes[name].add(examples)
        progress.update(count)
  paths = {
    name: [
      os.path.join(directory, os.path.basename(path))
      for path in split.filepaths
    ]
    for name, split in info.splits.items()
  }
  _check_unique(paths, hashes, result)
  _check_disjoint(paths, hashes, metadata, result)
  return result


def _check_metadata(
  directory: str,
  info: tfds.core.DatasetInfo,
  metadata: dict[str, object],
  result: Result,
) -> None:
  """Notes a wrong fingerprint, and files that do not belong to the data set."""
  digest = fingerprint.digest(metadata.get('parameters'))
  if result.fingerprint != digest:
    result.faults.append(
      f'metadata.json: the fingerprint must be {digest}, the hash of the '
      f'parameters. Received: {result.fingerprint}.'
    )
  if len(result.wordnet_ids) != len(result.class_names):
    result.faults.append(
      f'metadata.json must have WordNet ids for {len(result.class_names)} '
      f'classes. Received: {len(result.wordnet_ids)}.'
    )
  declared = {
    os.path.basename(path)
    for split in info.splits.values()
    for path in split.filepaths
  }
  present = {each for each in files.names(directory) if '.tfrecord' in each}
  result.faults += [
    f'{name} is not part of the data set.'
    for name in sorted(present - declared)
  ]
  rejected = os.path.join(directory, fingerprint.REJECTED)
  try:
    text = files.read(rejected).decode() if files.exists(rejected) else ''
    lines = text.splitlines()
    listed = str(len([json.loads(line) for line in lines]))
  except ValueError as error:
    listed = f'none, as it is damaged: {error}'
  if listed != str(result.rejected):
    result.faults.append(
      f'{fingerprint.REJECTED} must list {result.rejected} images. '
      f'Received: {listed}.'
    )


class _Example(NamedTuple):
  image: bytes
  label: int
  key: str


def _read_file(
  directory: str, name: str, count: int, checksum: str | None, result: Result
) -> list[_Example]:
  """Reads the examples of a record file; notes what is wrong with the file."""
  try:
    with files.local_copy(os.path.join(directory, name)) as path:
      content = files.read(path)
      examples = list(_examples(path))
  except FileNotFoundError:
    result.faults.append(f'{name} is missing.')
    return []
  except tf.errors.OpError as error:
    # TensorFlow puts the names of its operations around the message.
    reason = error.message.rpartition('}}')[2].partition(' [Op')[0].strip()
    result.faults.append(f'{name}: a record is damaged: {reason}.')
    examples = []
  else:
    if len(examples) != count:
      result.faults.append(
        f'{name} must hold {count:,} examples. Received: {len(examples):,}.'
      )
  if (digest := hashlib.sha256(content).hexdigest()) != checksum:
    result.faults.append(
      f'{name}: the SHA-256 must be {checksum}. Received: {digest}.'
    )
  return examples


def _examples(path: str) -> Iterator[_Example]:
  for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
    values = tf.train.Example.FromString(record).features.feature
    yield _Example(
      values['image'].bytes_list.value[0],
      values['label'].int64_list.value[0],
      values['id'].bytes_list.value[0].decode(),
    )


def _check_examples(
  file: str,
  examples: list[_Example],
  info: tfds.core.DatasetInfo,
  split: str,
  result: Result,
) -> None:
  """Notes wrong images and labels; counts the labels and keeps samples."""
  classes = len(result.class_names)
  labels = range(-1, 0) if split == _UNLABELED else range(classes)
  expected = info.features['image'].shape
  result.class_counts[split].update(example.label for example in examples)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    shapes = pool.map(_shape, (example.image for example in examples))
    for example, shape in zip(examples, shapes, strict=True):
      if shape != expected:
        result.faults.append(
          f'{file}, {example.key}: the image must be {expected}. '
          f'Received: {shape}.'
        )
      elif 0 <= example.label < classes:
        samples = result.samples[example.label]
        if len(samples) < _SAMPLES:
          samples.append(_decode(example.image))
      if example.label not in labels:
        result.faults.append(
          f'{file}, {example.key}: the label must be from {labels[0]} to '
          f'{labels[-1]}. Received: {example.label}.'
        )


def _shape(content: bytes) -> tuple[int, ...] | str:
  """Returns a decoded image's shape, or why it cannot be decoded."""
  try:
    return _decode(content).shape
  except (OSError, SyntaxError, ValueError) as error:
    return f'none: {error}'


def _decode(content: bytes) -> np.ndarray:
  with Image.open(io.BytesIO(content)) as image:
    return np.asarray(image.convert('RGB'))


class _Hashes:
  """64 bits of the hash of each example's id and image, in little memory."""

  def __init__(self):
    self.keys = array.array('Q')
    self.images = array.array('Q')

  def add(self, examples: list[_Example]) -> None:
    self.keys.extend(_hash(each.key.encode()) for each in examples)
    self.images.extend(_hash(each.image) for each in examples)


def _hash(content: bytes) -> int:
  return int.from_bytes(hashlib.sha256(content).digest()[:8])


def _reread(paths: list[str]) -> Iterator[_Example]:
  """Yields the examples of files again, except for what cannot be read."""
  for path in paths:
    with (
      contextlib.suppress(OSError, tf.errors.OpError),
      files.local_copy(path) as copy,
    ):
      yield from _examples(copy)


def _check_unique(
  paths: dict[str, list[str]], hashes: dict[str, _Hashes], result: Result
) -> None:
  """Notes ids that a split has twice."""
  for name, found in hashes.items():
    values, counts = np.unique(found.keys, return_counts=True)
    if not (repeated := set(values[counts > 1].tolist())):
      continue
    uses = collections.Counter(
      each.key
      for each in _reread(paths[name])
      if _hash(each.key.encode()) in repeated
    )
    result.faults += [
      f'{name}: the id {key} must be unique. Received: {n} times.'
      for key, n in uses.items()
      if n > 1
    ]


def _check_disjoint(
  paths: dict[str, list[str]],
  hashes: dict[str, _Hashes],
  metadata: dict[str, object],
  result: Result,
) -> None:
  """Notes images that are in two splits.

  They are a fault if the pipeline made the splits. If the source has its own
  splits, they are only a note.
  """
  made_here = metadata.get('parameters', {}).get('ilsvrc.validation_fraction')
  for first, second in itertools.combinations(hashes, 2):
    common = np.intersect1d(hashes[first].images, hashes[second].images)
    both = set(common.tolist())
    if not both:
      continue
    ours, theirs = (
      {
        hashlib.sha256(each.image).digest(): each.key
        for each in _reread(paths[name])
        if _hash(each.image) in both
      }
      for name in (first, second)
    )
    if common := sorted(ours.keys() & theirs.keys()):
      shown = ', '.join(f'{ours[h]} = {theirs[h]}' for h in common[:_COMMON])
      more = ', …' if len(common) > _COMMON else ''
      (result.faults if made_here else result.notes).append(
        f'{len(common):,} images are in both {first} and {second}: '
        f'{shown}{more}.'
      )
