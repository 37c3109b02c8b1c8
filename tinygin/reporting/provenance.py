"""Where a run comes from: code, versions, devices, command line."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

import tensorflow as tf

_PACKAGES = (
  'apache-beam',
  'gin-config',
  'keras',
  'numpy',
  'tensorflow',
  'tensorflow-datasets',
)


def describe(root: pathlib.Path) -> dict[str, Any]:
  """Describes this process.

  Args:
    root: the project's folder, in a git checkout or not.

  Returns:
    A JSON-serialisable dictionary: command line, git commit and difference,
    versions, devices and the number of threads, which decides the last bits.
  """
  return {
    'command_line': sys.argv,
    'git': _git(root),
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


def _git(root: pathlib.Path) -> dict[str, str] | None:
  """Returns the commit and what differs from it; None outside a checkout."""

  def git(*arguments: str) -> str:
    command = ['git', '-C', str(root), *arguments]
    return subprocess.run(
      command, capture_output=True, text=True, check=True
    ).stdout

  try:
    return {
      'commit': git('rev-parse', 'HEAD').strip(),
      'status': git('status', '--porcelain'),
      'diff': git('diff', 'HEAD'),
    }
  except (OSError, subprocess.CalledProcessError):
    return None
