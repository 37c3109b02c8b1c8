"""Keeps an index of each record file beside it: its records' sizes and labels.

The index of `FOLDER/NAME` is `FOLDER/index/NAME.npz`. It is written after a
file was read through, and is used only as long as the file does not change.
Otherwise the file is read through again.
"""

import contextlib
import io
import os
import zipfile
from typing import NamedTuple

import numpy as np

from tinygin.config import files


class Records(NamedTuple):
  """What is known of the records of a file, in their order.

  Attributes:
    sizes: of the serialized examples in bytes, int32 (records,).
    labels: int64 (records,).
  """

  sizes: np.ndarray
  labels: np.ndarray


def version(path: str) -> str:
  """Returns what changes when a file is written; empty if there is no file."""
  try:
    return files.version(path)
  except FileNotFoundError:
    return ''


def load(path: str) -> Records | None:
  """Returns the index of a record file.

  Args:
    path: of the record file.

  Returns:
    None if the index is missing or damaged, or the file has changed since.
  """
  try:
    with np.load(io.BytesIO(files.read(_location(path)))) as index:
      if str(index['version']) == version(path):
        return Records(index['sizes'], index['labels'])
  except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
    pass
  return None


def save(path: str, file_version: str, records: Records) -> None:
  """Writes the index of a record file, completely or not at all.

  Where the folder cannot be written to, nothing is saved.

  Args:
    path: of the record file.
    file_version: the file's `version` before its records were read.
    records: all records of the file.
  """
  content = io.BytesIO()
  np.savez(content, version=file_version, **records._asdict())
  with contextlib.suppress(OSError):
    files.write_bytes(_location(path), content.getvalue())


def _location(path: str) -> str:
  folder, name = os.path.split(path)
  return os.path.join(folder, 'index', f'{name}.npz')
