"""Reads every byte of a built data set again, with other code than wrote it.

Records are read by `tf.data`, which checks their checksums, and parsed by
TensorFlow; images are decoded by Pillow.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
import tqdm
from etils import epath
from PIL import Image

from beam_pipelines import fingerprint
from tinygin.config import errors

_SAMPLES = 10
_UNLABELLED = 'test'
_COMMON = 5


@dataclasses.dataclass
class Result:
  """What was found in a data set.

  Attributes:
    class_names: in the order of the labels.
    wordnet_ids: of each class.
    fingerprint: as the data set declares it.
    rejected: number of images that were left out when it was built.
    faults: what is wrong.
    notes: what is worth knowing.
    class_counts: examples of each class, by split.
    samples: the first decoded images of each label, uint8, height x width x 3.
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


@dataclasses.dataclass
class _File:
  """What was found in one record file."""

  faults: list[str]
  labels: list[int]
  keys: list[str]
  hashes: list[bytes]
  samples: dict[int, list[np.ndarray]]


def read_info(directory: str) -> tfds.core.DatasetInfo:
  """Returns what a data set declares of itself.

  Args:
    directory: of the data set's version, as for `tfds.builder_from_directory`.

  Raises:
    errors.InputError: TFDS cannot read it.
  """
  try:
    return tfds.builder_from_directory(directory).info
  except Exception as error:  # TFDS raises whatever comes.
    raise errors.InputError(
      f'{directory} must be a data set that TFDS can read. Received: '
      f'{type(error).__name__}: {str(error).rstrip(".")}. Delete that folder, '
      'and build the data set again.'
    ) from error


def verify(directory: str) -> Result:
  """Re-reads a data set and returns all that is wrong with it.

  Args:
    directory: of the data set's version.

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
      files = []
      for path, count in zip(split.filepaths, split.shard_lengths, strict=True):
        checksum = metadata.get('sha256', {}).get(os.path.basename(path))
        files.append(_read_file(path, count, checksum, info, name))
        progress.update(count)
      hashes[name] = _merge(name, files, result)
  _check_disjoint(hashes, metadata, result)
  return result


def _check_metadata(
  directory: str,
  info: tfds.core.DatasetInfo,
  metadata: dict[str, object],
  result: Result,
) -> None:
  """Notes a fingerprint that is not that of the parameters, and files."""
  digest = fingerprint.digest(metadata.get('parameters'))
  if result.fingerprint != digest:
    result.faults.append(
      f'metadata.json: the fingerprint must be that of the parameters, '
      f'{digest}. Received: {result.fingerprint}.'
    )
  if len(result.wordnet_ids) != len(result.class_names):
    result.faults.append(
      f'metadata.json: there must be WordNet ids for {len(result.class_names)} '
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
    f'{name}: the data set does not declare this file.'
    for name in sorted(present - declared)
  ]
  rejected = epath.Path(directory) / fingerprint.REJECTED
  try:
    lines = rejected.read_text().splitlines() if rejected.exists() else []
    listed = str(len([json.loads(line) for line in lines]))
  except ValueError as error:
    listed = f'none, as it is damaged: {error}'
  if listed != str(result.rejected):
    result.faults.append(
      f'{fingerprint.REJECTED} must list {result.rejected} images. '
      f'Received: {listed}.'
    )


def _read_file(
  path: epath.PathLike,
  count: int,
  checksum: str | None,
  info: tfds.core.DatasetInfo,
  split: str,
) -> _File:
  """Reads one record file and checks all that can be checked in it."""
  name, found = os.path.basename(path), _File([], [], [], [], {})
  if not epath.Path(path).exists():
    found.faults.append(f'{name} is missing.')
    return found
  digest = hashlib.sha256(epath.Path(path).read_bytes()).hexdigest()
  if digest != checksum:
    found.faults.append(
      f'{name}: the SHA-256 must be {checksum}. Received: {digest}.'
    )
  labels = {-1} if split == _UNLABELLED else set(range(len(_names(info))))
  try:
    examples = list(_examples(path))
  except tf.errors.OpError as error:
    # TensorFlow puts the names of its operations around the message.
    reason = error.message.rpartition('}}')[2].partition(' [Op')[0].strip()
    found.faults.append(f'{name}: a record is damaged: {reason}.')
    return found
  if len(examples) != count:
    found.faults.append(
      f'{name} must hold {count:,} examples. Received: {len(examples):,}.'
    )
  with concurrent.futures.ThreadPoolExecutor() as pool:
    decoded = pool.map(_decode, (content for content, _, _ in examples))
    for (content, label, key), image in zip(examples, decoded, strict=True):
      shape = image if isinstance(image, str) else image.shape
      if shape != info.features['image'].shape:
        found.faults.append(
          f'{name}, {key}: the image must be '
          f'{info.features["image"].shape}. Received: {shape}.'
        )
      elif len(found.samples.setdefault(label, [])) < _SAMPLES:
        found.samples[label].append(image)
      if label not in labels:
        found.faults.append(
          f'{name}, {key}: the label must be from {min(labels)} to '
          f'{max(labels)}. Received: {label}.'
        )
      found.labels.append(label)
      found.keys.append(key)
      found.hashes.append(hashlib.sha256(content).digest())
  return found


def _names(info: tfds.core.DatasetInfo) -> list[str]:
  return info.features['label'].names


def _examples(path: epath.PathLike) -> Iterator[tuple[bytes, int, str]]:
  """Yields image, label and id of each record."""
  for record in tf.data.TFRecordDataset(os.fspath(path)).as_numpy_iterator():
    values = tf.train.Example.FromString(record).features.feature
    yield (
      values['image'].bytes_list.value[0],
      values['label'].int64_list.value[0],
      values['id'].bytes_list.value[0].decode(),
    )


def _decode(content: bytes) -> np.ndarray | str:
  """Returns an image's pixels, or why there are none."""
  try:
    with Image.open(io.BytesIO(content)) as image:
      return np.asarray(image.convert('RGB'))
  except (OSError, SyntaxError, ValueError) as error:
    return f'none: {error}'


