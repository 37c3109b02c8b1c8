"""Moves training examples to the validation split, by the hash of the image.

The hash depends on the image's file alone. So copies of an image are always in
the same split, and adding or removing other images moves none. Only the size
and the end of the file are hashed, so that large images are not read twice.
"""

import dataclasses
import hashlib
import itertools
import os

from apache_beam.options import pipeline_options

from beam_pipelines import archives
from beam_pipelines import indexing
from beam_pipelines import tasks
from tinygin.config import errors

_TASK_SIZE = 5000
_BITS = 64
_HASHED_BYTES = 4096


def hold_out(
  index: indexing.Index,
  directory: str,
  options: pipeline_options.PipelineOptions | None,
) -> indexing.Index:
  """Moves about `index.validation_fraction` of the training examples.

  Args:
    index: the examples.
    directory: a working folder.
    options: options of the Beam pipeline; see `tasks.run`.

  Returns:
    The index with its final splits.

  Raises:
    errors.InputError: a split is empty.
  """
  if not index.validation_fraction:
    return index
  found = index.splits['train']
  order = sorted(range(len(found)), key=lambda i: found[i].member.position)
  hashes = [
    tasks.Task(
      os.path.join(directory, f'hashes-{begin}'),
      found.take(order[begin : begin + _TASK_SIZE]),
    )
    for begin in range(0, len(order), _TASK_SIZE)
  ]
  reports = tasks.run(_hash, hashes, options, 'hashing')
  splits = {'train': [], 'validation': []}
  fractions = itertools.chain.from_iterable(reports)
  for i, fraction in zip(order, fractions, strict=True):
    # A damaged image stays in training, where its shard rejects it.
    held_out = fraction is not None and fraction < index.validation_fraction
    splits['validation' if held_out else 'train'].append(i)
  for split, chosen in splits.items():
    if not chosen:
      raise errors.InputError(
        f'The {split} split is empty: none of the {len(found):,} images of '
        f'{index.origin} is in it, at a share of '
        f'{index.validation_fraction} for validation. Choose another share, or '
        'add images.'
      )
  return dataclasses.replace(
    index, splits={name: found.take(each) for name, each in splits.items()}
  )


def _hash(path: str, images: list[list]) -> list[float | None]:
  """Returns each image's hash as a fraction; None if it is damaged."""
  del path
  members = [indexing.parse(each).member for each in images]
  ends = [_end(member) for member in members]
  stored = archives.read_stored(ends)
  return list(map(_fraction, members, ends, stored))


def _end(member: archives.Member) -> archives.Member:
  """Returns the end of a member; all of it if it may be compressed."""
  if member.method is not None:
    return member
  skipped = max(0, member.size - _HASHED_BYTES)
  size = member.size - skipped
  return member._replace(
    offset=member.offset + skipped, size=size, stored_size=size
  )


def _fraction(
  member: archives.Member, end: archives.Member, stored: bytes
) -> float | None:
  try:
    content = archives.unpack(end, stored)[-_HASHED_BYTES:]
  except archives.CorruptMemberError:
    return None
  hashed = hashlib.sha256(member.size.to_bytes(8) + content).digest()
  return int.from_bytes(hashed[: _BITS // 8]) / 2**_BITS
