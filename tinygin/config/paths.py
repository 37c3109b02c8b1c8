"""Finds the files that users name, wherever the program itself runs.

`bazel run` starts a program inside its runfiles; what users write is relative
to the folder in which they typed the command.
"""

import difflib
import functools
import os
import re
import sys
from collections.abc import Sequence

from tinygin.config import errors

_URL = re.compile(r'[a-zA-Z][a-zA-Z0-9+.-]*://')


def working_directory() -> str:
  """Returns the folder in which the user typed the command."""
  return os.environ.get('BUILD_WORKING_DIRECTORY') or os.getcwd()


def project_root() -> str:
  """Returns the folder above `tinygin`: the clone, or the runfiles of it."""
  folder = os.path.dirname(os.path.abspath(__file__))
  return os.path.dirname(os.path.dirname(folder))


def resolve(path: str) -> str:
  """Returns the absolute path of what the user wrote; URLs are kept."""
  if _URL.match(path):
    return path
  path = os.path.expanduser(path)
  return os.path.normpath(os.path.join(working_directory(), path))


def find(path: str, folders: Sequence[str] = ()) -> str:
  """Returns the absolute path of an existing input, file or folder.

  Args:
    path: As the user wrote it, relative to one of the folders. URLs are
      returned as they are.
    folders: The first in which it exists counts; by default the working
      directory and the project's root.

  Returns:
    An absolute path that exists.

  Raises:
    InputError: Nothing of that name exists.
  """
  if _URL.match(path):
    return path
  candidates = [
    os.path.normpath(os.path.join(folder, os.path.expanduser(path)))
    for folder in folders or (working_directory(), project_root())
  ]
  for candidate in candidates:
    if os.path.exists(candidate):
      return candidate
  raise errors.InputError(_missing(path, candidates))


def _missing(path: str, candidates: list[str]) -> str:
  """Says that `path` is in none of the places; names the nearest file."""
  message = f'No such file: {path}.'
  for candidate in candidates:
    folder, name = os.path.split(candidate)
    siblings = os.listdir(folder) if os.path.isdir(folder) else []
    for sibling in difflib.get_close_matches(name, siblings, 1):
      near = os.path.join(os.path.dirname(path), sibling)
      return f'{message} Did you mean {near}?'
  folders = dict.fromkeys(os.path.dirname(each) for each in candidates)
  return f'{message} Looked in: {", ".join(folders)}.'


@functools.cache
def is_library(module: str) -> bool:
  """Whether an imported module is Python's own or an installed package's."""
  file = getattr(sys.modules.get(module), '__file__', None)
  return (
    file is None
    or module.partition('.')[0] in sys.stdlib_module_names
    or f'{os.sep}site-packages{os.sep}' in file
    or f'{os.sep}dist-packages{os.sep}' in file
  )


def display(path: str) -> str:
  """Returns the shortest name by which `find` finds an absolute path."""
  for folder in (working_directory(), project_root()):
    if path.startswith(folder + os.sep):
      name = os.path.relpath(path, folder)
      found = resolve(name)
      # A clone holds the files that the runfiles link to.
      if not os.path.exists(found) or os.path.realpath(found) == (
        os.path.realpath(path)
      ):
        return name
  return path
