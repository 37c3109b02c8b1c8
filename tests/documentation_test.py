"""Runs the commands of the documentation.

Commands are in blocks marked ```shell. A block that cannot be run here says
why: ```shell not run: REASON.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import NamedTuple

from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

_ROOT = pathlib.Path(__file__).parent.parent
_PAGES = [
  *(_ROOT / f'{name}.md' for name in ('README', 'CONTRIBUTING', 'CHANGELOG')),
  *sorted(_ROOT.glob('docs/*.md')),
]
# Runs the program of a target like `bazelw run`, without Bazel.
_BAZELW = f"""#!/bin/sh
[ "$1" = run ] && [ "$3" = -- ] || exit 9
module=$(echo "$2" | sed 's|^//||; s|[/:]|.|g')
shift 3
exec {sys.executable} -m "$module" "$@"
"""
# Runs the command `tinygin` without its installation.
_TINYGIN = f"""#!{sys.executable}
from tinygin import command
command.main()
"""
# Replaces the project's quickstart, so that training takes seconds.
_QUICKSTART = f"""
include '{_ROOT}/gin/quickstart.gin'
LEVELS = (1,)
WIDTH = 8
EPOCHS = 1
dataset.data_dir = 'small_data'
synthetic.train_images = 8
synthetic.validation_images = 2
"""


class Block(NamedTuple):
  """A block of code in a page; `info` is what follows the opening fence."""

  page: pathlib.Path
  line: int
  info: str
  text: str


def _blocks():
  for page in _PAGES:
    lines, opening = page.read_text().splitlines(keepends=True), None
    for number, line in enumerate(lines):
      if not line.startswith('```'):
        continue
      if opening is None:
        opening = number
      else:
        info = lines[opening][3:].strip()
        text = ''.join(lines[opening + 1 : number])
        yield Block(page, opening + 2, info, text)
        opening = None


def _headings(page):
  """Returns the anchors of the page's headings."""
  titles = re.findall(r'(?m)^#+ (.+)$', page.read_text())
  return [
    re.sub(r'[^\w -]', '', each.lower()).replace(' ', '-') for each in titles
  ]


def _name(block):
  return f'{block.page.name} line {block.line}'


class DocumentationTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(tempfile.mkdtemp(dir=absltest.TEST_TMPDIR.value))
    (cls.folder / 'gin').mkdir(parents=True)
    (cls.folder / 'gin/quickstart.gin').write_text(_QUICKSTART)
    (cls.folder / 'quickstart.gin').write_text("include 'gin/quickstart.gin'")
    (cls.folder / 'bazelw').write_text(_BAZELW)
    (cls.folder / 'bazelw').chmod(0o755)
    (cls.folder / 'bin').mkdir()
    (cls.folder / 'bin/tinygin').write_text(_TINYGIN)
    (cls.folder / 'bin/tinygin').chmod(0o755)
    (cls.folder / 'folder_of_images').mkdir()
    for name in ('cat.jpg', 'folder_of_images/dog.png'):
      Image.effect_noise((80, 60), 100).save(cls.folder / name)
    for number in range(40):
      path = cls.folder / f'pets/{("cat", "dog")[number % 2]}/{number}.jpg'
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.new('RGB', (90, 70), (6 * number, 99, 9)).save(path)
    for name in ('NAME', 'OTHER_NAME'):
      cls.run_commands(
        './bazelw run //tinygin:train -- --gin_file=gin/quickstart.gin '
        f'--gin_bindings="RUN_DIR = \'runs/{name}\'"'
      )

  @classmethod
  def run_commands(cls, commands):
    result = subprocess.run(
      ['bash', '-euc', commands],
      cwd=cls.folder,
      env={
        **os.environ,
        'BUILD_WORKING_DIRECTORY': '',
        'PYTHONPATH': os.pathsep.join([str(_ROOT), *sys.path]),
        'PATH': os.pathsep.join(
          [
            str(cls.folder / 'bin'),
            os.path.dirname(sys.executable),
            os.environ['PATH'],
          ]
        ),
      },
      capture_output=True,
      text=True,
    )
    if result.returncode:
      raise AssertionError(
        f'{commands}ended with status {result.returncode}:\n{result.stderr}'
      )

  @parameterized.named_parameters(
    (_name(block), block)
    for block in _blocks()
    if block.info.startswith('shell')
  )
  def test_runs(self, block):
    if block.info != 'shell':
      self.assertRegex(block.info, '^shell not run: .+')
      self.skipTest(block.info.removeprefix('shell '))
    for name, text in self._files_of(block.page):
      (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
      (self.folder / name).write_text(text)
    self.run_commands(block.text)

  def _files_of(self, page):
    """Yields the name and text of each file that the page shows."""
    for block in _blocks():
      first, _, rest = block.text.partition('\n')
      named = re.fullmatch(r'# (\S+\.(gin|py))', first)
      if block.page == page and named:
        yield named[1], rest

  def test_every_command_is_in_a_block_for_commands(self):
    for block in _blocks():
      if not block.info.startswith('shell'):
        with self.subTest(_name(block)):
          self.assertNotRegex(
            block.text, r'(?m)^(\./bazelw|bazel|python|pip|docker|tinygin) '
          )

  def test_every_link_leads_somewhere(self):
    for page in _PAGES:
      for target in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
        if '://' in target:
          continue
        with self.subTest(f'{page.name}: {target}'):
          name, _, heading = target.partition('#')
          linked = page.parent / name if name else page
          self.assertTrue(linked.exists())
          if heading:
            self.assertIn(heading, _headings(linked))


if __name__ == '__main__':
  absltest.main()
