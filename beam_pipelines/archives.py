"""Lists the members of zip and tar archives and folders, and reads single ones.

Parsing an archive's directory takes long. So an archive is listed once, and
workers get only the offset and size of each member that they read.
"""

import collections
import contextlib
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO
from typing import NamedTuple

from beam_pipelines import files
from tinygin.config import errors
from tinygin.config import paths

# Larger members are zip bombs, not images or tables.
MAX_BYTES = 1 << 28
_LOCAL_HEADER = struct.Struct('<4s22xHH')
_TAR_BLOCK = 512
_COMPRESSIONS = {
  b'\x1f\x8b': 'gzip',
  b'BZh': 'bzip2',
  b'\xfd7zXZ': 'xz',
  b'\x28\xb5\x2f\xfd': 'zstd',
}
_COMPRESSED_TAR = ('.tgz', '.tar.gz', '.tar.bz2', '.tar.xz', '.tar.zst')


class Member(NamedTuple):
  """The place of one image or table.

  Attributes:
    name: path inside the archive or folder.
    archive: path of the archive or, in a folder, of the file itself.
    offset: offset of the first byte in that file; in a zip archive, of the
      local header.
    stored_size: size in the archive, in bytes.
    size: size of the content, in bytes.
    method: the zip compression method, stored (0) or deflated (8); None outside
      zip archives.
    crc: the CRC-32 of the content; None outside zip archives.
  """

  name: str
  archive: str
  offset: int
  stored_size: int
  size: int
  method: int | None
  crc: int | None

  @property
  def position(self) -> tuple[str, int]:
    """Sorts members so that each archive is read from start to end."""
    return self.archive, self.offset


class CorruptMemberError(Exception):
  """The content of a member is damaged; the text says how."""


def members(path: str) -> dict[str, Member]:
  """Lists the members of a zip or tar archive, or the files in a folder.

  A tar archive inside a folder or inside a tar archive is listed as a folder:
  `n01440764.tar` as `n01440764/`.

  Returns:
    The members by name.

  Raises:
    errors.InputError: the path is absent or unreadable, the archive is
      incomplete or compressed as a whole, or a name is a duplicate, absolute,
      or contains `..`.
  """
  found = []
  for file in files.list_files(path):
    if file.path == path:
      found += _archive_members(file)
    elif file.name.endswith('.tar'):
      found += _tar_members(file, file.name.removesuffix('.tar') + '/')
    else:
      found.append(_plain(file.name, file.path, 0, file.size))
  found = [each for each in found if not paths.is_clutter(each.name)]
  _check_names(path, [each.name for each in found])
  return {each.name: each for each in found}


class Reader(contextlib.AbstractContextManager):
  """Reads members; keeps the archive of the last one open."""

  def __init__(self):
    self._path = ''
    self._file: BinaryIO | None = None

  def __exit__(self, *details: object) -> None:
    self._close()

  def read(self, member: Member) -> bytes:
    """Reads a member's content and checks its size and CRC-32.

    Raises:
      CorruptMemberError: the content is damaged.
      OSError: the archive cannot be read.
    """
    if member.archive != self._path:
      self._close()
      self._file, self._path = files.open_file(member.archive), member.archive
    return _read(self._file, member)

  def _close(self) -> None:
    if self._file is not None:
      self._file.close()
    self._file, self._path = None, ''


def read(member: Member) -> bytes:
  """Reads a single member; see `Reader.read`."""
  with Reader() as reader:
    return reader.read(member)


def _read(archive: BinaryIO, member: Member) -> bytes:
  if max(member.size, member.stored_size) > MAX_BYTES:
    raise CorruptMemberError(
      f'it has {member.size:,} bytes; at most {MAX_BYTES:,} are read'
    )
  archive.seek(member.offset)
  if member.method is None:
    content = archive.read(member.size)
  else:
    content = _read_zipped(archive, member)
  if len(content) != member.size:
    raise CorruptMemberError(
      f'size must be {member.size} bytes. Received: {len(content)}'
    )
  if member.crc is not None and (crc := zlib.crc32(content)) != member.crc:
    raise CorruptMemberError(
      f'CRC-32 must be {member.crc:08x}. Received: {crc:08x}'
    )
  return content


def _read_zipped(archive: BinaryIO, member: Member) -> bytes:
  """Reads without `zipfile`, which would parse the whole directory first."""
  header = archive.read(_LOCAL_HEADER.size)
  if len(header) < _LOCAL_HEADER.size or not header.startswith(b'PK\3\4'):
    raise CorruptMemberError(f'no zip header at byte {member.offset}')
  _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
  archive.seek(name_length + extra_length, os.SEEK_CUR)
  content = archive.read(member.stored_size)
  if member.method == zipfile.ZIP_STORED:
    return content
  if member.method != zipfile.ZIP_DEFLATED:
    raise CorruptMemberError(
      f'compression method must be stored (0) or deflated (8). '
      f'Received: {member.method}'
    )
  try:
    # One byte more than announced shows that there is more.
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(
      content, member.size + 1
    )
  except zlib.error as error:
    raise CorruptMemberError(f'not deflated data: {error}') from error


