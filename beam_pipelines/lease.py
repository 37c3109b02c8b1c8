"""Lets one build at a time use a folder, on any file system.

A lease is a file with its holder's name and a count, which the holder raises
several times before the lease expires. A file works where the kernel's locks do
not reach: over NFS and in buckets. No two clocks are compared: others take over
a lease once they have seen it unchanged for long enough.

Two that wait may take over an abandoned lease at the same moment. Then one of
them loses it, and notices when it renews it or asks `check`.
"""

import contextlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator

from tinygin.config import errors
from tinygin.config import files

_NAME = '.lease'
_EXPIRES_SECONDS = 60.0
_RENEWED_SECONDS = 15.0
_POLL_SECONDS = 1.0


class Lease:
  """The right to build in a folder."""

  def __init__(self, folder: str, clock: Callable[[], float] = time.monotonic):
    """Describes a lease that is not held yet.

    Args:
      folder: a path, or a URL of fsspec.
      clock: returns seconds since any moment.
    """
    self._folder = folder
    self._path = os.path.join(folder, _NAME)
    self._clock = clock
    self._holder = {'id': uuid.uuid4().hex, 'process': _process()}
    self._renewals = 0
    self._seen: bytes | None = None
    self._seen_since = 0.0

  def acquire(self) -> bool:
    """Takes the lease if it is free or abandoned; returns whether it is held.

    Makes the folder. Call it again until it returns True.
    """
    try:
      if not files.is_remote(self._folder):
        os.makedirs(self._folder, exist_ok=True)
      files.create(self._path, self._content())
      return True
    except FileNotFoundError:
      return False  # Another build has just removed the folder.
    except FileExistsError:
      pass
    try:
      found = files.read(self._path)
    except FileNotFoundError:
      return False
    if found != self._seen:
      self._seen, self._seen_since = found, self._clock()
    expired = self._clock() - self._seen_since >= _EXPIRES_SECONDS
    if expired or _has_ended(_parse(found).get('process')):
      files.write_bytes(self._path, self._content())
      return self._is_held()
    return False

  def renew(self) -> None:
    """Tells others that the holder is alive, unless the lease is lost."""
    if self._is_held():
      self._renewals += 1
      files.write_bytes(self._path, self._content())

  def check(self) -> None:
    """Raises `errors.RunError` if another build has taken over the lease."""
    if not self._is_held():
      raise errors.RunError(
        f'Another build took over {self._folder}, because this one did not '
        f'renew {self._path} for {_EXPIRES_SECONDS:.0f} seconds. Start again '
        'when the other one has ended.'
      )

  def release(self) -> None:
    """Gives the lease back, if it is still held."""
    if self._is_held():
      files.remove(self._path)

  def _content(self) -> bytes:
    return json.dumps(self._holder | {'renewals': self._renewals}).encode()

  def _is_held(self) -> bool:
    try:
      return _parse(files.read(self._path)).get('id') == self._holder['id']
    except FileNotFoundError:
      return False


@contextlib.contextmanager
def hold(folder: str) -> Iterator[Lease]:
  """Waits for the lease on a folder, and renews it until the end."""
  lease = Lease(folder)
  stop = threading.Event()
  waiting = False
  while not lease.acquire():
    if not waiting:
      print(f'Waiting for another build in {folder}', file=sys.stderr)
    waiting = True
    stop.wait(_POLL_SECONDS)

  def renew() -> None:
    while not stop.wait(_RENEWED_SECONDS):
      with contextlib.suppress(OSError):  # Perhaps it works the next time.
        lease.renew()

  renewing = threading.Thread(target=renew, daemon=True)
  renewing.start()
  try:
    yield lease
  finally:
    stop.set()
    renewing.join()
    lease.release()


def _parse(content: bytes) -> dict[str, object]:
  try:
    found = json.loads(content)
  except ValueError:  # Its holder is still writing it.
    return {}
  return found if isinstance(found, dict) else {}


def _process() -> list[object]:
  """Identifies this process among all those of all machines."""
  return [*_kernel(), os.getpid()]


def _has_ended(process: object) -> bool:
  """Whether a process of this machine has ended; False for other machines."""
  if not isinstance(process, list) or process[:-1] != _kernel():
    return False
  try:
    os.kill(process[-1], 0)
  except ProcessLookupError:
    return True
  except PermissionError:
    pass
  return False


def _kernel() -> list[object]:
  """Identifies the kernel and its table of processes, which containers have."""
  try:
    with open('/proc/sys/kernel/random/boot_id', encoding='utf-8') as file:
      return [file.read().strip(), os.readlink('/proc/self/ns/pid')]
  except OSError:  # Not Linux.
    return [uuid.uuid4().hex, '']
