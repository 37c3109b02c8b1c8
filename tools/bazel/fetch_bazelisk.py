"""Fetches Bazelisk, which fetches the Bazel named in .bazelversion.

Prints the path of the executable. Exits with status 1 and prints no path if
Bazel's releases cannot be reached, because Bazelisk would then be useless.
"""

import hashlib
import os
import pathlib
import platform
import sys
import tempfile
import urllib.error
import urllib.request

VERSION = '1.28.1'
ADDRESS = (
  'https://github.com/bazelbuild/bazelisk/releases/download/'
  f'v{VERSION}/bazelisk-'
)
# SHA-256 of the executable of each platform.
SHA256 = {
  'darwin-amd64': (
    '023225736cea5dc88f2b0807d5b1af4eb0f69a4ed45e3994b2c18c263bc80e48'
  ),
  'darwin-arm64': (
    'dea3f3f5de2dbc5e269e0132cdd369d5efe738f7b973d5d4eb2b4f7055a97b39'
  ),
  'linux-amd64': (
    '22e7d3a188699982f661cf4687137ee52d1f24fec1ec893d91a6c4d791a75de8'
  ),
  'linux-arm64': (
    '8ded44b58a0d9425a4178af26cf17693feac3b87bdcfef0a2a0898fcd1afc9f2'
  ),
}
RELEASES = 'https://releases.bazel.build'
TIMEOUT_SECONDS = 10

_MACHINES = {'aarch64': 'arm64', 'x86_64': 'amd64'}


def main() -> None:
  """Prints the path of Bazelisk, fetched if it is not there yet."""
  cache = pathlib.Path(
    os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  )
  executable = cache / 'tinygin' / f'bazelisk-{VERSION}'
  machine = platform.machine().lower()
  target = f'{platform.system().lower()}-{_MACHINES.get(machine, machine)}'
  if not executable.exists():
    try:
      _check_releases()
      install(_download(ADDRESS + target), SHA256.get(target), executable)
    except (OSError, ValueError) as error:
      sys.exit(f'bazelw: Bazelisk is not available here: {error}')
  print(executable)


def install(
  content: bytes, sha256: str | None, executable: pathlib.Path
) -> None:
  """Writes the executable if its checksum is right.

  Args:
    content: The bytes of the executable.
    sha256: Their expected SHA-256; None if it is unknown.
    executable: The file to write.

  Raises:
    ValueError: The content has another checksum.
  """
  received = hashlib.sha256(content).hexdigest()
  if received != sha256:
    raise ValueError(f'its SHA-256 must be {sha256}. Received: {received}.')
  executable.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.NamedTemporaryFile(
    dir=executable.parent, delete=False
  ) as temporary:
    temporary.write(content)
  os.chmod(temporary.name, 0o755)
  os.replace(temporary.name, executable)


def _check_releases() -> None:
  """Raises OSError if Bazel's releases cannot be reached."""
  request = urllib.request.Request(RELEASES, method='HEAD')
  try:
    urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
  except urllib.error.HTTPError:
    pass  # The server answers; there is no file at the address itself.
  except OSError as error:
    raise OSError(f'{RELEASES} cannot be reached ({error}).') from error


def _download(address: str) -> bytes:
  with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
    return response.read()


if __name__ == '__main__':
  main()