def _merge(name: str, files: list[_File], result: Result) -> dict[bytes, str]:
  """Adds a split's files to the result; returns its ids by image hash."""
  keys = collections.Counter()
  hashes = {}
  counts = result.class_counts[name] = collections.Counter()
  for file in files:
    result.faults += file.faults
    counts.update(file.labels)
    keys.update(file.keys)
    hashes.update(zip(file.hashes, file.keys, strict=True))
    for label, images in file.samples.items():
      if label >= 0:
        room = _SAMPLES - len(result.samples[label])
        result.samples[label] += images[:room]
  result.faults += [
    f'{name}: the id {key} must be unique. Received: {count} of it.'
    for key, count in keys.items()
    if count > 1
  ]
  return hashes


def _check_disjoint(
  hashes: dict[str, dict[bytes, str]],
  metadata: dict[str, object],
  result: Result,
) -> None:
  """Notes images that are in two splits.

  They are a fault where the splits were made here; where the archive has its
  own, they are its makers' choice.
  """
  made_here = metadata.get('parameters', {}).get('ilsvrc.validation_fraction')
  for first, second in (
    ('train', 'validation'),
    ('train', 'test'),
    ('validation', 'test'),
  ):
    ours, theirs = hashes.get(first, {}), hashes.get(second, {})
    common = sorted(ours.keys() & theirs.keys())
    if common:
      shown = ', '.join(f'{ours[h]} = {theirs[h]}' for h in common[:_COMMON])
      text = (
        f'{len(common):,} images of {second} are in {first} too: {shown}'
        f'{", …" if len(common) > _COMMON else ""}.'
      )
      (result.faults if made_here else result.notes).append(text)
