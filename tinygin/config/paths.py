"""Finds the files that users name.

`bazel run` starts a program inside its runfiles, but the paths that users write
are relative to the folder in which they typed the command.
"""

import difflib
import functools
import os
import re
import sys
from collections.abc import Sequence

from tinygin.config import errors

# The packages of this project.
PROJECT = ('tinygin', 'beam_pipelines')
_URL = re.compile(r'[a-zA-Z][a-zA-Z0-9+.-]*://')


class MissingError(errors.InputError):
  """There is no file or folder at a path.

  Attributes:
    near: a similar path that exists, or nothing.
  """

  def __init__(self, message: str, near: str = ''):
    super().__init__(message)
    self.near = near


def working_directory() -> str:
  """Returns the folder in which the user typed the command."""
  return os.environ.get('BUILD_WORKING_DIRECTORY') or os.getcwd()


def project_root() -> str:
  """Returns the folder of `tinygin`: a clone, runfiles or site-packages."""
  return os.path.dirname(_package())


def configurations() -> str:
  """Returns the folder that contains the project's gin files, as `gin/`.

  An installed package contains them itself: beside it, `gin` is gin-config.
  """
  return _package() if is_installed() else project_root()


def is_installed() -> bool:
  """Whether the project was installed from its wheel."""
  return os.path.isdir(os.path.join(_package(), 'gin'))


def checkout() -> str:
  """Returns the folder in which git may know the code of a run.

  It is the clone. For an installed project it is the working directory, which
  holds the user's own components.
  """
  return os.environ.get('BUILD_WORKSPACE_DIRECTORY') or (
    working_directory() if is_installed() else project_root()
  )


def _package() -> str:
  return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def resolve(path: str) -> str:
  """Returns an absolute path; URLs are returned unchanged."""
  if _URL.match(path):
    return path
  path = os.path.expanduser(path)
  return os.path.normpath(os.path.join(working_directory(), path))


def is_clutter(name: str) -> bool:
  """Whether macOS or Windows added the file, not the user."""
  *folders, file = name.split('/')
  return (
    file in ('.DS_Store', 'Thumbs.db', 'desktop.ini')
    or file.startswith('._')
    or '__MACOSX' in (*folders, file)
  )


def find(path: str, folders: Sequence[str] = (), kind: str = 'file') -> str:
  """Returns the absolute path of an existing file or folder.

  Args:
    path: as the user wrote it; URLs are returned unchanged.
    folders: where the path is searched, in order. By default, these are the
      working directory and that of the project's gin files.
    kind: what the path leads to, for the message.

  Raises:
    MissingError: the path is in none of the folders.
  """
  if _URL.match(path):
    return path
  candidates = [
    os.path.normpath(os.path.join(folder, os.path.expanduser(path)))
    for folder in folders or (working_directory(), configurations())
  ]
  for candidate in candidates:
    if os.path.exists(candidate):
      return candidate
  raise _missing(path, candidates, kind)


def read_text(path: str | os.PathLike) -> str:
  """Returns the content of a text file in UTF-8, without a byte order mark.

  Raises:
    InputError: the file cannot be read.
  """
  try:
    with open(path, encoding='utf-8-sig') as file:
      return file.read()
  except (OSError, UnicodeError) as error:
    raise errors.InputError(
      f'Cannot read {display(os.fspath(path))}: {errors.reason(error)}.'
    ) from error


def _missing(path: str, candidates: list[str], kind: str) -> MissingError:
  """Returns the error of a missing path, with a similar name if any."""
  message = f'No such {kind}: {path}.'
  for candidate in candidates:
    folder, name = os.path.split(candidate)
    siblings = os.listdir(folder) if os.path.isdir(folder) else []
    for sibling in difflib.get_close_matches(name, siblings, 1):
      near = os.path.join(os.path.dirname(path), sibling)
      return MissingError(f'{message} Did you mean {near}?', near)
  folders = dict.fromkeys(os.path.dirname(each) for each in candidates)
  return MissingError(f'{message} Looked in: {", ".join(folders)}.')


@functools.cache
def is_library(module: str) -> bool:
  """Whether a module belongs to Python or another project's package."""
  package = module.partition('.')[0]
  file = getattr(sys.modules.get(module), '__file__', None)
  return file is None or (
    package not in PROJECT
    and (
      package in sys.stdlib_module_names
      or f'{os.sep}site-packages{os.sep}' in file
      or f'{os.sep}dist-packages{os.sep}' in file
    )
  )


def display(path: str) -> str:
  """Returns the shortest path with which `find` finds an absolute path."""
  for folder in (working_directory(), configurations()):
    if path.startswith(folder + os.sep):
      name = os.path.relpath(path, folder)
      found = resolve(name)
      # The runfiles are links to the files of the clone.
      if not os.path.exists(found) or os.path.realpath(found) == (
        os.path.realpath(path)
      ):
        return name
  return path
