"""ILSVRC2012's training images, as published or extracted.

Three layouts are read: `ILSVRC2012_img_train.tar`, a tar archive of one archive
for each class; a folder of those archives; a folder of folders.

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

_IMAGE = re.compile(r'(?:.*/)?(n\d{8})/([^/]+)\.JPEG')
_SHOWN = 10


@gin.register('ilsvrc')
@dataclasses.dataclass(frozen=True)
class Ilsvrc:
  """The training images of ILSVRC2012, of some classes or in groups of them.

  Each group gives its examples evenly: in rounds over its classes in name
  order, each of which gives its next image in name order, until there are
  enough. So N examples of m classes are N // m of each, and one more of the
  first N % m; of a class that runs out, the others take the place.

  An image belongs to the validation split if the first 64 bits of the SHA-256
  of its file, as a fraction of all 64-bit numbers, are below
  `validation_fraction`. So copies of an image never lie in different splits.

  Attributes:
    source: the path of the archive or folder.
    class_names: a table of WordNet ids and names, to name classes that are no
      groups; None: they are named by their ids.
    keep_classes: WordNet ids; None: all.
    drop_classes: WordNet ids that are left out; None: none.
    grouping: what makes classes of groups of ids; None: each is its own.
    examples_per_group: for training and validation together; None: all.
    validation_fraction: how much of them is for validation, about.
  """

  source: str
  class_names: str | None
  keep_classes: Sequence[str] | None
  drop_classes: Sequence[str] | None
  grouping: groupings.Grouping | None
  examples_per_group: Annotated[int, Ge(1)] | None
  validation_fraction: Annotated[float, Interval(ge=0, lt=1)]

  def identity(self) -> dict[str, object]:
    """See `indexing.Source`; the files' names and sizes are their content."""
    try:
      listing = [
        (file.name, file.size)
        for file in archives.files(archives.find(self.source, 'ilsvrc.source'))
      ]
      # The name of a single archive, unlike those in a folder, says nothing.
      content = listing if len(listing) > 1 else [size for _, size in listing]
    except errors.InputError:
      files = fingerprint.UNKNOWN
    else:
      files = fingerprint.digest(content)
    grouping = self.grouping and self.grouping.identity()
    names = self.class_names and fingerprint.digest(self._names())
    return {
      'ilsvrc.files': files,
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
      errors.InputError: the source is absent, damaged, or has too few images.
    """
    del downloads
    path = archives.find(self.source, 'ilsvrc.source')
    images = _images(path)
    chosen = groupings.select(
      list(images), self.keep_classes, self.drop_classes
    )
    groups = groupings.groups(self.grouping, chosen)
    self._check_enough(images, groups)
    found = [
      indexing.Example(key, label, indexing.NO_BOX, member)
      for label, ids in enumerate(groups.values())
      for key, member in itertools.islice(
        _in_rounds([images[id_] for id_ in ids]), self.examples_per_group
      )
    ]
    names = self._names()
    return indexing.Index(
      origin=path,
      wordnet_ids=tuple(' '.join(ids) for ids in groups.values()),
      class_names=tuple(names.get(group, group) for group in groups),
      splits={'train': found, 'validation': []},
      validation_fraction=self.validation_fraction,
    )

  def _names(self) -> dict[str, str]:
    """Returns the first name of each class; with its id where two share it."""
    if self.class_names is None:
      return {}
    table = groupings.read_table(self.class_names)
    return indexing.unique_names(
      {id_: names.split(',')[0].strip() for id_, names in table.items()}
    )

  def _check_enough(
    self,
    images: dict[str, dict[str, archives.Member]],
    groups: dict[str, list[str]],
  ) -> None:
    sizes = {
      group: sum(len(images[id_]) for id_ in ids)
      for group, ids in groups.items()
    }
    needed = self.examples_per_group or 1
    short = [f'{group} has {n:,}' for group, n in sizes.items() if n < needed]
    if short:
      more = f' and {len(short) - _SHOWN:,} more' if len(short) > _SHOWN else ''
      raise errors.InputError(
        f'ilsvrc.examples_per_group must be at most the number of images in '
        f'each group; None takes all. Received: {needed:,}, but '
        f'{", ".join(short[:_SHOWN])}{more}.'
      )


def _images(path: str) -> dict[str, dict[str, archives.Member]]:
  """Returns the images by class and file name without ending, both sorted."""
  found = collections.defaultdict(dict)
  for name, member in sorted(archives.members(path).items()):
    if match := _IMAGE.fullmatch(name):
      wordnet_id, key = match.groups()
      found[wordnet_id][key] = member
  keys = collections.Counter(key for images in found.values() for key in images)
  twice = sorted(key for key, count in keys.items() if count > 1)
  if not found or twice:
    received = f'{", ".join(twice[:_SHOWN])} twice' if twice else 'none'
    raise errors.InputError(
      f'{path} must hold images as n01440764/n01440764_10026.JPEG, in folders '
      f'or tar archives named by WordNet ids, each with a name of its own. '
      f'Received: {received}.'
    )
  return dict(found)


def _in_rounds(
  classes: list[dict[str, archives.Member]],
) -> Iterator[tuple[str, archives.Member]]:
  """Yields the first image of each class, then the second, to the last."""
  for images in itertools.zip_longest(*(each.items() for each in classes)):
    yield from (image for image in images if image is not None)
