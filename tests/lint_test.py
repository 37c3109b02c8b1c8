"""Runs the linter as a program."""

import json
import os
import pathlib
import subprocess
import sys

import yaml
from absl.testing import absltest

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tinygin.config import paths

_TEXT = f"""{COMPLETE}train.labl = "a"   # A comment.
train:
  flag =   true  # Another.
"""
_FIXED = _TEXT.replace('labl', 'label').replace('true', 'True')


class LintTest(config_case.ConfigCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.cache = os.path.join(absltest.TEST_TMPDIR.value, 'cache')

  def run_program(self, *arguments):
    done = subprocess.run(
      [sys.executable, '-m', 'tinygin.lint', *arguments],
      cwd=self.folder,
      env={
        **os.environ,
        'PYTHONPATH': os.pathsep.join(sys.path),
        'XDG_CACHE_HOME': self.cache,
      },
      capture_output=True,
      text=True,
    )
    return done.returncode, done.stdout, done.stderr

  def test_findings(self):
    self.write('mine/x.gin', _TEXT)
    status, output, error = self.run_program('mine')
    self.assertEqual((status, error), (1, ''))
    self.assertEqual(
      output,
      'mine/x.gin:12:7: Unknown parameter train.labl. '
      'Did you mean train.label? [parameter]\n'
      'mine/x.gin:14:3: flag =   true  # Another.: write True. [syntax]\n',
    )

  def test_formats(self):
    self.write('x.gin', _TEXT)
    _, output, _ = self.run_program('--format=json')
    self.assertEqual([each['line'] for each in json.loads(output)], [12, 14])
    _, output, _ = self.run_program('--format=github', 'x.gin')
    self.assertStartsWith(output, '::error file=x.gin,line=12,')
    _, output, _ = self.run_program('--format=sarif', 'x.gin')
    self.assertLen(json.loads(output)['runs'][0]['results'], 2)

  def test_fix_keeps_comments_and_layout(self):
    path = self.write('x.gin', '')
    with open(path, 'wb') as file:
      file.write(b'\xef\xbb\xbf' + _TEXT.replace('\n', '\r\n').encode())
    status, output, error = self.run_program('--fix', 'x.gin')
    self.assertEqual((status, output), (0, ''))
    self.assertIn('2', error)
    with open(path, 'rb') as file:
      fixed = file.read()
    self.assertEqual(
      fixed, b'\xef\xbb\xbf' + _FIXED.replace('\n', '\r\n').encode()
    )

  def test_other_files_are_not_fixed(self):
    self.write('x.gin', "include 'y.gin'\n")
    path = self.write('y.gin', _TEXT)
    status, output, _ = self.run_program('--fix', 'x.gin')
    self.assertEqual(status, 1)
    self.assertIn('y.gin:12:7', output)
    with open(path, encoding='utf-8') as file:
      self.assertEqual(file.read(), _TEXT)

  def test_records_of_runs_are_not_fixed(self):
    self.write('x.gin', _FIXED)
    path = self.write('runs/a/config.gin', _TEXT)
    self.write('runs/a/provenance.json', '{}')
    status, output, _ = self.run_program('--fix')
    self.assertEqual((status, output), (0, ''))
    with open(path, encoding='utf-8') as file:
      self.assertEqual(file.read(), _TEXT)

  def test_no_findings(self):
    self.write('x.gin', _FIXED)
    self.assertEqual(self.run_program(), (0, '', ''))

  def test_hook(self):
    root = pathlib.Path(paths.project_root())
    text = (root / '.pre-commit-hooks.yaml').read_text(encoding='utf-8')
    (hook,) = yaml.safe_load(text)
    self.assertEqual(hook['entry'], 'tinygin lint')
    self.assertRegex('gin/base.gin', hook['files'])
    self.assertNotRegex('gin/base.gin.py', hook['files'])

  def test_wrong_arguments(self):
    for arguments, part in (
      (['--fromat=json'], 'Did you mean --format?'),
      (['--format=xml'], 'github'),
      (['absent.gin'], 'No such file: absent.gin'),
      (['.'], 'no gin files'),
    ):
      with self.subTest(arguments):
        status, output, error = self.run_program(*arguments)
        self.assertEqual((status, output), (2, ''))
        self.assertIn(part, error)


if __name__ == '__main__':
  absltest.main()
