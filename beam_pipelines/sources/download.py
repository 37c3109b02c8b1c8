"""Downloads one file and trusts it only if size and SHA-256 are right."""

import dataclasses
import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator

import tqdm

from beam_pipelines import archives
from tinygin.config import errors

_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class RemoteFile:
  """A file as its publisher made it.

  Attributes:
    url: its address.
    size: in bytes.
    sha256: of its content, in hexadecimal.
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

  The file gets its name only once it is complete and checked.

  Raises:
    errors.InputError: it cannot be had, or is another than expected.
  """
  path = os.path.join(directory, remote.name)
  if os.path.exists(path):
    check(path, remote, 'Delete the file to have it downloaded again.')
    return path
  os.makedirs(directory, exist_ok=True)
  handle, partial = tempfile.mkstemp('.part', f'{remote.name}.', directory)
  try:
    with os.fdopen(handle, 'wb') as file:
      for block in _read_blocks(remote):
        file.write(block)
    check(partial, remote, f'This is what {remote.url} sent.')
    os.rename(partial, path)
  finally:
    if os.path.exists(partial):
      os.remove(partial)
  return path


def check(path: str, remote: RemoteFile, advice: str) -> None:
  """Raises `errors.InputError` unless the file is exactly `remote`."""
  (file,) = archives.files(path)
  size, digest = file.size, sha256(path)
  if (size, digest) != (remote.size, remote.sha256):
    raise errors.InputError(
      f'{remote.name} must be {remote.size:,} bytes with SHA-256 '
      f'{remote.sha256}. Received: {path}, {size:,} bytes with SHA-256 '
      f'{digest}. {advice}'
    )


def sha256(path: str) -> str:
  """Returns the SHA-256 of a file's content in hexadecimal."""
  with archives.open_file(path) as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _read_blocks(remote: RemoteFile) -> Iterator[bytes]:
  """Yields the body, at most a block more than it should be long."""
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
      f'{remote.url} must be reachable to download {remote.name}. '
      f'Received: {error!r} after {received:,} bytes. Try again, or fetch the '
      f'file by other means and give its path as the source.'
    ) from error
