#!/usr/bin/env python3
"""Runs all tests and prints how many cases passed in the last line.

Targets and their outcomes come from Bazel's summary, and cases from the
test.xml of each target. A target that fails without a failed case, for example
because it does not build or times out, counts as one failed case.

Exit status: 0 when tests ran and none failed; otherwise Bazel's own, or 1.
"""

import collections
import pathlib
import re
import subprocess
import sys
from xml.etree import ElementTree

PROJECT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = ['./bazelw', 'test', '//...']

# '//tests:paths_test      (cached) PASSED in 0.5s'
_SUMMARY_LINE = re.compile(
  r'(?P<target>//\S+)\s+(\(cached\) )?'
  r'(?P<status>PASSED|FLAKY|FAILED TO BUILD|FAILED|TIMEOUT|NO STATUS)\b'
)


def main() -> int:
  """Runs the tests and returns the exit status."""
  outcomes, status = run_bazel()
  counts = collections.Counter()
  for target, outcome in outcomes.items():
    counts += count_cases(target, outcome)
  summary = f'{counts["passed"]} passed, {counts["failed"]} failed'
  if counts['skipped']:
    summary += f', {counts["skipped"]} skipped'
  print(summary, flush=True)
  if counts['failed'] or not counts['passed']:
    return status or 1
  return status


def run_bazel() -> tuple[dict[str, str], int]:
  """Runs Bazel and prints its output.

  Returns:
    The outcome of each target and Bazel's exit status.
  """
  outcomes = {}
  with subprocess.Popen(
    COMMAND,
    cwd=PROJECT,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    encoding='utf-8',
    errors='replace',
  ) as bazel:
    for line in bazel.stdout:
      print(line, end='', flush=True)
      if match := _SUMMARY_LINE.match(line):
        outcomes[match['target']] = match['status']
  return outcomes, bazel.returncode


def count_cases(target: str, outcome: str) -> collections.Counter:
  """Returns the numbers of passed, failed and skipped cases of a target."""
  counts = collections.Counter()
  if outcome in ('PASSED', 'FLAKY', 'FAILED'):
    folder = target.replace(':', '/').strip('/')
    for report in (PROJECT / 'bazel-testlogs' / folder).rglob('test.xml'):
      for case in ElementTree.parse(report).iter('testcase'):
        counts[_case_outcome(case)] += 1
  if outcome not in ('PASSED', 'FLAKY') and not counts['failed']:
    counts['failed'] = 1
  return counts


def _case_outcome(case: ElementTree.Element) -> str:
  if case.find('failure') is not None or case.find('error') is not None:
    return 'failed'
  if case.find('skipped') is not None or case.get('status') == 'notrun':
    return 'skipped'
  return 'passed'


if __name__ == '__main__':
  sys.exit(main())
