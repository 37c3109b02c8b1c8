"""The list of examples that a source hands to the pipeline."""

import array
import collections
import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import Protocol

import numpy as np

from beam_pipelines import archives
from beam_pipelines import resize
from tinygin.config import errors

_SHOWN = 10
_TABLE = re.compile(r'\.(csv|json|tsv|txt|xml)\Z', re.IGNORECASE)
# `.0001` is no extension.
_EXTENSION = re.compile(r'(?<=.)\.[a-z]\w*\Z', re.IGNORECASE)


class Box(NamedTuple):
  """A bounding box, as fractions of the image; upper left is 0, 0."""

  y_min: float
  x_min: float
  y_max: float
  x_max: float


NO_BOX = Box(0.0, 0.0, 0.0, 0.0)


class Example(NamedTuple):
  """One image, not read yet, and its label.

  Attributes:
    key: unique in its split; the image file's name without its extension.
    label: position of its class in `Index.wordnet_ids`; -1 without a label.
    box: around the object; `NO_BOX` where the source has none.
    member: where the encoded image lies.
  """

  key: str
  label: int
  box: Box
  member: archives.Member


class Examples(Sequence[Example]):
  """Examples in little memory; ILSVRC2012 has more than a million of them."""

  def __init__(self, data: bytearray, begins: np.ndarray, ends: np.ndarray):
    """Takes JSON texts one after the other, and the place of each."""
    self._data = data
    self._begins = begins
    self._ends = ends

  @classmethod
  def pack(cls, examples: list[Example]) -> 'Examples':
    """Packs examples, and empties their list to free its memory."""
    data, places = bytearray(), array.array('q', [0])
    examples.reverse()
    while examples:
      data += json.dumps(examples.pop()).encode()
      places.append(len(data))
    return cls(data, np.array(places)[:-1], np.array(places)[1:])

  def __len__(self) -> int:
    return len(self._ends)

  def __getitem__(self, index: int) -> Example:
    text = self._data[self._begins[index] : self._ends[index]]
    return parse(json.loads(text))

  def take(self, indices: Sequence[int]) -> 'Examples':
    """Returns the examples at some indices; shares their memory."""
    chosen = np.array(indices, np.int64)
    return Examples(self._data, self._begins[chosen], self._ends[chosen])


def parse(values: list[Any]) -> Example:
  """Returns the example that JSON returns as lists."""
  key, label, box, member = values
  return Example(key, label, Box(*box), archives.Member(*member))


@dataclasses.dataclass(frozen=True)
class Index:
  """All examples of a source, without their images.

  Attributes:
    origin: path of the archive or folder.
    wordnet_ids: ids of the classes, in the order of the labels. A class that is
      a group of classes has all their ids, separated by spaces.
    class_names: unique and readable, in the order of the labels.
    splits: the examples of each split; `read_index` packs them.
    validation_fraction: share of the training examples that is still to be
      moved to the validation split; 0 if the source has its own splits.
    identity: as `Source.identity`.
  """

  origin: str
  wordnet_ids: tuple[str, ...]
  class_names: tuple[str, ...]
  splits: dict[str, list[Example] | Examples]
  validation_fraction: float
  identity: dict[str, object]


class Source(Protocol):
  """Where images come from: a component bound in gin."""

  def identity(self) -> dict[str, object]:
    """Returns, by gin name, everything that the examples depend on.

    A value that cannot be known while the source is absent is
    `fingerprint.UNKNOWN`.
    """

  def index(self, downloads: str) -> Index:
    """Lists the examples; downloads or draws the archive into `downloads`."""


def read_index(source: Source, classes: int, downloads: str) -> Index:
  """Lists a source's examples, packed.

  Args:
    source: the source of the images.
    classes: number of classes that the source must have.
    downloads: the folder for downloaded archives.

  Raises:
    errors.InputError: the source is damaged, has another number of classes, or
      has two images of one name in a split.
  """
  index = source.index(downloads)
  if len(index.wordnet_ids) != classes:
    raise errors.InputError(
      f'dataset.classes must be {len(index.wordnet_ids)}, the number of '
      f'classes in {index.origin}. Received: {classes}.'
    )
  for split, examples in index.splits.items():
    uses = collections.Counter(example.key for example in examples)
    if len(uses) < len(examples):
      names = sorted(e.member.name for e in examples if uses[e.key] > 1)
      raise errors.InputError(
        f'File names must be unique within a split. Duplicates '
        f'in the {split} split of {index.origin}: {shorten(names)}.'
      )
  packed = {split: Examples.pack(each) for split, each in index.splits.items()}
  return dataclasses.replace(index, splits=packed)


def is_image(member: archives.Member) -> bool:
  """Whether a file that lies among images is one of them.

  Only files with the extension of a table are opened: those that do not begin
  like an image are tables. A file that cannot be read counts as an image, so
  that the build reports it.
  """
  if not _TABLE.search(member.name):
    return True
  try:
    return resize.is_image(archives.read(member))
  except (archives.CorruptMemberError, OSError):
    return True


def image_key(name: str) -> str:
  """Returns a file's name without its extension."""
  return _EXTENSION.sub('', name)


def shorten(items: Sequence[str]) -> str:
  """Joins items for a message: the first ten, and the number of the others."""
  more = f' and {len(items) - _SHOWN:,} more' if len(items) > _SHOWN else ''
  return ', '.join(items[:_SHOWN]) + more


def unique_names(names: dict[str, str]) -> dict[str, str]:
  """Appends the id to each name that several ids share."""
  uses = collections.Counter(names.values())
  return {
    id_: name if uses[name] == 1 else f'{name} ({id_})'
    for id_, name in names.items()
  }