def _plain(name: str, path: str, offset: int, size: int) -> Member:
  return Member(name, path, offset, size, size, None, None)


def _archive_members(file: files.File) -> list[Member]:
  """Lists the members of a zip or tar archive, in the archive's order."""
  with files.open_file(file.path) as archive:
    start = archive.read(_TAR_BLOCK)
    if _is_tar_header(start):
      return _tar_members(file, '')
    archive.seek(0)
    try:
      entries = zipfile.ZipFile(archive).infolist()
    # NotImplementedError: unknown version. ValueError: undecodable name.
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
      raise errors.InputError(
        _describe_bad_archive(file, start, error)
      ) from error
  return [
    Member(
      e.filename,
      file.path,
      e.header_offset,
      e.compress_size,
      e.file_size,
      e.compress_type,
      e.CRC,
    )
    for e in entries
    if not e.is_dir()
  ]


def _is_tar_header(block: bytes) -> bool:
  try:
    tarfile.TarInfo.frombuf(block, tarfile.ENCODING, 'surrogateescape')
  except tarfile.HeaderError:
    return False
  return True


def _tar_members(file: files.File, prefix: str) -> list[Member]:
  """Lists the members of a tar archive and of the tar archives in it."""
  with files.open_file(file.path) as archive:
    try:
      return list(_walk_tar(archive, file.path, prefix, 0, file.size))
    except tarfile.TarError as error:
      raise errors.InputError(
        f'Every tar archive must be complete. '
        f'Received: {file.path} ({file.size:,} bytes): {error}. Fetch it again.'
      ) from error


def _walk_tar(
  archive: BinaryIO, path: str, prefix: str, begin: int, end: int
) -> Iterator[Member]:
  archive.seek(begin)
  with tarfile.open(fileobj=archive, mode='r:') as tar:
    entries = tar.getmembers()
  for e in entries:
    # `tar -cf a.tar .` writes names that begin with `./`.
    name, data_end = prefix + e.name.removeprefix('./'), e.offset_data + e.size
    if data_end > end:
      raise tarfile.ReadError(f'it is cut short in {name}')
    if e.isreg() and name.endswith('.tar') and not paths.is_clutter(name):
      folder = name.removesuffix('.tar') + '/'
      yield from _walk_tar(archive, path, folder, e.offset_data, data_end)
    elif e.isreg() and not e.issparse():
      yield _plain(name, path, e.offset_data, e.size)
    elif not e.isdir():
      raise tarfile.ReadError(f'{name} is neither a file nor a folder')
  last = max((e.offset_data + e.size for e in entries), default=begin)
  archive.seek(-(-last // _TAR_BLOCK) * _TAR_BLOCK)
  if archive.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
    after = entries[-1].name if entries else ''
    raise tarfile.ReadError(f'it is cut short after {prefix}{after}')


def _check_names(path: str, names: list[str]) -> None:
  """Raises `errors.InputError` for names that cannot be members."""
  bad = [
    f'{name!r} twice' for name, n in collections.Counter(names).items() if n > 1
  ]
  bad += [
    repr(name)
    for name in names
    if not name
    or name.startswith('/')
    or '..' in name.split('/')
    or '\\' in name
  ]
  if bad:
    raise errors.InputError(
      f'{path} must name each member once, by a relative path without "..". '
      f'Received: {", ".join(bad)}.'
    )
  compressed = [name for name in names if name.endswith(_COMPRESSED_TAR)]
  if compressed:
    raise errors.InputError(
      f'{path} must not hold compressed tar archives: single images cannot be '
      f'read from them. Unpack them first. Received: {", ".join(compressed)}.'
    )


def _describe_bad_archive(
  file: files.File, start: bytes, error: Exception
) -> str:
  advice = 'Fetch it again.'
  start = start.lstrip()
  if start.startswith(b'PK\3\4'):
    reason = f'a zip file cut short or damaged: {error}'
  elif start.startswith(b'<'):
    reason = f'a web page, not an archive: it begins with {start[:15]!r}'
  else:
    reason = f'not an archive: it begins with {start[:8]!r}'
  for magic, compression in _COMPRESSIONS.items():
    if start.startswith(magic):
      reason = f'compressed by {compression}'
      advice = 'Unpack it first: single images cannot be read from it.'
  return (
    f'The archive must be a complete zip or tar file. '
    f'Received: {file.path} ({file.size:,} bytes), {reason}. {advice}'
  )
