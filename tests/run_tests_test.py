"""Tests .ci/run on reports like those of Bazel."""

import os
import pathlib
import shutil
import subprocess

from absl.testing import absltest
from absl.testing import parameterized

_PROJECT = pathlib.Path(__file__).parent.parent
_PASSED = '<testcase name="a" status="run"/>'
_SKIPPED = '<testcase name="b" status="notrun"/>'
_SKIPPED_ELSEWHERE = '<testcase name="e"><skipped/></testcase>'
_FAILED = '<testcase name="c"><failure message="no"/></testcase>'
_BROKEN = '<testcase name="d"><error message="no"/></testcase>'


class RunTestsTest(parameterized.TestCase):
  @parameterized.parameters(
    ('PASSED in 0.5s', [_PASSED, _PASSED], 0, '2 passed, 0 failed', 0),
    ('(cached) PASSED in 0.5s', [_PASSED], 0, '1 passed, 0 failed', 0),
    (
      'PASSED in 0.5s',
      [_PASSED, _SKIPPED],
      0,
      '1 passed, 0 failed, 1 skipped',
      0,
    ),
    ('FAILED in 0.5s', [_PASSED, _FAILED, _BROKEN], 3, '1 passed, 2 failed', 3),
    ('FAILED in 0.5s', [_PASSED], 3, '1 passed, 1 failed', 3),
    ('TIMEOUT in 300.0s', [_PASSED], 3, '0 passed, 1 failed', 3),
    ('FAILED TO BUILD', [_PASSED], 1, '0 passed, 1 failed', 1),
    ('NO STATUS', [_PASSED], 1, '0 passed, 1 failed', 1),
    ('PASSED in 0.5s', [_FAILED], 0, '0 passed, 1 failed', 1),
    (
      'PASSED in 0.5s',
      [_PASSED, _SKIPPED_ELSEWHERE],
      0,
      '1 passed, 0 failed, 1 skipped',
      0,
    ),
    ('PASSED in 0.5s', [_SKIPPED], 0, '0 passed, 0 failed, 1 skipped', 1),
  )
  def test_counts_cases(self, outcome, cases, bazel_status, summary, status):
    output = f'//tests/a:b_test      {outcome}\n'
    result = self._run_tests(output, bazel_status, {'tests/a/b_test': cases})
    self.assertEqual(result.stdout, f'test //...\n{output}{summary}\n')
    self.assertEqual(result.returncode, status)

  def test_adds_targets_up_and_leaves_old_reports_out(self):
    reports = {'a_test': [_PASSED], 'b_test': [_PASSED], 'old_test': [_FAILED]}
    output = '//:a_test   PASSED in 1s\n//:b_test  PASSED in 2s\n'
    result = self._run_tests(output, 0, reports)
    self.assertEndsWith(result.stdout, '\n2 passed, 0 failed\n')
    self.assertEqual(result.returncode, 0)

  @parameterized.parameters((0, 1), (4, 4))
  def test_no_tests_is_a_failure(self, bazel_status, status):
    result = self._run_tests('ERROR: no targets\n', bazel_status, {})
    self.assertEndsWith(result.stdout, '\n0 passed, 0 failed\n')
    self.assertEqual(result.returncode, status)

  def test_names_the_folder_of_real_data(self):
    project = self._project('#!/bin/sh\necho "${TINYGIN_SHARED_DATA-none}"\n')
    self.assertIn('none\n', self._run(project))
    data = project.parent / 'shared/data'
    data.mkdir(parents=True)
    self.assertIn(f'{project}/../shared/data\n', self._run(project))
    self.assertIn('mine\n', self._run(project, TINYGIN_SHARED_DATA='mine'))

  def test_fetches_what_buckets_need_first(self):
    project = self._project('#!/bin/sh\necho "$@" >>"$0.log"\n')
    self._run(project)
    self.assertEqual(
      (project / 'bazelw.log').read_text(),
      'run //tools/clusters:fetch -- buckets\ntest //...\n',
    )

  def _project(self, bazelw: str) -> pathlib.Path:
    """Returns a folder with .ci/run and this bazelw."""
    folder = pathlib.Path(self.create_tempdir().full_path).resolve()
    project = folder / 'project'
    shutil.copytree(_PROJECT / '.ci', project / '.ci')
    (project / 'bazelw').write_text(bazelw)
    (project / 'bazelw').chmod(0o755)
    return project

  def _run(self, project: pathlib.Path, **variables: str) -> str:
    """Runs .ci/run and returns what it prints."""
    inherited = dict(os.environ)
    inherited.pop('TINYGIN_SHARED_DATA', None)
    return subprocess.run(
      [project / '.ci/run'],
      env=inherited | variables,
      stdout=subprocess.PIPE,
      text=True,
      check=False,
    ).stdout

  def _run_tests(
    self, output: str, status: int, reports: dict[str, list[str]]
  ) -> subprocess.CompletedProcess[str]:
    """Runs .ci/run where ./bazelw gives this output, status and reports."""
    project = self._project(
      '#!/bin/sh\n[ "$1" = test ] || exit 1\n'
      f'echo "$@"\ncat <<"END" >&2\n{output}END\nexit {status}\n'
    )
    for target, cases in reports.items():
      folder = project / 'bazel-testlogs' / target
      folder.mkdir(parents=True)
      (folder / 'test.xml').write_text(
        f'<testsuites><testsuite>{"".join(cases)}</testsuite></testsuites>'
      )
    return subprocess.run(
      [project / '.ci/run'],
      stdout=subprocess.PIPE,
      text=True,
      check=False,
    )


if __name__ == '__main__':
  absltest.main()
