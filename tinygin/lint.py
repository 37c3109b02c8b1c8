"""Finds mistakes in gin files, all at once, and corrects some.

  ./bazelw run //tinygin:lint -- gin/
  ./bazelw run //tinygin:lint -- --fix mine.gin

Without paths, it checks all gin files in the working directory.
"""

import codecs
import os
import sys

from absl import flags

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import paths
from tinygin.editing import findings
from tinygin.editing import linting

_FORMAT = flags.DEFINE_enum(
  'format', 'text', [*findings.FORMATS], 'How the mistakes are printed.'
)
_FIX = flags.DEFINE_bool(
  'fix', False, 'Correct the mistakes that have one right answer.'
)
_SEARCH_PATH = flags.DEFINE_multi_string(
  'gin_search_path',
  [],
  'A folder in which included files are searched, after the folder of the '
  'including file. Repeatable.',
)


def main(argv: list[str]) -> int:
  """Prints the mistakes; returns 1 if there are any."""
  wanted = _files(argv[1:] or ['.'])
  others = linting.gin_files(paths.working_directory())
  files = [*dict.fromkeys([*wanted, *others])]
  workspace = linting.Workspace(_SEARCH_PATH.value)
  workspace.read(files)
  found = workspace.lint(wanted)
  if _FIX.value:
    corrected = 0
    while edited := _correct(found, {*wanted}):
      corrected += edited
      workspace.read(files)
      found = workspace.lint(wanted)
    print(f'Corrected {corrected} mistakes.', file=sys.stderr)
  print(findings.FORMATS[_FORMAT.value](found), end='')
  return 1 if found else 0


def _files(names: list[str]) -> list[str]:
  """Returns the absolute paths of files, and of all gin files in folders."""
  found = []
  for name in names:
    path = paths.find(name)
    if os.path.isdir(path):
      inside = [*linting.gin_files(path)]
      if not inside:
        raise errors.InputError(f'There are no gin files in {path}.')
      found += inside
    else:
      found.append(path)
  return [*dict.fromkeys(found)]


def _correct(found: list[findings.Finding], files: set[str]) -> int:
  """Applies the edits of findings in files; returns how many there were."""
  edits: dict[str, list[findings.Edit]] = {}
  for each in found:
    path = paths.find(each.file)
    if each.edit and path in files:
      edits.setdefault(path, []).append(each.edit)
  for path, own in edits.items():
    text = linting.read_text(path)
    with open(path, 'rb') as file:
      has_mark = file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8
    encoding = 'utf-8-sig' if has_mark else 'utf-8'
    with open(path, 'w', encoding=encoding, newline='') as file:
      file.write(findings.apply(text, own))
  return sum(map(len, edits.values()))


if __name__ == '__main__':
  entry_point.run(main, takes='arguments')
