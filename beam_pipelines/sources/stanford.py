"""Stanford's tiny-imagenet-200, and any archive or folder in its layout.

```
wnids.txt                          a class's WordNet id on each line
words.txt                          WordNet id, tab, names
train/ID/images/ID_0.JPEG          the training images of a class
train/ID/ID_boxes.txt              file name, x0, y0, x1, y1, tab-separated
val/images/val_0.JPEG              the validation images
val/val_annotations.txt            file name, WordNet id, x0, y0, x1, y1
test/images/test_0.JPEG            images without labels
```

The validation images may also lie in other folders below `val/`: scripts for
other frameworks sort them into a folder for each class.
"""

import collections
import dataclasses
import os
import pathlib

import gin

from beam_pipelines import archives
from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines.sources import download
from tinygin.config import errors
from tinygin.config import files

_IMAGE_SIZE = 64
_SHOWN_FAULTS = 20


@gin.register('stanford')
@dataclasses.dataclass(frozen=True)
class Stanford:
  """The images of an archive or folder in the layout of tiny-imagenet-200.

  Attributes:
    source: the official archive's address, or the path or URL of an archive or
      folder; see `files`.
  """

  source: str

  def identity(self) -> dict[str, object]:
    """Returns the SHA-256 of the official archive, or a digest of the members.

    It covers their names, sizes and, in a zip archive, CRC-32.

    Raises:
      errors.InputError: the archive is damaged.
    """
    official = official_archive()
    if self.source == official.url:
      return {'stanford.sha256': official.sha256}
    try:
      path = files.find(self.source, 'stanford.source')
      files.list_files(path)
    except errors.InputError:
      return {'stanford.members': fingerprint.UNKNOWN}
    return _identity(path, archives.members(path))

  def index(self, downloads: str) -> indexing.Index:
    """Lists the archive's examples, after downloading it if necessary.

    Args:
      downloads: the folder for a downloaded archive.

    Raises:
      errors.InputError: the archive is absent, damaged or in another layout.
    """
    official = official_archive()
    if self.source == official.url:
      path = download.fetch(official, downloads)
    else:
      path = files.find(self.source, 'stanford.source')
    return index_archive(path)


def official_archive() -> download.RemoteFile:
  """Returns address, size and SHA-256 of Stanford's archive."""
  table = pathlib.Path(__file__).parents[1] / 'tiny_imagenet/checksums.tsv'
  row = table.read_text(encoding='utf-8').rstrip('\n')
  url, size, sha256, _ = row.split('\t')
  return download.RemoteFile(url, int(size), sha256)


def index_archive(path: str) -> indexing.Index:
  """Lists the examples of an archive in the layout of tiny-imagenet-200.

  Raises:
    errors.InputError: names everything that is wrong in the archive.
  """
  members = archives.members(path)
  archive = _Archive(path, members)
  wordnet_ids = tuple(sorted(archive.lines('wnids.txt')))
  if len(set(wordnet_ids)) != len(wordnet_ids):
    archive.faults.append('wnids.txt must not repeat an id.')
  labels = {wordnet_id: i for i, wordnet_id in enumerate(wordnet_ids)}
  splits = {
    'train': _index_train(archive, labels),
    'validation': _index_validation(archive, labels),
    'test': [
      indexing.Example(indexing.image_key(file), -1, indexing.NO_BOX, member)
      for file, member in archive.images('test/images').items()
    ],
  }
  names = _class_names(archive, wordnet_ids)
  archive.raise_faults()
  identity = _identity(path, members)
  return indexing.Index(path, wordnet_ids, names, splits, 0.0, identity)


def _identity(
  path: str, members: dict[str, archives.Member]
) -> dict[str, object]:
  official = official_archive()
  # An archive in a bucket would be read twice.
  is_local = not files.is_remote(path) and os.path.isfile(path)
  if is_local and os.path.getsize(path) == official.size:
    download.check(path, official, 'Fetch it again.')
    return {'stanford.sha256': official.sha256}
  listed = [(each.name, each.size, each.crc) for each in members.values()]
  return {'stanford.members': fingerprint.digest(sorted(listed))}


