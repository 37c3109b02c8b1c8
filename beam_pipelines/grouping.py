"""Groups WordNet ids into classes: components bound in gin."""

import collections
import dataclasses
import functools
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Annotated
from typing import Protocol

import gin
from annotated_types import Interval

from beam_pipelines import fingerprint
from beam_pipelines import indexing
from tinygin.config import errors
from tinygin.config import paths

_ID_LENGTH = len('n01440764')


class Grouping(Protocol):
  """Assigns the classes of a source to classes of the data set."""

  def identity(self) -> dict[str, object]:
    """Returns, by gin name, everything that the groups depend on."""

  def group(self, wordnet_id: str) -> str | None:
    """Returns the name of a class's group; None leaves the class out."""


@gin.register('by_wordnet_prefix')
@dataclasses.dataclass(frozen=True)
class ByWordnetPrefix:
  """Groups ids by their first digits: `n014` for `n01440764`.

  Attributes:
    digits: number of equal digits; 3 gives 61 groups of ILSVRC2012's 1,000
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
  """Groups ids by a table: a WordNet id, a tab and a group's name on each line.

  Classes that the table does not name are left out.

  Attributes:
    path: path of the table; see `read_table`.
  """

  path: str

  def identity(self) -> dict[str, object]:
    """See `Grouping`; the content counts, not the path."""
    return {'by_file.groups': fingerprint.digest(self.groups)}

  def group(self, wordnet_id: str) -> str | None:
    """See `Grouping`."""
    return self.groups.get(wordnet_id)

  @functools.cached_property
  def groups(self) -> dict[str, str]:
    """The groups' names by WordNet id."""
    return read_table(self.path)


def read_table(path: str) -> dict[str, str]:
  """Reads a table of two columns, a WordNet id and a text, in UTF-8.

  Empty lines and lines that begin with # are skipped.

  Raises:
    errors.InputError: the file is absent, not UTF-8 or in another format.
  """
  rows: dict[str, str] = {}
  lines = paths.read_text(paths.find(path)).splitlines()
  for number, line in enumerate(lines, 1):
    if not line.strip() or line.startswith('#'):
      continue
    wordnet_id, _, text = (part.strip() for part in line.partition('\t'))
    if not text or wordnet_id in rows:
      raise errors.InputError(
        f'Each line of {path} must have a unique WordNet id, a tab and a text. '
        f'Received: {line.rstrip()!r} at {path}:{number}.'
      )
    rows[wordnet_id] = text
  return rows


def groups(
  grouping: Grouping | None,
  wordnet_ids: Sequence[str],
  keep: Sequence[str] | None,
  drop: Sequence[str] | None,
) -> dict[str, list[str]]:
  """Returns the ids of each group; groups and ids are sorted.

  Args:
    grouping: None makes a group of each id.
    wordnet_ids: the classes of the source.
    keep: the ids to use; None uses all.
    drop: the ids to leave out; None leaves out none.

  Raises:
    errors.InputError: an id is not in the source, or fewer than two groups are
      left.
  """
  _check_known('keep_classes', keep, wordnet_ids)
  _check_known('drop_classes', drop, wordnet_ids)
  if isinstance(grouping, ByFile):
    _check_known(grouping.path, grouping.groups, wordnet_ids)
  chosen = set(wordnet_ids if keep is None else keep) - set(drop or ())
  found = collections.defaultdict(list)
  for wordnet_id in sorted(chosen):
    group = wordnet_id if grouping is None else grouping.group(wordnet_id)
    if group is not None:
      found[group].append(wordnet_id)
  if len(found) < 2:
    raise errors.InputError(
      f'The grouping must leave at least 2 groups. Received: {len(found)} of '
      f'{len(chosen):,} classes.'
    )
  return dict(sorted(found.items()))


def _check_known(
  place: str, ids: Iterable[str] | None, wordnet_ids: Sequence[str]
) -> None:
  unknown = sorted(set(ids or ()) - set(wordnet_ids))
  if unknown:
    raise errors.InputError(
      f'{place} must name classes of the source. Unknown: '
      f'{indexing.shorten(unknown)}.'
    )
