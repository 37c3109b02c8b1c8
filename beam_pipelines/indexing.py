"""The list of examples that a source hands to the pipeline."""

import collections
import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple
from typing import Protocol

from beam_pipelines import archives
from tinygin.config import errors

_SHOWN = 10
# The extension of a file among the images that is no image. Every other file
# counts as an image, and is decoded by its content.
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


@dataclasses.dataclass(frozen=True)
class Index:
  """All examples of a source, without their images.

  Attributes:
    origin: path of the archive or folder.
    wordnet_ids: ids of the classes, in the order of the labels. A class that is
      a group of classes has all their ids, separated by spaces.
    class_names: unique and readable, in the order of the labels.
    splits: the examples of each split.
    validation_fraction: share of the training examples that is still to be
      moved to the validation split; 0 if the source has its own splits.
  """

  origin: str
  wordnet_ids: tuple[str, ...]
  class_names: tuple[str, ...]
  splits: dict[str, list[Example]]
  validation_fraction: float


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
  """Lists a source's examples.

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
  return index


def image_key(name: str) -> str | None:
  """Returns a file's name without its extension; None if it is a table."""
  return None if _TABLE.search(name) else _EXTENSION.sub('', name)


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
