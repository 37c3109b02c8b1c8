"""Where a run comes from: code, data, versions, devices, command line."""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

import tensorflow as tf

from tinygin.config import paths

_PACKAGES = (
  'apache-beam',
  'gin-config',
  'keras',
  'numpy',
  'tensorflow',
  'tensorflow-datasets',
)
_OURS = ('__main__', 'beam_pipelines', 'tinygin')


def describe(root: pathlib.Path) -> dict[str, Any]:
  """Describes this process.

  Args:
    root: the project's folder, in a git checkout or not.

  Returns:
    A JSON-serialisable dictionary: command line, git commit and difference,
    modules that git does not know, versions, devices and the number of threads,
    which decides the last bits.
  """
  return {
    'command_line': sys.argv,
    'git': _commit(root),
    'modules': _modules(root),
    'python': platform.python_version(),
    'versions': {
      package: importlib.metadata.version(package) for package in _PACKAGES
    },
    'host': platform.node(),
    'platform': platform.platform(),
    'devices': [device.name for device in tf.config.list_logical_devices()],
    # TensorFlow reports 0 where it chooses, which is one a core.
    'intra_op_threads': tf.config.threading.get_intra_op_parallelism_threads()
    or len(os.sched_getaffinity(0)),
  }


def data_set(directory: str) -> dict[str, str | None]:
  """Describes a data set.

  Args:
    directory: of a TFDS data set.

  Returns:
    The directory, and the fingerprint of what it was built from; None for a
    data set of another make, which has none.
  """
  metadata = pathlib.Path(directory, 'metadata.json')
  known = json.loads(metadata.read_text()) if metadata.exists() else {}
  return {'directory': directory, 'fingerprint': known.get('fingerprint')}


def _commit(root: pathlib.Path) -> dict[str, str] | None:
  """Returns the commit and what differs from it; None outside a checkout."""
  commit = _git(root, 'rev-parse', 'HEAD')
  return commit and {
    'commit': commit.strip(),
    'status': _git(root, 'status', '--porcelain'),
    'diff': _git(root, 'diff', 'HEAD'),
  }


def _modules(root: pathlib.Path) -> dict[str, dict[str, str]]:
  """Returns the imported code that no commit and no version stands for.

  Args:
    root: the project's folder.

  Returns:
    From the name of each module that is neither installed nor tracked to its
    file, the SHA-256 of that and, unless it is the project's own, its text.
  """
  root = root.resolve()
  tracked = (_git(root, 'ls-files', '-z') or '').split('\0')
  known = {root / name for name in tracked}
  found = {}
  for name, module in sorted(sys.modules.items()):
    # AutoGraph makes modules out of functions, under names drawn at random.
    if paths.is_library(name) or name.startswith('__autograph_generated'):
      continue
    path = pathlib.Path(module.__file__).resolve()  # Runfiles are links.
    if path not in known and path.is_file():
      content = path.read_bytes()
      digest = hashlib.sha256(content).hexdigest()
      found[name] = {'file': str(path), 'sha256': digest}
      if name.partition('.')[0] not in _OURS:
        found[name]['text'] = content.decode(errors='replace')
  return found


def _git(root: pathlib.Path, *arguments: str) -> str | None:
  """Returns what git prints; None where there is none, or no checkout."""
  try:
    return subprocess.run(
      ['git', '-C', str(root), *arguments],
      capture_output=True,
      encoding='utf-8',
      errors='replace',  # Not every file of text in a difference is UTF-8.
      check=True,
    ).stdout
  except (OSError, subprocess.CalledProcessError):
    return None
