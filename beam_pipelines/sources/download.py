"""Downloads one file, and checks its size and SHA-256."""

import dataclasses
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator

import tqdm

from tinygin.config import errors
from tinygin.config import files

_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class RemoteFile:
  """A published file.

  Attributes:
    url: address of the file.
    size: size in bytes.
    sha256: SHA-256 of the content, in hexadecimal.
  """

  url: str
  size: int
  sha256: str

  @property
  def name(self) -> str:
    """The last part of the address."""
    return self.url.rsplit('/', 1)[-1]


def fetch(remote: RemoteFile, directory: str) -> str:
  """Returns the path of the file, downloaded unless it is there already.

  The file gets its name once it is complete and checked.

  Args:
    remote: the file.
    directory: the folder to keep it in: a path, or a URL of fsspec.

  Raises:
    errors.InputError: it cannot be downloaded, or its content differs.
  """
  path = f'{directory.rstrip("/")}/{remote.name}'
  if files.exists(path):
    check(path, remote, 'Delete the file to download it again.')
    return path
  digest, size = hashlib.sha256(), 0
  with files.write(path) as file:
    for block in _read_blocks(remote):
      file.write(block)
      digest.update(block)
      size += len(block)
    _check(remote, remote.url, size, digest.hexdigest(), 'Try again.')
  return path


def check(path: str, remote: RemoteFile, advice: str) -> None:
  """Raises `errors.InputError` unless the file is exactly `remote`."""
  (file,) = files.list_files(path)
  _check(remote, path, file.size, sha256(path), advice)


def sha256(path: str) -> str:
  """Returns the SHA-256 of a file's content in hexadecimal."""
  with files.open_file(path, _BLOCK) as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _check(
  remote: RemoteFile, place: str, size: int, digest: str, advice: str
) -> None:
  if (size, digest) != (remote.size, remote.sha256):
    raise errors.InputError(
      f'{remote.name} must be {remote.size:,} bytes with SHA-256 '
      f'{remote.sha256}. Received from {place}: {size:,} bytes with SHA-256 '
      f'{digest}. {advice}'
    )


def _read_blocks(remote: RemoteFile) -> Iterator[bytes]:
  """Yields the content, and at most one block beyond its size."""
  received = 0
  try:
    with (
      urllib.request.urlopen(remote.url, timeout=_TIMEOUT_SECONDS) as response,
      tqdm.tqdm(
        total=remote.size,
        desc=remote.name,
        unit='B',
        unit_scale=True,
        disable=None,
      ) as progress,
    ):
      while received <= remote.size and (block := response.read(_BLOCK)):
        received += len(block)
        progress.update(len(block))
        yield block
  except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
    raise errors.InputError(
      f'Cannot download {remote.url}: {error!r} after {received:,} bytes. Try '
      f'again, or download {remote.name} by other means and bind its path as '
      f'the source.'
    ) from error
