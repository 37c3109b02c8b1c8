"""Reads, writes and lists files on any file system that fsspec knows.

A path with a scheme, such as `gs://bucket/a.zip` or `memory://a.zip`, is a URL
of fsspec. Every other path is local.
"""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from typing import BinaryIO
from typing import NamedTuple

import fsspec
from fsspec.implementations import local

from tinygin.config import errors
from tinygin.config import paths

# Bytes of one request to a bucket: about one photograph.
_BLOCK_BYTES = 1 << 18


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


def open_file(path: str) -> BinaryIO:
  """Opens a file for reading in binary."""
  filesystem, path = _locate(path)
  return filesystem.open(path, 'rb', block_size=_BLOCK_BYTES)


def exists(path: str) -> bool:
  """Whether there is a file or folder at the path."""
  filesystem, path = _locate(path)
  return filesystem.exists(path)


@contextlib.contextmanager
def write(path: str) -> Iterator[BinaryIO]:
  """Opens a file for writing; it gets its name once it is complete.

  Creates the folders above it. An exception inside the context leaves nothing.
  """
  filesystem, path = _locate(path)
  partial = f'{path}.{uuid.uuid4().hex}.part'
  try:
    with filesystem.open(partial, 'wb') as file:
      yield file
    if isinstance(filesystem, local.LocalFileSystem):
      os.replace(partial, path)
    else:
      filesystem.cp_file(partial, path)
  finally:
    if filesystem.exists(partial):
      filesystem.rm_file(partial)


def list_files(path: str) -> list[File]:
  """Lists the one file, or all files below a folder, sorted by name.

  Links are followed. Files that macOS and Windows add to folders are left out,
  and so are the empty objects that stand for folders in buckets.

  Raises:
    errors.InputError: there is no file, or something cannot be read.
  """
  try:
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
    return local.LocalFileSystem(auto_mkdir=True), path
  try:
    # Other processes write the same folders, so listings must not be cached.
    return fsspec.core.url_to_fs(path, use_listings_cache=False)
  except (ImportError, ValueError) as error:
    raise errors.InputError(f'fsspec cannot open {path}: {error}') from error


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
