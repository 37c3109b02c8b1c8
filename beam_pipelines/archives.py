"""Lists the members of zip and tar archives and folders, and reads single ones.

Parsing an archive's directory takes long. So an archive is listed once, and
workers get only the offset and size of each member that they read.
"""

import collections
import itertools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
from typing import BinaryIO
from typing import NamedTuple

from tinygin.config import errors
from tinygin.config import files
from tinygin.config import paths

# Larger members are zip bombs, not images or tables.
MAX_BYTES = 1 << 28
# Of one read: enough for a bucket to answer many requests at a time.
_MEMBERS_AT_ONCE = 64
_BYTES_AT_ONCE = 1 << 24
# A request for a tar header brings no more of the archive than this.
_LISTING_BYTES = 1024
_TARS_AT_ONCE = 64
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
    stored_size: size in the archive, in bytes; in a zip archive, at most.
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
  found, tars = [], []
  for file in files.list_files(path):
    if file.path == path:
      found += _archive_members(file)
    elif file.name.endswith('.tar'):
      folder = file.name.removesuffix('.tar') + '/'
      tars.append(_Tar(folder, file.path, 0, file.size))
    else:
      found.append(_plain(file.name, file.path, 0, file.size))
  found += _tar_members(tars)
  found = [each for each in found if not paths.is_clutter(each.name)]
  _check_names(path, [each.name for each in found])
  return {each.name: each for each in found}


def read(member: Member) -> bytes:
  """Returns a member's content.

  Raises:
    CorruptMemberError: the content is damaged.
    OSError: the archive cannot be read.
  """
  (stored,) = read_stored([member])
  return unpack(member, stored)


def read_stored(members: Sequence[Member]) -> Iterator[bytes]:
  """Yields the bytes that each member takes in its archive; see `unpack`.

  Reads some members at a time. Members that are too large are not read.

  Raises:
    OSError: an archive cannot be read.
  """
  begin = 0
  while begin < len(members):
    sizes = []
    for member in members[begin : begin + _MEMBERS_AT_ONCE]:
      sizes.append(0 if _is_too_large(member) else member.stored_size)
      if sum(sizes) > _BYTES_AT_ONCE:
        break
    part = members[begin : begin + len(sizes)]
    yield from files.read_ranges(
      [member.archive for member in part],
      [member.offset for member in part],
      sizes,
    )
    begin += len(part)


def unpack(member: Member, stored: bytes) -> bytes:
  """Returns a member's content; checks its size and CRC-32.

  Args:
    member: the member.
    stored: the bytes that it takes in its archive.

  Raises:
    CorruptMemberError: the content is damaged.
  """
  if _is_too_large(member):
    raise CorruptMemberError(
      f'it has {max(member.size, member.stored_size):,} bytes; at most '
      f'{MAX_BYTES:,} are read'
    )
  if member.method is None:
    return stored
  content = _unzip(member, stored)
  if len(content) != member.size:
    raise CorruptMemberError(
      f'size must be {member.size} bytes. Received: {len(content)}'
    )
  if (crc := zlib.crc32(content)) != member.crc:
    raise CorruptMemberError(
      f'CRC-32 must be {member.crc:08x}. Received: {crc:08x}'
    )
  return content


def _is_too_large(member: Member) -> bool:
  return max(member.size, member.stored_size) > MAX_BYTES


def _unzip(member: Member, stored: bytes) -> bytes:
  """Unpacks without `zipfile`, which would read the whole directory first."""
  if len(stored) < _LOCAL_HEADER.size or not stored.startswith(b'PK\3\4'):
    raise CorruptMemberError(f'no zip header at byte {member.offset}')
  _, name_length, extra_length = _LOCAL_HEADER.unpack_from(stored)
  stored = stored[_LOCAL_HEADER.size + name_length + extra_length :]
  if member.method == zipfile.ZIP_STORED:
    return stored[: member.size]
  if member.method != zipfile.ZIP_DEFLATED:
    raise CorruptMemberError(
      f'compression method must be stored (0) or deflated (8). '
      f'Received: {member.method}'
    )
  try:
    # One byte more than announced shows that there is more.
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(
      stored, member.size + 1
    )
  except zlib.error as error:
    raise CorruptMemberError(f'not deflated data: {error}') from error


