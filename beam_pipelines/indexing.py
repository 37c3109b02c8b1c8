"""What a source hands to the pipeline: where each example's image lies."""

import collections
import dataclasses
from typing import NamedTuple
from typing import Protocol

from beam_pipelines import archives
from tinygin.config import errors


class Box(NamedTuple):
  """A bounding box in 0 to 1: the upper left corner of the image is 0, 0."""

  y_min: float
  x_min: float
  y_max: float
  x_max: float


NO_BOX = Box(0.0, 0.0, 0.0, 0.0)


class Example(NamedTuple):
  """One image that still lies where the source has it.

  Attributes:
    key: unique in its split; the image file's name without its ending.
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
    wordnet_ids: of the classes, in the order of the labels. A class that is a
      group of classes has all their ids, separated by spaces.
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
    """Returns all that the examples depend on, by gin name.

    What cannot be known while the source is absent is `fingerprint.UNKNOWN`.
    """

  def index(self, downloads: str) -> Index:
    """Lists the examples; fetches or draws the archive into `downloads`."""


def read_index(source: Source, classes: int, downloads: str) -> Index:
  """Lists a source's examples.

  Args:
    source: of the images.
    classes: how many the source must have.
    downloads: the directory for downloaded archives.

  Raises:
    errors.InputError: the source is not what it should be.
  """
  index = source.index(downloads)
  if len(index.wordnet_ids) != classes:
    raise errors.InputError(
      f'dataset.classes must be {len(index.wordnet_ids)}, the number of '
      f'classes in {index.origin}. Received: {classes}.'
    )
  return index


def unique_names(names: dict[str, str]) -> dict[str, str]:
  """Adds its id to each name that several ids have."""
  uses = collections.Counter(names.values())
  return {
    id_: name if uses[name] == 1 else f'{name} ({id_})'
    for id_, name in names.items()
  }
