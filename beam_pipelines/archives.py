"""Zip and tar archives and folders: list the files once, read each by offset.

Parsing an archive's directory takes long, so workers do not: the archive is
listed once, and each worker gets the few numbers that it needs to read a file
on its own. Paths with a scheme, such as `gs://`, go through Beam's filesystems.
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

from tinygin.config import errors
from tinygin.config import paths

_LOCAL_HEADER = struct.Struct('<4s22xHH')
_INFLATE = {zipfile.ZIP_STORED: False, zipfile.ZIP_DEFLATED: True}
_TAR_BLOCK = 512


class File(NamedTuple):
  """A file that a source consists of.

  Attributes:
    name: its path inside the source's folder.
    path: where it lies.
    size: in bytes.
  """

  name: str
  path: str
  size: int


class Member(NamedTuple):
  """Where one image or table lies.

  Attributes:
    name: its path inside the archive or folder.
    archive: path of the file that holds it, or of itself.
    offset: where it begins in that file, in bytes; in a zip archive, where its
      local header begins.
    stored_size: bytes that it takes there.
    size: bytes that it holds.
    method: the zip compression method, stored (0) or deflated (8); None outside
      zip archives.
    crc: the CRC-32 of its content; None outside zip archives.
  """

  name: str
  archive: str
  offset: int
  stored_size: int
  size: int
  method: int | None
  crc: int | None


class CorruptMemberError(Exception):
  """One member of an archive cannot be read; the text says why."""


def find(path: str, parameter: str) -> str:
  """Returns the absolute path of a source, or its address.

  Args:
    path: as the user wrote it.
    parameter: by which it was given.

  Raises:
    errors.InputError: there is no such file or folder.
  """
  try:
    return paths.find(path)
  except errors.InputError as error:
    raise errors.InputError(
      f'{parameter} must be an existing archive or folder. {error}'
    ) from error


def is_remote(path: str) -> bool:
  """Whether Beam's filesystems are asked for the path."""
  return '://' in path


def open_file(path: str) -> BinaryIO:
  """Opens a file for reading in binary, wherever it lies."""
  if not is_remote(path):
    return open(path, 'rb')
  # Takes seconds to import, and is needed only here.
  from apache_beam.io import filesystem
  from apache_beam.io import filesystems

  return filesystems.FileSystems.open(
    path, compression_type=filesystem.CompressionTypes.UNCOMPRESSED
  )


def files(path: str) -> list[File]:
  """Lists the files that lie in a folder, sorted by name, or the one file.

  Raises:
    errors.InputError: there is nothing.
  """
  if is_remote(path):
    found = _remote_files(path)
  elif os.path.isdir(path):
    found = [
      File(os.path.relpath(file, path), file, os.path.getsize(file))
      for folder, _, names in os.walk(path)
      for file in (os.path.join(folder, name) for name in names)
    ]
  else:
    found = _one_file(path)
  if not found:
    raise errors.InputError(
      f'The source must be a file or a folder that holds files. '
      f'Received: {path}, where there are none.'
    )
  return sorted(found)


def members(path: str) -> dict[str, Member]:
  """Lists the files in a zip or tar archive, or in a folder, by name.

  Tar archives that lie in a folder or in a tar archive are listed as folders
  are: `n01440764.tar` as `n01440764/`.

  Raises:
    errors.InputError: the path is absent, or the archive is truncated or none
      at all, or it has names twice, absolute ones, or ones with `..`.
  """
  found = []
  for file in files(path):
    if file.path == path:
      found += _archive_members(file)
    elif file.name.endswith('.tar'):
      found += _tar_members(file, file.name.removesuffix('.tar') + '/')
    else:
      found.append(
        Member(file.name, file.path, 0, file.size, file.size, None, None)
      )
  _check_names(path, [member.name for member in found])
  return {member.name: member for member in found}


class Reader(contextlib.AbstractContextManager):
  """Reads members, and keeps open the archive of the last one."""

  def __init__(self):
    self._path = ''
    self._file: BinaryIO | None = None

  def __exit__(self, *details: object) -> None:
    self._close()

  def read(self, member: Member) -> bytes:
    """Reads a member's content and checks its size and CRC-32.

    Raises:
      CorruptMemberError: the content cannot be had, or is not what the
        archive's directory says.
    """
    try:
      return _read(self._open(member.archive), member)
    except OSError as error:
      raise CorruptMemberError(
        f'cannot be read: {error.strerror or error}'
      ) from error

  def _open(self, path: str) -> BinaryIO:
    if path != self._path:
      self._close()
      self._file, self._path = open_file(path), path
    return self._file

  def _close(self) -> None:
    if self._file is not None:
      self._file.close()
    self._file, self._path = None, ''