def _plain(name: str, path: str, offset: int, size: int) -> Member:
  return Member(name, path, offset, size, size, None, None)


def _archive_members(file: files.File) -> list[Member]:
  """Lists the members of a zip or tar archive."""
  with files.open_file(file.path, _LISTING_BYTES) as archive:
    start = archive.read(_TAR_BLOCK)
    if _is_tar_header(start):
      return _tar_members([_Tar('', file.path, 0, file.size)])
    archive.seek(0)
    try:
      directory = zipfile.ZipFile(archive)
    # NotImplementedError: unknown version. ValueError: undecodable name.
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
      raise errors.InputError(
        _describe_bad_archive(file, start, error)
      ) from error
  entries = directory.infolist()
  # The length of a local header is known only once it is read. A member takes
  # at most the bytes up to the next one.
  starts = sorted({each.header_offset for each in entries})
  ends = dict(zip(starts, [*starts[1:], directory.start_dir], strict=True))
  return [
    Member(
      e.filename,
      file.path,
      e.header_offset,
      # Negative in a damaged archive, whose member is then unusable.
      max(ends[e.header_offset] - e.header_offset, 0),
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


class _Tar(NamedTuple):
  """A tar archive, which may lie in another one.

  Attributes:
    prefix: of the names of its members.
    path: of the outermost archive.
    begin: its first byte there.
    end: the byte after its last one.
  """

  prefix: str
  path: str
  begin: int
  end: int


def _tar_members(tars: Sequence[_Tar]) -> list[Member]:
  """Lists the members of tar archives and of the tar archives in them.

  Reads only the headers: one request to a bucket for each, one after the other
  in an archive, but many archives at a time.
  """
  found = []
  with futures.ThreadPoolExecutor(_TARS_AT_ONCE) as pool:
    while tars:
      listings = list(pool.map(_list_tar, tars))
      found += itertools.chain.from_iterable(each[0] for each in listings)
      tars = list(itertools.chain.from_iterable(each[1] for each in listings))
  return found


def _list_tar(tar: _Tar) -> tuple[list[Member], list[_Tar]]:
  """Returns the files in a tar archive, and the tar archives."""
  with files.open_file(tar.path, _LISTING_BYTES) as archive:
    try:
      return _read_headers(archive, tar)
    except tarfile.TarError as error:
      raise errors.InputError(
        f'Every tar archive must be complete. '
        f'Received: {tar.path} ({files.size(tar.path):,} bytes): {error}. '
        'Fetch it again.'
      ) from error


def _read_headers(
  archive: BinaryIO, tar: _Tar
) -> tuple[list[Member], list[_Tar]]:
  members, tars = [], []
  archive.seek(tar.begin)
  with tarfile.open(fileobj=archive, mode='r:') as opened:
    entries = opened.getmembers()
  for e in entries:
    # `tar -cf a.tar .` writes names that begin with `./`.
    name = tar.prefix + e.name.removeprefix('./')
    end = e.offset_data + e.size
    if end > tar.end:
      raise tarfile.ReadError(f'it is cut short in {name}')
    if e.isreg() and name.endswith('.tar') and not paths.is_clutter(name):
      folder = name.removesuffix('.tar') + '/'
      tars.append(_Tar(folder, tar.path, e.offset_data, end))
    elif e.isreg() and not e.issparse():
      members.append(_plain(name, tar.path, e.offset_data, e.size))
    elif not e.isdir():
      raise tarfile.ReadError(f'{name} is neither a file nor a folder')
  last = max((e.offset_data + e.size for e in entries), default=tar.begin)
  archive.seek(-(-last // _TAR_BLOCK) * _TAR_BLOCK)
  if archive.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
    after = entries[-1].name if entries else ''
    raise tarfile.ReadError(f'it is cut short after {tar.prefix}{after}')
  return members, tars


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
