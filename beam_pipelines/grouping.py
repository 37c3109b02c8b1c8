"""Ways to make classes of groups of WordNet ids: components bound in gin."""

import collections
import dataclasses
import functools
from collections.abc import Sequence
from typing import Annotated
from typing import Protocol

import gin
from annotated_types import Interval

from beam_pipelines import fingerprint
from tinygin.config import errors
from tinygin.config import paths

_ID_LENGTH = len('n01440764')


class Grouping(Protocol):
  """Says which classes of a source become one class of the data set."""

  def identity(self) -> dict[str, object]:
    """Returns all that the groups depend on, by gin name."""

  def group(self, wordnet_id: str) -> str | None:
    """Returns the name of the group of a class; None: it is left out."""


@gin.register('by_wordnet_prefix')
@dataclasses.dataclass(frozen=True)
class ByWordnetPrefix:
  """Puts together the ids that begin alike: `n014` for `n01440764`.

  Attributes:
    digits: how many must be the same; 3 make 61 groups of ILSVRC2012's 1,000
      classes.
  """

  digits: Annotated[int, Interval(ge=1, le=_ID_LENGTH - 1)]

  def identity(self) -> dict[str, object]:
    """See `Grouping`."""
    return fingerprint.values(self)

  def group(self, wordnet_id: str) -> str:
    """See `Grouping`."""
    return wordnet_id[: 1 + self.digits]


@gin.register('by_file')
@dataclasses.dataclass(frozen=True)
class ByFile:
  """Groups as a file says: a WordNet id, a tab and a group's name a line.

  Classes that the file does not name are left out.

  Attributes:
    path: of the file. Empty lines and lines that begin with # mean nothing.
  """

  path: str

  def identity(self) -> dict[str, object]:
    """See `Grouping`; the file's content counts, not where it lies."""
    return {'by_file.groups': fingerprint.digest(self.groups)}

  def group(self, wordnet_id: str) -> str | None:
    """See `Grouping`."""
    return self.groups.get(wordnet_id)

  @functools.cached_property
  def groups(self) -> dict[str, str]:
    """The groups' names by WordNet id."""
    return read_table(self.path)


def read_table(path: str) -> dict[str, str]:
  """Reads a table of two columns, a WordNet id and a text.

  Raises:
    errors.InputError: the file is absent or laid out otherwise.
  """
  rows: dict[str, str] = {}
  with open(paths.find(path), encoding='utf-8') as file:
    for number, line in enumerate(file, 1):
      if not line.strip() or line.startswith('#'):
        continue
      wordnet_id, _, text = (part.strip() for part in line.partition('\t'))
      if not text or wordnet_id in rows:
        raise errors.InputError(
          f'{path} must have a WordNet id of its own, a tab and a text on each '
          f'line. Received: {line.rstrip()!r} at {path}:{number}.'
        )
      rows[wordnet_id] = text
  return rows


def select(
  wordnet_ids: Sequence[str],
  keep: Sequence[str] | None,
  drop: Sequence[str] | None,
) -> list[str]:
  """Returns the sorted ids: those to keep, or all, without those to drop.

  Raises:
    errors.InputError: an id to keep or to drop is not among them.
  """
  absent = sorted({*(keep or ()), *(drop or ())} - set(wordnet_ids))
  if absent:
    raise errors.InputError(
      f'keep_classes and drop_classes must name classes of the source. '
      f'Received: {", ".join(absent)}.'
    )
  chosen = wordnet_ids if keep is None else keep
  return sorted(set(chosen) - set(drop or ()))


def groups(
  grouping: Grouping | None, wordnet_ids: Sequence[str]
) -> dict[str, list[str]]:
  """Returns the ids of each group, groups and ids sorted by name.

  Args:
    grouping: None makes a group of each id.
    wordnet_ids: the classes.

  Raises:
    errors.InputError: fewer than two groups are left.
  """
  found = collections.defaultdict(list)
  for wordnet_id in sorted(wordnet_ids):
    group = wordnet_id if grouping is None else grouping.group(wordnet_id)
    if group is not None:
      found[group].append(wordnet_id)
  if len(found) < 2:
    raise errors.InputError(
      f'The grouping must leave at least 2 groups. Received: {len(found)} of '
      f'{len(wordnet_ids):,} classes.'
    )
  return dict(sorted(found.items()))
