"""Moves training examples to the validation split, by the hash of the image.

The hash depends on the image's file alone. So copies of an image are always in
the same split, and adding or removing other images moves none.
"""

import dataclasses
import hashlib
import itertools
import os

from apache_beam.options import pipeline_options

from beam_pipelines import archives
from beam_pipelines import indexing
from beam_pipelines import tasks

_TASK_SIZE = 5000
_BITS = 64


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
  """
  if not index.validation_fraction:
    return index
  found = sorted(index.splits['train'], key=lambda each: each.member.position)
  hashes = [
    tasks.Task(
      os.path.join(directory, f'hashes-{begin}'),
      [example.member for example in found[begin : begin + _TASK_SIZE]],
    )
    for begin in range(0, len(found), _TASK_SIZE)
  ]
  reports = tasks.run(_hash, hashes, options, 'hashing')
  splits = {'train': [], 'validation': []}
  fractions = itertools.chain.from_iterable(reports)
  for example, fraction in zip(found, fractions, strict=True):
    # A damaged image stays in training, where its shard rejects it.
    held_out = fraction is not None and fraction < index.validation_fraction
    splits['validation' if held_out else 'train'].append(example)
  return dataclasses.replace(index, splits=splits)


def _hash(path: str, images: list[list]) -> list[float | None]:
  """Returns each image's hash as a fraction; None if it is damaged."""
  del path
  with archives.Reader() as reader:
    return [_fraction(reader, archives.Member(*each)) for each in images]


def _fraction(reader: archives.Reader, member: archives.Member) -> float | None:
  try:
    content = reader.read(member)
  except archives.CorruptMemberError:
    return None
  first = hashlib.sha256(content).digest()[: _BITS // 8]
  return int.from_bytes(first) / 2**_BITS
