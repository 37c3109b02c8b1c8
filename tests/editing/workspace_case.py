"""The base class of tests that lint the project's gin files."""

import functools
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from tinygin.config import paths
from tinygin.editing import findings
from tinygin.editing import linting

GIN = pathlib.Path(paths.project_root(), 'gin')


class WorkspaceCase(parameterized.TestCase):
  """Lints the project's files, some of them with other texts."""

  @classmethod
  def setUpClass(cls) -> None:
    super().setUpClass()
    cache = os.path.join(absltest.TEST_TMPDIR.value, 'cache')
    environment = {
      'XDG_CACHE_HOME': cache,
      'BUILD_WORKING_DIRECTORY': str(_copy()),
    }
    cls.enterClassContext(mock.patch.dict(os.environ, environment))
    cls.gin = _copy() / 'gin'
    cls.workspace = linting.Workspace([str(cls.gin)])
    cls.files = [*linting.gin_files(str(cls.gin))]

  def read(self, texts: Mapping[str, str]) -> None:
    """Reads all files; some, named as in `gin/`, have other texts."""
    unsaved = {
      str((self.gin / name).resolve()): text for name, text in texts.items()
    }
    others = [str(self.gin / name) for name in texts]
    self.workspace.read([*dict.fromkeys([*self.files, *others])], unsaved)

  def lint(
    self, texts: Mapping[str, str], files: Sequence[str] = ()
  ) -> list[findings.Finding]:
    """Returns the findings in files; by default in those with other texts."""
    self.read(texts)
    return self.workspace.lint(
      [str(self.gin / each) for each in files or texts]
    )

  def assert_finds(self, marked: Mapping[str, str], *rules: str) -> None:
    """Asserts that mistakes are found exactly where texts have marks.

    Args:
      marked: texts with « and » around what is wrong, in order.
      rules: the rules of the marks.
    """
    texts, expected = {}, []
    for name, text in marked.items():
      texts[name] = re.sub('[«»]', '', text)
      expected += [(f'gin/{name}', *each) for each in _marks(text)]
    found = self.lint(texts)
    self.assertEqual(
      [_range(each) for each in found], expected, [*map(str, found)]
    )
    self.assertEqual([each.rule for each in found], [*rules])


@functools.cache
def _copy() -> pathlib.Path:
  """Returns a folder with a copy of the project's gin files."""
  root = tempfile.mkdtemp(dir=absltest.TEST_TMPDIR.value)
  shutil.copytree(GIN, pathlib.Path(root, 'gin'))
  return pathlib.Path(root).resolve()


def _marks(text: str) -> Iterator[tuple[int, ...]]:
  """Yields the line and column of each begin and end."""
  places = []
  for number, line in enumerate(text.split('\n'), 1):
    for index, found in enumerate(re.finditer('[«»]', line)):
      places += [number, found.start() - index + 1]
  for index in range(0, len(places), 4):
    yield tuple(places[index : index + 4])


def _range(finding: findings.Finding) -> tuple[str | int, ...]:
  begin = finding.file, finding.line, finding.column
  return *begin, finding.end_line, finding.end_column


def changed(file: str, pattern: str, replacement: str) -> str:
  """Returns the text of a project's file with one change."""
  text = (GIN / file).read_text(encoding='utf-8')
  result, count = re.subn(pattern, replacement, text, count=1, flags=re.M)
  assert count, (file, pattern)
  return result
