"""Records the origin of a run: code, data, versions, hardware."""

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

from tinygin.config import environment
from tinygin.config import files
from tinygin.config import paths

_PACKAGES = (
  'apache-beam',
  'gin-config',
  'keras',
  'numpy',
  'tensorflow',
  'tensorflow-datasets',
)
# Instruction sets for which TensorFlow and oneDNN have separate kernels.
_INSTRUCTIONS = (
  *('avx', 'avx2', 'fma', 'avx_vnni', 'avx512f', 'avx512_vnni', 'avx512_bf16'),
  *('avx512_fp16', 'amx_bf16', 'amx_int8', 'asimd', 'bf16', 'sve'),
)
CPU_INFO = pathlib.Path('/proc/cpuinfo')
_GPU_DRIVER = pathlib.Path('/proc/driver/nvidia/version')


def describe(root: pathlib.Path) -> dict[str, Any]:
  """Describes this process.

  Args:
    root: a folder, in a git checkout or not.

  Returns:
    A JSON-serializable dictionary: command line and working directory, git
    commit and difference, modules that git does not track, versions, devices,
    and everything that can change the last bits of a result.
  """
  return {
    'command_line': sys.argv,
    'working_directory': paths.working_directory(),
    'git': _commit(root),
    'modules': _modules(root),
    'python': platform.python_version(),
    'versions': {
      package: importlib.metadata.version(package)
      for package in (*_PACKAGES, *['tinygin'] * paths.is_installed())
    },
    'host': platform.node(),
    'platform': platform.platform(),
    'devices': [device.name for device in tf.config.list_logical_devices()],
    'computation': _computation(),
  }


def data_set(directory: str) -> dict[str, str | None]:
  """Describes a data set.

  Args:
    directory: a TFDS data set's path, or its URL such as `gs://…`.

  Returns:
    The directory, and the fingerprint of its parameters and source; None for a
    data set that tinygin did not build, or whose metadata cannot be read.
  """
  try:
    known = json.loads(files.read(os.path.join(directory, 'metadata.json')))
  except (OSError, ValueError):
    known = None
  fingerprint = known.get('fingerprint') if isinstance(known, dict) else None
  return {'directory': directory, 'fingerprint': fingerprint}


def _computation() -> dict[str, Any]:
  """Returns everything on this machine that can change a result's last bits."""
  present = instructions()
  gpus = tf.config.list_physical_devices('GPU')
  build = tf.sysconfig.get_build_info()
  threading = tf.config.threading
  return {
    'processor': _processor().get('model name', platform.processor()),
    'instructions': [each for each in _INSTRUCTIONS if each in present],
    'gpus': [
      tf.config.experimental.get_device_details(gpu).get('device_name')
      for gpu in gpus
    ],
    'gpu_driver': _read(_GPU_DRIVER).partition('\n')[0] or None,
    'cuda': build.get('cuda_version') if gpus else None,
    'cudnn': build.get('cudnn_version') if gpus else None,
    # 0 stands for TensorFlow's default, one thread for each core.
    'intra_op_threads': threading.get_intra_op_parallelism_threads()
    or len(os.sched_getaffinity(0)),
    'inter_op_threads': threading.get_inter_op_parallelism_threads(),
    'tensor_float_32': (
      tf.config.experimental.tensor_float_32_execution_enabled()
    ),
    'environment': environment.numerical(),
  }


def instructions() -> set[str]:
  """Returns the processor's features by Linux's names; none if unknown."""
  found = _processor()
  return set(found.get('flags', found.get('Features', '')).split())


def _processor() -> dict[str, str]:
  """Returns Linux's description of the first processor; empty elsewhere."""
  first = _read(CPU_INFO).partition('\n\n')[0]
  pairs = (line.partition(':') for line in first.split('\n'))
  return {name.strip(): value.strip() for name, _, value in pairs}


def _read(path: pathlib.Path) -> str:
  """Returns the text of a file; nothing where there is none."""
  return path.read_text(encoding='utf-8') if path.exists() else ''


def _commit(root: pathlib.Path) -> dict[str, str] | None:
  """Returns the commit and the difference from it; None outside a checkout."""
  commit = _git(root, 'rev-parse', 'HEAD')
  return commit and {
    'commit': commit.strip(),
    'status': _git(root, 'status', '--porcelain'),
    'diff': _git(root, 'diff', 'HEAD'),
  }


def _modules(root: pathlib.Path) -> dict[str, dict[str, str]]:
  """Returns the imported modules that are neither installed nor tracked by git.

  Args:
    root: a folder, in a git checkout or not.

  Returns:
    For each module its file, the SHA-256 of the file and, unless the module
    belongs to tinygin, its text.
  """
  root = root.resolve()
  tracked = (_git(root, 'ls-files', '-z') or '').split('\0')
  known = {root / name for name in tracked}
  found = {}
  for name, module in sorted(sys.modules.items()):
    # AutoGraph generates modules under random names.
    if paths.is_library(name) or name.startswith('__autograph_generated'):
      continue
    path = pathlib.Path(module.__file__).resolve()  # Runfiles are links.
    if path not in known and path.is_file():
      content = path.read_bytes()
      digest = hashlib.sha256(content).hexdigest()
      found[name] = {'file': str(path), 'sha256': digest}
      if name.partition('.')[0] not in ('__main__', *paths.PROJECT):
        found[name]['text'] = content.decode(errors='replace')
  return found


def _git(root: pathlib.Path, *arguments: str) -> str | None:
  """Returns git's output; None without git or outside a checkout."""
  try:
    return subprocess.run(
      ['git', '-C', str(root), *arguments],
      capture_output=True,
      encoding='utf-8',
      errors='replace',  # The difference may contain other encodings.
      check=True,
    ).stdout
  except (OSError, subprocess.CalledProcessError):
    return None
