"""Reads, writes and lists files on any file system that fsspec knows.

A path with a scheme, such as `gs://bucket/a.zip` or `memory://a.zip`, is a URL
of fsspec. Every other path is local.
"""

import contextlib
import errno
import itertools
import os
import tempfile
import uuid
from collections.abc import Iterator
from collections.abc import Sequence
from typing import BinaryIO
from typing import NamedTuple

import fsspec
from fsspec.implementations import local

from tinygin.config import errors
from tinygin.config import paths

# Packages of clients of buckets. Not all of their errors are an OSError.
_CLIENTS = ('aiobotocore', 'aiohttp', 'botocore', 'gcsfs', 'google')
_NUMBERS = {
  FileNotFoundError: errno.ENOENT,
  FileExistsError: errno.EEXIST,
  PermissionError: errno.EACCES,
}


class File(NamedTuple):
  """A file of a source.

  Attributes:
    name: its path inside the source's folder.
    path: its absolute path or URL.
    size: in bytes.
  """

  name: str
  path: str
  size: int


def find(path: str, parameter: str) -> str:
  """Returns the absolute path of a source, or its URL.

  Args:
    path: as the user wrote it.
    parameter: the parameter that holds it, for the error message.

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
  """Whether a path is a URL."""
  return '://' in path


def open_file(path: str, block_size: int) -> BinaryIO:
  """Opens a file for reading in binary.

  Args:
    path: of the file.
    block_size: bytes that a request to a bucket fetches beyond those that were
      asked for.
  """
  with _system_errors(path):
    filesystem, path = _locate(path)
    return filesystem.open(
      path, 'rb', block_size=block_size, cache_type='readahead'
    )


def read(path: str) -> bytes:
  """Returns a file's content.

  Raises:
    OSError: the file cannot be read.
  """
  with _system_errors(path):
    filesystem, path = _locate(path)
    return filesystem.cat_file(path)


def read_ranges(
  files: Sequence[str], offsets: Sequence[int], sizes: Sequence[int]
) -> list[bytes]:
  """Reads parts of files, those in a bucket many at a time.

  Args:
    files: the path of each part's file; all local or in one file system.
    offsets: each part's first byte in its file.
    sizes: of each part, in bytes.

  Raises:
    OSError: a file cannot be read or ends too early.
  """
  parts = list(zip(files, offsets, sizes, strict=True))
  read_parts = _read_remotely if is_remote(files[0]) else _read_locally
  contents = list(read_parts(parts))
  for (path, _, size), content in zip(parts, contents, strict=True):
    if len(content) < size:
      raise OSError(errno.EIO, 'Ends too early', path)
  return contents


def size(path: str) -> int:
  """Returns a file's size in bytes."""
  with _system_errors(path):
    filesystem, path = _locate(path)
    return filesystem.size(path)


def version(path: str) -> str:
  """Returns a digest of a file's size, times and other properties.

  It changes when the file is written, moved or copied.

  Raises:
    OSError: there is no such file, or it cannot be accessed.
  """
  with _system_errors(path):
    filesystem, path = _locate(path)
    return filesystem.ukey(path)


def exists(path: str) -> bool:
  """Whether there is a file or folder at the path."""
  with _system_errors(path):
    filesystem, path = _locate(path)
    return filesystem.exists(path)


def names(folder: str) -> set[str]:
  """Returns the names of the files and folders in a folder.

  The result is empty if there is no such folder.
  """
  with _system_errors(folder):
    filesystem, root = _locate(folder)
    try:
      found = filesystem.ls(root, detail=False)
    except (FileNotFoundError, NotADirectoryError):
      return set()
  # A file, or the object that stands for a folder, is listed as itself.
  found = {path.rstrip('/') for path in found} - {root.rstrip('/')}
  return {path.rpartition('/')[2] for path in found}


@contextlib.contextmanager
def write(path: str) -> Iterator[BinaryIO]:
  """Opens a file for writing; it gets its name once it is complete.

  Creates the folders above it. An exception inside the context leaves nothing.
  What is written to a bucket is collected in a local file first.
  """
  partial = f'{path}.{uuid.uuid4().hex}.part'
  try:
    if is_remote(path):
      with tempfile.NamedTemporaryFile() as file:
        yield file
        file.flush()
        with _system_errors(path):
          filesystem, place = _locate(partial)
          filesystem.put_file(file.name, place)
    else:
      os.makedirs(os.path.dirname(path), exist_ok=True)
      with open(partial, 'wb') as file:
        yield file
    move(partial, path)
  except BaseException:
    remove(partial)
    raise


def write_bytes(path: str, content: bytes) -> None:
  """Writes a file completely or not at all; see `write`."""
  with write(path) as file:
    file.write(content)


def create(path: str, content: bytes) -> None:
  """Writes a small file that no other process has created.

  Raises:
    FileExistsError: there is such a file.
    FileNotFoundError: the local folder is missing.
  """
  with _system_errors(path):
    filesystem, place = _locate(path)
    if not is_remote(path):
      with open(path, 'xb') as file:
        file.write(content)
    else:
      filesystem.pipe_file(place, content, mode='create')


def move(source: str, target: str) -> None:
  """Renames a file, in one step where the file system can do so.

  Replaces the target.
  """
  with _system_errors(target):
    filesystem, source = _locate(source)
    _, target = _locate(target)
    if isinstance(filesystem, local.LocalFileSystem):
      os.replace(source, target)
    else:
      filesystem.cp_file(source, target)
      filesystem.rm_file(source)


def remove(path: str) -> None:
  """Removes a file, if there is one."""
  with _system_errors(path), contextlib.suppress(FileNotFoundError):
    filesystem, path = _locate(path)
    filesystem.rm_file(path)


