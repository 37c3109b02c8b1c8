"""Tests bazelw with a PATH of small programs."""

import os
import pathlib
import pty
import shutil
import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized

_PROJECT = pathlib.Path(__file__).parent.parent
_PYTHON = os.path.realpath(sys._base_executable)
# Answers --version; otherwise prints its arguments, one a line.
_BAZEL = """#!/bin/sh
if [ "$*" = --version ]; then
  echo '{version}'
else
  echo "{name}, $TINYGIN_PYTHON, ${{TINYGIN_SHARED_DATA-no data}}"
  printf '<%s>\\n' "$@"
  exit 37
fi
"""
_FAILS = '#!/bin/sh\nexit 1\n'


class BazelwTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.project = self.folder / 'a project'
    self.project.mkdir()
    shutil.copy(_PROJECT / 'bazelw', self.project)
    self.path = self.folder / 'bin'
    self.path.mkdir()
    for name in ('dirname', 'env', 'mktemp', 'rm', 'sh', 'tail'):
      (self.path / name).symlink_to(shutil.which(name))
    (self.path / 'python3.11').symlink_to(_PYTHON)
    # Bazelisk is fetched by python3: never from a test.
    for name in ('python3', 'python', 'cc'):
      self.write(name, _FAILS)

  def write(self, name: str, content: str) -> None:
    (self.path / name).write_text(content)
    (self.path / name).chmod(0o755)

  def write_bazel(self, name: str, version: str) -> None:
    self.write(name, _BAZEL.format(name=name, version=version))

  def write_apt_get(self) -> None:
    """Writes an apt-get that installs a Bazel."""
    self.write_bazel('written', 'bazel no_version')
    self.write(
      'apt-get',
      '#!/bin/sh\necho "$@" >>"$TMPDIR/calls"\n'
      '[ "$1" = update ] || /bin/mv "$TMPDIR/bin/written" '
      '"$TMPDIR/bin/bazel-4"\n',
    )

  def run_bazelw(self, *arguments: str, answer: str = '', **variables: str):
    """Runs bazelw, on a terminal where an answer is given."""
    terminal, stdin = pty.openpty() if answer else (None, subprocess.DEVNULL)
    if answer:
      os.write(terminal, answer.encode())
    done = subprocess.run(
      [self.project / 'bazelw', *arguments],
      env={'PATH': str(self.path), 'TMPDIR': str(self.folder), **variables},
      stdin=stdin,
      capture_output=True,
      text=True,
      check=False,
    )
    if answer:
      os.close(terminal)
      os.close(stdin)
    return done

  @parameterized.parameters(
    ('bazel', 'bazel 4.2.3'),
    ('bazel', 'bazel 6.5.0'),
    ('bazelisk', 'bazel 5.4.1'),
    ('bazel-4', 'bazel no_version'),
  )
  def test_passes_on_arguments_and_status(self, name, version):
    self.write_bazel(name, version)
    result = self.run_bazelw('run', '//a:b', '--', "--x= '1' $PATH\n*", '')
    self.assertEqual(
      result.stdout,
      f'{name}, {_PYTHON}, no data\n<run>\n<//a:b>\n<-->\n'
      "<--x= '1' $PATH\n*>\n<>\n",
    )
    self.assertEqual((result.returncode, result.stderr), (37, ''))

  @parameterized.parameters('bazel 3.7.2', 'bazel 8.0.0', 'bazel 40.0.0', '')
  def test_skips_versions_that_do_not_fit(self, version):
    self.write_bazel('bazel', version)
    self.write_bazel('bazel-4', 'bazel no_version')
    self.assertStartsWith(self.run_bazelw('info').stdout, 'bazel-4, ')

  def test_bazel_7_reads_workspace(self):
    self.write_bazel('bazel', 'bazel 7.4.1')
    file = self.project / 'tools/bazel/bazel7.bazelrc'
    self.assertEndsWith(
      self.run_bazelw('info').stdout, f'\n<--bazelrc={file}>\n<info>\n'
    )

  def test_does_not_look_for_data(self):
    self.write_bazel('bazel', 'bazel 4.2.3')
    (self.folder / 'shared' / 'data').mkdir(parents=True)
    self.assertIn(', no data\n', self.run_bazelw('info').stdout)
    result = self.run_bazelw('info', TINYGIN_SHARED_DATA='/elsewhere')
    self.assertIn(', /elsewhere\n', result.stdout)

  def test_refuses_a_python_that_does_not_fit(self):
    self.write_bazel('bazel', 'bazel 4.2.3')
    result = self.run_bazelw('info', TINYGIN_PYTHON='/bin/false')
    self.assertEqual((result.returncode, result.stdout), (2, ''))
    self.assertEqual(
      result.stderr,
      'bazelw: TINYGIN_PYTHON must be a Python 3.11 to 3.13 with venv and'
      ' ensurepip. Received: TINYGIN_PYTHON=/bin/false.\n',
    )

  def test_installs_what_is_missing_as_root(self):
    self.write('id', '#!/bin/sh\necho 0\n')
    self.write_apt_get()
    result = self.run_bazelw('info')
    self.assertEqual(
      result.stderr,
      'bazelw: Installing with apt-get, which takes a minute or two:'
      ' bazel-bootstrap\n',
    )
    self.assertEndsWith(result.stdout, '<info>\n')
    self.assertEqual(
      (self.folder / 'calls').read_text(),
      'update\ninstall --yes --no-install-recommends bazel-bootstrap\n',
    )

  def test_asks_before_it_uses_sudo(self):
    self.write('id', '#!/bin/sh\necho 1000\n')
    self.write('sudo', '#!/bin/sh\necho "sudo" >>"$TMPDIR/calls"\n"$@"\n')
    self.write_apt_get()
    refused = self.run_bazelw('info', answer='n\n')
    self.assertEqual((refused.returncode, refused.stdout), (2, ''))
    self.assertEqual(
      refused.stderr,
      'bazelw: Packages are missing. This will run:\n'
      'bazelw:   sudo apt-get update\n'
      'bazelw:   sudo apt-get install --yes --no-install-recommends'
      ' bazel-bootstrap\n'
      'bazelw: Continue? [y/N] bazelw: Nothing was installed.\n',
    )
    self.assertFalse((self.folder / 'calls').exists())
    accepted = self.run_bazelw('info', answer='y\n')
    self.assertEndsWith(accepted.stdout, '<info>\n')
    self.assertEqual(
      (self.folder / 'calls').read_text(),
      'sudo\nupdate\nsudo\n'
      'install --yes --no-install-recommends bazel-bootstrap\n',
    )

  @parameterized.parameters('sudo', 'no sudo')
  def test_never_uses_sudo_where_nobody_can_be_asked(self, name):
    self.write('id', '#!/bin/sh\necho 1000\n')
    self.write('apt-get', _FAILS)
    self.write(name, _FAILS)
    (self.path / 'python3.11').unlink()
    result = self.run_bazelw('info')
    self.assertEqual((result.returncode, result.stdout), (2, ''))
    self.assertEqual(
      result.stderr,
      'bazelw: Packages are missing. Run as root: apt-get install --yes'
      ' --no-install-recommends python3 python3-venv bazel-bootstrap\n',
    )

  def test_without_apt_says_what_is_needed(self):
    result = self.run_bazelw('info')
    self.assertEqual((result.returncode, result.stdout), (2, ''))
    self.assertStartsWith(
      result.stderr, 'bazelw: tinygin needs Python 3.11 to 3.13 with venv, a C'
    )

  def test_shows_why_apt_failed(self):
    self.write('id', '#!/bin/sh\necho 0\n')
    self.write('apt-get', '#!/bin/sh\necho "E: no such host" >&2\nexit 100\n')
    result = self.run_bazelw('info')
    self.assertEqual((result.returncode, result.stdout), (2, ''))
    self.assertIn('\nE: no such host\nbazelw: apt-get failed', result.stderr)


if __name__ == '__main__':
  absltest.main()
