"""ILSVRC2012's training images, as published or extracted.

Three layouts are read: `ILSVRC2012_img_train.tar`, a tar archive of one archive
for each class; a folder of those archives; a folder of class folders.

```
n01440764.tar or n01440764/        named by a WordNet id
  n01440764_10026.JPEG             an image of that class
```
"""

import collections
import dataclasses
import itertools
import re
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Annotated

import gin
from annotated_types import Ge
from annotated_types import Interval

from beam_pipelines import archives
from beam_pipelines import fingerprint
from beam_pipelines import grouping as groupings
from beam_pipelines import indexing
from tinygin.config import errors
from tinygin.config import files

_FILE = re.compile(r'((?:.*/)?(n\d{8}))/([^/]+)')
# The images of one class, sorted by file name.
_Images = dict[str, archives.Member]


@gin.register('ilsvrc')
@dataclasses.dataclass(frozen=True)
class Ilsvrc:
  """The training images of ILSVRC2012: all or some classes, or groups of them.

  Each group takes its examples evenly from its classes, in rounds: one image of
  each class per round. Classes are in the order of their ids, images in the
  order of their names. So N examples of m classes are N // m of each class, and
  one more of the first N % m classes. If a class runs out of images, the other
  classes provide more.

  An image belongs to the validation split if the first 64 bits of the SHA-256
  of its file's size and last 4,096 bytes, divided by 2^64, are below
  `validation_fraction`. So copies of an image are always in the same split.

  Attributes:
    source: the path or URL of the archive or folder; see `files`.
    class_names: a table of WordNet ids and names, for classes that are no
      groups; None: their names are their ids.
    keep_classes: WordNet ids to use; None: all.
    drop_classes: WordNet ids to leave out; None: none.
    grouping: makes one class of several ids; None: each id is a class.
    examples_per_group: for training and validation together; None uses
      all images.
    validation_fraction: the approximate share of validation examples.
  """

  source: str
  class_names: str | None
  keep_classes: Sequence[str] | None
  drop_classes: Sequence[str] | None
  grouping: groupings.Grouping | None
  examples_per_group: Annotated[int, Ge(1)] | None
  validation_fraction: Annotated[float, Interval(ge=0, lt=1)]

  def identity(self) -> dict[str, object]:
    """See `indexing.Source`; files count by their names and sizes."""
    try:
      found = files.list_files(files.find(self.source, 'ilsvrc.source'))
      content = [(file.name, file.size) for file in found]
      if len(found) == 1:  # An archive, which may have any name.
        content = [found[0].size]
      listing = fingerprint.digest(content)
    except errors.InputError:
      listing = fingerprint.UNKNOWN
    grouping = self.grouping and self.grouping.identity()
    names = self.class_names and fingerprint.digest(self._names())
    return {
      'ilsvrc.files': listing,
      'ilsvrc.class_names': names,
      'ilsvrc.keep_classes': self.keep_classes,
      'ilsvrc.drop_classes': self.drop_classes,
      'ilsvrc.grouping': fingerprint.component_name(self.grouping),
      'ilsvrc.examples_per_group': self.examples_per_group,
      'ilsvrc.validation_fraction': self.validation_fraction,
      **(grouping or {}),
    }

  def index(self, downloads: str) -> indexing.Index:
    """Lists the examples; `downloads` is not needed.

    Raises:
      errors.InputError: the source is absent, damaged, or has too few images,
        or a table does not fit it.
    """
    del downloads
    path = files.find(self.source, 'ilsvrc.source')
    images = _images(path)
    groups = groupings.groups(
      self.grouping, list(images), self.keep_classes, self.drop_classes
    )
    self._check_enough(images, groups)
    found = [
      indexing.Example(indexing.image_key(file), label, indexing.NO_BOX, member)
      for label, ids in enumerate(groups.values())
      for file, member in itertools.islice(
        _in_rounds([images[id_] for id_ in ids]), self.examples_per_group
      )
    ]
    return indexing.Index(
      origin=path,
      wordnet_ids=tuple(' '.join(ids) for ids in groups.values()),
      class_names=self._group_names(groups),
      splits={'train': found, 'validation': []},
      validation_fraction=self.validation_fraction,
      identity=self.identity(),
    )

  def _names(self) -> dict[str, str]:
    """Returns the first name of each class; with its id where two share it."""
    if self.class_names is None:
      return {}
    table = groupings.read_table(self.class_names)
    return indexing.unique_names(
      {id_: names.split(',')[0].strip() for id_, names in table.items()}
    )

  def _group_names(self, groups: dict[str, list[str]]) -> tuple[str, ...]:
    if self.grouping is not None or self.class_names is None:
      return tuple(groups)
    names = self._names()
    unnamed = [id_ for id_ in groups if id_ not in names]
    if unnamed:
      raise errors.InputError(
        f'{self.class_names} must name every class of the data set. Not '
        f'named: {indexing.shorten(unnamed)}.'
      )
    return tuple(names[id_] for id_ in groups)

  def _check_enough(
    self, images: dict[str, _Images], groups: dict[str, list[str]]
  ) -> None:
    sizes = {
      group: sum(len(images[id_]) for id_ in ids)
      for group, ids in groups.items()
    }
    needed = self.examples_per_group or 1
    short = [f'{group} has {n:,}' for group, n in sizes.items() if n < needed]
    if short:
      raise errors.InputError(
        f'ilsvrc.examples_per_group must be at most the number of images in '
        f'each group; None takes all. Received: {needed:,}, but '
        f'{indexing.shorten(short)}.'
      )


def _images(path: str) -> dict[str, _Images]:
  """Returns the images by class and file name, both sorted.

  Raises:
    errors.InputError: there are none, or a class has several folders.
  """
  images, folders = collections.defaultdict(dict), {}
  members = archives.members(path)
  for name in sorted(members):
    match = _FILE.fullmatch(name)
    if match is None or not indexing.is_image(members[name]):
      continue
    folder, wordnet_id, file = match.groups()
    if folders.setdefault(wordnet_id, folder) != folder:
      raise errors.InputError(
        f'{path} must hold one folder or tar archive for each class. Received: '
        f'{folders[wordnet_id]} and {folder}. Bind the folder that holds the '
        f'training images alone.'
      )
    images[wordnet_id][file] = members[name]
  if not images:
    raise errors.InputError(
      f'{path} must hold images like n01440764/n01440764_10026.JPEG, in '
      f'folders or tar archives named by WordNet ids. Received: none.'
    )
  return dict(images)


def _in_rounds(classes: list[_Images]) -> Iterator[tuple[str, archives.Member]]:
  """Yields the first image of each class, then the second, and so on."""
  for images in itertools.zip_longest(*(each.items() for each in classes)):
    yield from (image for image in images if image is not None)
