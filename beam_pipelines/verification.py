"""Reads every byte of a built data set, without the code that wrote it.

`tf.data` reads the records and checks their checksums, TensorFlow parses them,
and Pillow decodes the images.
"""

import collections
import concurrent.futures
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
from etils import epath
from PIL import Image

from beam_pipelines import fingerprint
from tinygin.config import errors

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
    return tfds.builder_from_directory(directory).info
  except Exception as error:  # TFDS raises many kinds.
    raise errors.InputError(
      f'{directory} must be a data set that TFDS can read. Received: '
      f'{type(error).__name__}: {str(error).rstrip(".")}. Delete that folder '
      'and build the data set again.'
    ) from error


def verify(directory: str) -> Result:
  """Reads a data set and returns everything that is wrong with it.

  Memory holds the images of one record file at a time.

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
  hashes = {}
  with tqdm.tqdm(
    total=sum(split.num_examples for split in info.splits.values()),
    desc='verifying',
    unit=' images',
    disable=None,
  ) as progress:
    for name, split in info.splits.items():
      hashes[name] = {}
      keys = collections.Counter()
      result.class_counts[name] = collections.Counter()
      for path, count in zip(split.filepaths, split.shard_lengths, strict=True):
        checksum = metadata.get('sha256', {}).get(os.path.basename(path))
        examples = _read_file(path, count, checksum, result)
        _check_examples(os.path.basename(path), examples, info, name, result)
        for example in examples:
          keys[example.key] += 1
          hashes[name][hashlib.sha256(example.image).digest()] = example.key
        progress.update(count)
      result.faults += [
        f'{name}: the id {key} must be unique. Received: {uses} times.'
        for key, uses in keys.items()
        if uses > 1
      ]
  _check_disjoint(hashes, metadata, result)
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
  present = {
    path.name
    for path in epath.Path(directory).iterdir()
    if '.tfrecord' in path.name
  }
  result.faults += [
    f'{name} is not part of the data set.'
    for name in sorted(present - declared)
  ]
  rejected = epath.Path(directory) / fingerprint.REJECTED
  try:
    lines = (
      rejected.read_text(encoding='utf-8').splitlines()
      if rejected.exists()
      else []
    )
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
  path: epath.PathLike, count: int, checksum: str | None, result: Result
) -> list[_Example]:
  """Reads the examples of a record file; notes what is wrong with the file."""
  name = os.path.basename(path)
  try:
    content = epath.Path(path).read_bytes()
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


def _examples(path: epath.PathLike) -> Iterator[_Example]:
  for record in tf.data.TFRecordDataset(os.fspath(path)).as_numpy_iterator():
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


def _check_disjoint(
  hashes: dict[str, dict[bytes, str]],
  metadata: dict[str, object],
  result: Result,
) -> None:
  """Notes images that are in two splits.

  They are a fault if the pipeline made the splits. If the source has its own
  splits, they are only a note.
  """
  made_here = metadata.get('parameters', {}).get('ilsvrc.validation_fraction')
  for first, second in itertools.combinations(hashes, 2):
    ours, theirs = hashes[first], hashes[second]
    common = sorted(ours.keys() & theirs.keys())
    if common:
      shown = ', '.join(f'{ours[h]} = {theirs[h]}' for h in common[:_COMMON])
      more = ', …' if len(common) > _COMMON else ''
      (result.faults if made_here else result.notes).append(
        f'{len(common):,} images are in both {first} and {second}: '
        f'{shown}{more}.'
      )
