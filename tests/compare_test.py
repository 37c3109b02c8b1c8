"""Comparing runs by what their directories hold."""

import contextlib
import io
import json

from absl.testing import absltest

from tests.config import config_case
from tinygin import compare


class CompareTest(config_case.ConfigCase):
  def run_directory(self, name, text, result=None, starts=None):
    self.write(f'{name}/config.gin', text)
    if result is not None:
      content = result if isinstance(result, str) else json.dumps(result)
      self.write(f'{name}/result.json', content)
    if starts is not None:
      self.write(f'{name}/provenance.json', json.dumps({'starts': starts}))
    return name

  def compare(self, *runs):
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
      compare.main(['compare', *runs])
    return output.getvalue()

  def test_tables(self):
    result = {
      'status': 'completed',
      'step': 300,
      'validation': {'top1': 0.51826, 'top5': 0.762, 'loss': 2.0},
    }
    a = self.run_directory('a', 'LR = 1\nt.rate = %LR\nt.x = 1\n', result)
    b = self.run_directory('b', 't.rate = 2\nt.x = 1\nt.y = [1]\n')
    self.assertEqual(
      self.compare(a, b),
      """\
parameter    a    b
-----------  ---  ---
t.rate       1    2
t.y          —    [1]

result            a          b
----------------  ---------  ----------
status            completed  unfinished
validation top-1  0.5183     —
validation top-5  0.762      —
validation loss   2          —
best top-1        —          —
step              300        —
epochs            —          —
images/s          —          —
seconds           —          —
""",
    )

  def test_what_ran_is_shown_where_it_differs(self):
    start = {
      'command_line': ['train', '--seed=1'],
      'git': {'commit': '0123456789abcdef', 'status': '', 'diff': ''},
      'modules': {'lab': {'file': '/a/lab.py', 'sha256': 'aa', 'text': 'x'}},
      'python': '3.11.7',
      'versions': {'keras': '3.15.1', 'tensorflow': '2.21.0'},
      'devices': ['CPU:0'],
      'data_set': {'directory': '/a/data', 'fingerprint': 'ffffffffffffffff'},
    }
    other = json.loads(json.dumps(start))
    other |= {'step': 7, 'changes': {'t.y': ['1', '2']}}
    other['command_line'] = ['train', '--seed=2']
    other['git']['diff'] = 'a change'
    other['modules']['lab'] |= {'sha256': 'bb', 'text': 'y'}
    other['versions']['keras'] = '3.15.2'
    other['devices'] = ['CPU:0', 'CPU:1']
    other['data_set'] = {'directory': '/b/data', 'fingerprint': '0123'}
    a = self.run_directory('a', 't.x = 1\n', starts=[start])
    b = self.run_directory('b', 't.x = 1\n', starts=[start, other])
    self.assertStartsWith(
      self.compare(a, b),
      """\
The configurations are equal.

provenance            a             b
--------------------  ------------  ------------------------------
git.diff              none          none, then sha256 aeb303f24373
modules.lab.sha256    aa            aa, then bb
versions.keras        3.15.1        3.15.1, then 3.15.2
devices               CPU:0         CPU:0, then CPU:0 CPU:1
data_set.fingerprint  ffffffffffff  ffffffffffff, then 0123
changed at step       —             7

result""",
    )

  def test_equal_configurations(self):
    runs = [self.run_directory(name, 't.x = 1\n') for name in 'abc']
    self.assertStartsWith(
      self.compare(*runs), 'The configurations are equal.\n'
    )

  def test_wrong_input(self):
    a = self.run_directory('a', 't.x = 1\n')
    b = self.run_directory('b', 't.x = 1\n', '{')
    d = self.run_directory('d', 't.x = 1\n', starts=3)
    self.write('c/other', '')
    for runs, message in (
      ((a,), 'compare takes two or more run directories. Received: a.'),
      ((a, 'bb'), r'No such file: bb\. Did you mean b\?'),
      (
        (a, b),
        r'.*/b/result.json must be as a run has written it. Received: '
        r'Expecting property name enclosed in double quotes in line 1\. .*',
      ),
      (
        (a, d),
        r'.*/d/provenance.json must be as a run has written it. Received: no '
        r'list of starts\. .*',
      ),
      (
        (a, 'c'),
        r'.*/c must be the directory of a run. Received: one in which '
        r'config.gin cannot be read \(No such file or directory\).',
      ),
    ):
      with self.assertRaisesRegex(config_case.InputError, f'^{message}$'):
        self.compare(*runs)


if __name__ == '__main__':
  absltest.main()