class _Archive:
  """An archive's members by folder, and the faults found in it."""

  def __init__(self, path: str, members: dict[str, archives.Member]):
    self.path = path
    self.faults: list[str] = []
    self._members = members
    self._root = self._find_root()
    self._folders = collections.defaultdict(dict)
    for name, member in self._members.items():
      folder, _, file = name.removeprefix(self._root).rpartition('/')
      if name.startswith(self._root):
        self._folders[folder][file] = member

  def _find_root(self) -> str:
    """Returns the folder of wnids.txt, such as `tiny-imagenet-200/`."""
    roots = [n[:-9] for n in self._members if f'/{n}'.endswith('/wnids.txt')]
    if len(roots) != 1:
      raise errors.InputError(
        f'The archive must hold exactly one wnids.txt, like tiny-imagenet-200. '
        f'Received: {self.path}, which holds {len(roots)}.'
      )
    return roots[0]

  def images(self, folder: str) -> dict[str, archives.Member]:
    """Returns the images in a folder by file name."""
    return {
      file: member
      for file, member in self._folders.get(folder, {}).items()
      if indexing.is_image(member)
    }

  def images_below(
    self, folder: str, ending: str = ''
  ) -> dict[str, archives.Member]:
    """Returns the images in folders below a folder by file name.

    Args:
      folder: without a slash at its end.
      ending: of the folders' paths.
    """
    found = {}
    for each in self._folders:
      if each.startswith(f'{folder}/') and each.endswith(ending):
        images = self.images(each)
        self.faults += [
          f'{folder}/ must hold one image named {file}.'
          for file in found.keys() & images.keys()
        ]
        found |= images
    return found

  def lines(self, name: str) -> list[str]:
    """Returns a text file's lines that are not empty."""
    member = self._members.get(self._root + name)
    if member is None:
      self.faults.append(f'{name} is missing.')
      return []
    try:
      text = archives.read(member).decode('utf-8-sig')
    except (archives.CorruptMemberError, OSError, ValueError) as error:
      self.faults.append(f'{name}: {error}.')
      return []
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
      self.faults.append(f'{name} is empty.')
    return lines

  def annotations(self, name: str, columns: int) -> dict[str, list[str]]:
    """Returns a tab-separated table's rows by their first column."""
    rows = {}
    for line in self.lines(name):
      file, *values = line.split('\t')
      if len(values) == columns and file not in rows:
        rows[file] = values
      else:
        self.faults.append(
          f'{name} must have one line of {columns + 1} tab-separated columns '
          f'for each image. Received: {line!r}.'
        )
    return rows

  def check_same_files(
    self, folder: str, images: dict, table: str, rows: dict
  ) -> None:
    """Notes images without annotation and annotations without image."""
    if not images:
      self.faults.append(f'{folder}/ must hold images. Received: none.')
    elif rows:
      self.faults += [
        f'{folder}/{file} has no line in {table}.'
        for file in sorted(images.keys() - rows.keys())
      ]
      self.faults += [
        f'{folder}/{file} is missing, but has a line in {table}.'
        for file in sorted(rows.keys() - images.keys())
      ]

  def parse_box(self, table: str, values: list[str]) -> indexing.Box:
    """Parses x0, y0, x1, y1 in pixels; notes a box outside the image."""
    try:
      x_min, y_min, x_max, y_max = map(int, values)
    except ValueError:
      x_min, y_min, x_max, y_max = -1, -1, -1, -1
    if not (
      0 <= x_min <= x_max <= _IMAGE_SIZE and 0 <= y_min <= y_max <= _IMAGE_SIZE
    ):
      self.faults.append(
        f'{table} must give boxes as x0, y0, x1, y1 in 0 to {_IMAGE_SIZE}, the '
        f'smaller first. Received: {values}.'
      )
    corners = (y_min, x_min, y_max, x_max)
    return indexing.Box(*(corner / _IMAGE_SIZE for corner in corners))

  def raise_faults(self) -> None:
    """Raises `errors.InputError` with the first faults, if there are any."""
    if not self.faults:
      return
    shown = self.faults[:_SHOWN_FAULTS]
    if more := len(self.faults) - len(shown):
      shown.append(f'… and {more:,} more.')
    raise errors.InputError(
      f'{self.path} must have the layout of tiny-imagenet-200. '
      f'Faults ({len(self.faults):,}):\n  ' + '\n  '.join(shown)
    )


def _index_train(
  archive: _Archive, labels: dict[str, int]
) -> list[indexing.Example]:
  found = []
  if not archive.images_below('train', '/images'):
    archive.faults.append('train/ must hold images. Received: none.')
    return found
  for wordnet_id, label in labels.items():
    folder = f'train/{wordnet_id}/images'
    table = f'train/{wordnet_id}/{wordnet_id}_boxes.txt'
    images = archive.images(folder)
    rows = archive.annotations(table, columns=4)
    archive.check_same_files(folder, images, table, rows)
    found += [
      indexing.Example(
        indexing.image_key(file),
        label,
        archive.parse_box(table, rows[file]),
        member,
      )
      for file, member in images.items()
      if file in rows
    ]
  return found


def _index_validation(
  archive: _Archive, labels: dict[str, int]
) -> list[indexing.Example]:
  found = []
  folder, table = 'val/images', 'val/val_annotations.txt'
  images = archive.images(folder)
  rows = archive.annotations(table, columns=5)
  if not images:
    folder = 'val'
    images = archive.images_below(folder)
    if images and not rows:
      archive.faults.append(
        'val/ was sorted into class folders, and the boxes are lost. Unpack '
        'val/ from the original archive again.'
      )
  archive.check_same_files(folder, images, table, rows)
  for file in sorted(images.keys() & rows.keys()):
    wordnet_id, *values = rows[file]
    if wordnet_id not in labels:
      archive.faults.append(
        f'{table} must name classes of wnids.txt. '
        f'Received: {wordnet_id!r} for {file}.'
      )
      continue
    box = archive.parse_box(table, values)
    found.append(
      indexing.Example(
        indexing.image_key(file), labels[wordnet_id], box, images[file]
      )
    )
  return found


def _class_names(
  archive: _Archive, wordnet_ids: tuple[str, ...]
) -> tuple[str, ...]:
  """Returns each class's first name in words.txt, made unique by its id."""
  words = dict(line.partition('\t')[::2] for line in archive.lines('words.txt'))
  archive.faults += [
    f'words.txt has no line for {wordnet_id}.'
    for wordnet_id in wordnet_ids
    if not words.get(wordnet_id)
  ]
  names = {i: words.get(i, '').split(',')[0].strip() for i in wordnet_ids}
  return tuple(indexing.unique_names(names).values())