def read(member: Member) -> bytes:
  """Reads a single member; see `Reader.read`."""
  with Reader() as reader:
    return reader.read(member)


def _read(archive: BinaryIO, member: Member) -> bytes:
  if member.method is None:
    archive.seek(member.offset)
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
  if member.method not in _INFLATE:
    raise CorruptMemberError(
      f'compression method must be stored (0) or deflated (8). '
      f'Received: {member.method}'
    )
  archive.seek(member.offset)
  header = archive.read(_LOCAL_HEADER.size)
  if len(header) < _LOCAL_HEADER.size or not header.startswith(b'PK\3\4'):
    raise CorruptMemberError(f'no zip header at byte {member.offset}')
  _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
  archive.seek(name_length + extra_length, os.SEEK_CUR)
  content = archive.read(member.stored_size)
  return _inflate(content, member.size) if _INFLATE[member.method] else content


def _inflate(content: bytes, size: int) -> bytes:
  """Decompresses to at most one byte more than announced (no zip bombs)."""
  try:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
  except zlib.error as error:
    raise CorruptMemberError(f'not deflated data: {error}') from error


def _one_file(path: str) -> list[File]:
  try:
    return [File(os.path.basename(path), path, os.stat(path).st_size)]
  except OSError as error:
    raise errors.InputError(
      f'The source must be a readable file or folder. '
      f'Received: {path} ({error.strerror}).'
    ) from error


def _remote_files(path: str) -> list[File]:
  from apache_beam.io import filesystem
  from apache_beam.io import filesystems

  folder = path.rstrip('/') + '/'
  try:
    single, inside = filesystems.FileSystems.match([path, f'{folder}**'])
  except (filesystem.BeamIOError, ValueError) as error:
    raise errors.InputError(
      f"The source must lie where Beam's filesystems can read it. "
      f'Received: {path} ({error}).'
    ) from error
  return [
    File(each.path.removeprefix(folder), each.path, each.size_in_bytes)
    for each in inside.metadata_list or single.metadata_list
  ]


def _archive_members(file: File) -> Iterator[Member]:
  """Yields the members of a zip or tar archive, in the archive's order."""
  with open_file(file.path) as archive:
    start = archive.read(_TAR_BLOCK)
    if start[257:262] == b'ustar':
      yield from _tar_members(file, '')
      return
    archive.seek(0)
    try:
      entries = zipfile.ZipFile(archive).infolist()
    # The others: versions and names that make no sense.
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
      raise errors.InputError(
        _describe_bad_archive(file, start, error)
      ) from error
  for e in entries:
    if not e.filename.endswith('/'):
      yield Member(
        e.filename,
        file.path,
        e.header_offset,
        e.compress_size,
        e.file_size,
        e.compress_type,
        e.CRC,
      )


def _tar_members(file: File, prefix: str) -> Iterator[Member]:
  """Yields the members of a tar archive, those of archives in it included."""
  with open_file(file.path) as archive:
    try:
      yield from _walk_tar(archive, file.path, prefix, 0, file.size)
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
    name, data_end = prefix + e.name, e.offset_data + e.size
    if data_end > end:
      raise tarfile.ReadError(f'it is cut short in {name}')
    if e.isreg() and name.endswith('.tar'):
      folder = name.removesuffix('.tar') + '/'
      yield from _walk_tar(archive, path, folder, e.offset_data, data_end)
    elif e.isreg():
      yield Member(name, path, e.offset_data, e.size, e.size, None, None)
    elif not e.isdir():
      raise tarfile.ReadError(f'{name} is neither a file nor a folder')
  last = max((e.offset_data + e.size for e in entries), default=begin)
  archive.seek(-(-last // _TAR_BLOCK) * _TAR_BLOCK)
  if archive.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
    after = entries[-1].name if entries else ''
    raise tarfile.ReadError(f'it is cut short after {prefix}{after}')


def _check_names(path: str, names: list[str]) -> None:
  """Raises `errors.InputError` for names that no honest archive has."""
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


def _describe_bad_archive(file: File, start: bytes, error: Exception) -> str:
  start = start.lstrip()
  if start.startswith(b'PK\3\4'):
    reason = f'a zip file cut short or damaged: {error}'
  elif start.startswith(b'<'):
    reason = f'a web page, not an archive: it begins with {start[:15]!r}'
  else:
    reason = f'no archive: it begins with {start[:8]!r}'
  return (
    f'The archive must be a complete zip or tar file. '
    f'Received: {file.path} ({file.size:,} bytes), {reason}. Fetch it again.'
  )