def remove_folder(path: str) -> None:
  """Removes a folder and everything in it, if there is one."""
  with _system_errors(path), contextlib.suppress(FileNotFoundError):
    filesystem, path = _locate(path)
    filesystem.rm(path, recursive=True)


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
  """Yields the path of a local file with a file's content.

  It is the file itself, or a copy that is removed at the end.

  Raises:
    OSError: the file cannot be read.
  """
  if not is_remote(path):
    yield path
    return
  with tempfile.TemporaryDirectory() as folder:
    copy = os.path.join(folder, 'copy')
    with _system_errors(path):
      filesystem, path = _locate(path)
      filesystem.get_file(path, copy)
    yield copy


@contextlib.contextmanager
def local_folder(path: str, leave_out: str) -> Iterator[str]:
  """Yields the path of a local folder with a folder's files.

  It is the folder itself, or a copy that is removed at the end.

  Args:
    path: of the folder. Folders in it are not copied.
    leave_out: part of the names of files that are not copied, either.

  Raises:
    OSError: a file cannot be read.
  """
  if not is_remote(path):
    yield path
    return
  with tempfile.TemporaryDirectory() as folder:
    for file in list_files(path):
      if '/' not in file.name and leave_out not in file.name:
        with open(os.path.join(folder, file.name), 'wb') as copy:
          copy.write(read(file.path))
    yield folder


def list_files(path: str) -> list[File]:
  """Lists the one file, or all files below a folder, sorted by name.

  Links are followed. Files that macOS and Windows add to folders are left out,
  and so are the empty objects that stand for folders in buckets.

  Raises:
    errors.InputError: there is no file, or something cannot be read.
  """
  try:
    with _system_errors(path):
      filesystem, root = _locate(path)
      if not isinstance(filesystem, local.LocalFileSystem):
        found = list(_remote_files(filesystem, root, path))
      elif os.path.isdir(path):
        found = list(_local_files(path))
      else:
        found = [File(os.path.basename(path), path, os.stat(path).st_size)]
  except OSError as error:
    raise _unreadable(path, error) from error
  if not found:
    raise errors.InputError(f'The source {path} holds no files.')
  return sorted(found)


def _locate(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
  """Returns the file system of a path, and the path in it."""
  if not is_remote(path):
    return local.LocalFileSystem(), path
  try:
    # Other processes write the same folders, so listings must not be cached.
    return fsspec.core.url_to_fs(path, use_listings_cache=False)
  except (ImportError, ValueError) as error:
    raise errors.InputError(f'fsspec cannot open {path}: {error}') from error


@contextlib.contextmanager
def _system_errors(path: str) -> Iterator[None]:
  """Gives the errors of clients of buckets a number and a path.

  So they are reported like those of local files.
  """
  try:
    yield
  except Exception as error:
    client = type(error).__module__.partition('.')[0] in _CLIENTS
    if not client and (not isinstance(error, OSError) or error.errno):
      raise
    number = next(
      (each for kind, each in _NUMBERS.items() if isinstance(error, kind)),
      errno.EIO,
    )
    text = str(error).strip().partition('\n')[0] or type(error).__name__
    if number == errno.ENOENT:  # The text is the path alone.
      text = os.strerror(number)
    raise OSError(number, text, path) from error


def _read_locally(parts: list[tuple[str, int, int]]) -> Iterator[bytes]:
  # There may be more files than a process can keep open.
  for path, group in itertools.groupby(parts, lambda part: part[0]):
    with open(path, 'rb', buffering=0) as file:
      for _, offset, size in group:
        yield os.pread(file.fileno(), size, offset)


def _read_remotely(parts: list[tuple[str, int, int]]) -> Iterator[bytes]:
  # Servers refuse requests for nothing.
  wanted = [part for part in parts if part[2]]
  filesystem, _ = _locate(parts[0][0])
  found = iter(
    filesystem.cat_ranges(
      [filesystem._strip_protocol(path) for path, _, _ in wanted],
      [offset for _, offset, _ in wanted],
      [offset + size for _, offset, size in wanted],
      on_error='return',
    )
  )
  for path, _, size in parts:
    content = next(found) if size else b''
    with _system_errors(path):
      if isinstance(content, Exception):
        raise content
    yield content


def _local_files(folder: str) -> Iterator[File]:
  for parent, folders, names in os.walk(
    folder, onerror=_raise, followlinks=True
  ):
    real_parent = os.path.realpath(parent) + os.sep
    for child in (os.path.join(parent, name) for name in folders):
      if real_parent.startswith(os.path.realpath(child) + os.sep):
        raise OSError(errno.ELOOP, 'The link leads to a folder above it', child)
    for file in (os.path.join(parent, name) for name in names):
      name = os.path.relpath(file, folder)
      if not paths.is_clutter(name):
        yield File(name, file, os.stat(file).st_size)


def _remote_files(
  filesystem: fsspec.AbstractFileSystem, root: str, path: str
) -> Iterator[File]:
  found = filesystem.find(root, detail=True)
  if list(found) == [root]:
    yield File(os.path.basename(root), path, filesystem.size(root))
    return
  for file, info in found.items():
    name = file[len(root) :].lstrip('/')
    if name and not name.endswith('/') and not paths.is_clutter(name):
      yield File(name, f'{path.rstrip("/")}/{name}', info['size'])


def _raise(error: OSError) -> None:
  raise error


def _unreadable(path: str, error: OSError) -> errors.InputError:
  place = error.filename or path
  reason = error.strerror or error
  if os.path.islink(place):
    reason = f'{reason} (a link to {os.readlink(place)})'
  return errors.InputError(f'The source {place} cannot be read: {reason}.')
