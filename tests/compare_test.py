"""Comparing runs by the files in their directories."""

import contextlib
import io
import json
from unittest import mock

import numpy as np
from absl.testing import absltest
from absl.testing import flagsaver
from absl.testing import parameterized
from matplotlib import figure
from PIL import Image

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

  def compare(self, *runs, picture=None):
    output = io.StringIO()
    with (
      flagsaver.flagsaver(picture=picture),
      contextlib.redirect_stdout(output),
    ):
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

  def test_differences_in_provenance_are_shown(self):
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

  @parameterized.parameters(
    ('git', {'commit': 'b', 'diff': ''}, 'git.commit'),
    ('git', {'commit': 'a', 'diff': 'x'}, 'git.diff'),
    ('modules', {'lab': {'sha256': 'b'}}, 'modules.lab.sha256'),
    ('versions', {'keras': '2'}, 'versions.keras'),
    ('python', '3.12', 'python'),
    ('data_set', {'fingerprint': 'b'}, 'data_set.fingerprint'),
    (
      'computation',
      {'processor': 'a', 'environment': {'ONEDNN_MAX_CPU_ISA': 'AVX2'}},
      'computation.environment.ONEDNN_MAX_CPU_ISA',
    ),
  )
  def test_only_runs_that_differ_in_their_seed_alone_are_averaged(
    self, name, value, label
  ):
    start = {
      'git': {'commit': 'a', 'diff': ''},
      'modules': {'lab': {'sha256': 'a'}},
      'versions': {'keras': '1'},
      'python': '3.11',
      'data_set': {'fingerprint': 'a'},
      'devices': ['CPU:0'],
      'computation': {'processor': 'a', 'environment': {}},
    }
    result = {'validation': {'top1': 0.5}}
    hardware = {
      'devices': ['GPU:0'],
      'computation': {
        'processor': 'b',
        'gpus': ['c'],
        'intra_op_threads': 8,
        'environment': {},
      },
    }
    for seed, changes in enumerate(({}, hardware, {name: value})):
      self.run_directory(
        f'run{seed}', f'train.seed = {seed}\n', result, [start | changes]
      )
    self.assertIn('(n = 2)', self.compare('run0', 'run1'))
    self.assertNotIn('mean over seeds', self.compare('run0', 'run2'))
    printed = self.compare('run0', 'run1', 'run2')
    means = printed.partition('mean over seeds')[2]
    self.assertIn('(n = 2)', means)
    self.assertIn(f'{label} = ', means)

  def seeds(self):
    """Makes two runs with one rate and one with another, with metrics."""
    for number, (rate, top1) in enumerate(((1, 0.5), (1, 0.7), (2, 0.25))):
      name = f'runs/{number}'
      self.run_directory(
        name,
        f"LR = {rate}\ntrain.run_dir = '{number}'\ntrain.seed = {number}\n"
        't.rate = %LR\nu.rate = %LR\n',
        {'validation': {'top1': top1, 'loss': 2.0}},
      )
      lines = [
        {'step': step, 'split': split, metric: value * step}
        for step in (1, 2, 3)
        for split, metric, value in (
          ('validation', 'top1', top1 / 3),
          ('train', 'loss', 1.0),
        )
      ]
      text = ''.join(f'{json.dumps(line)}\n' for line in lines)
      self.write(f'{name}/metrics.jsonl', text)
    return [f'runs/{number}' for number in range(3)]

  def test_runs_that_differ_in_their_seed_are_averaged(self):
    self.assertEndsWith(
      self.compare(*self.seeds()),
      """
mean over seeds    validation top-1         validation top-5    validation loss
-----------------  -----------------------  ------------------  -----------------------
t.rate = 1         0.6000 ± 0.1414 (n = 2)  —                   2.0000 ± 0.0000 (n = 2)
t.rate = 2         0.2500 (n = 1)           —                   2.0000 (n = 1)
""",  # noqa: E501
    )

  def test_many_runs_have_a_line_each(self):
    runs = self.seeds() + [
      self.run_directory(f'more/{number}', f't.rate = {number}\n')
      for number in (3, 4, 5)
    ]
    self.assertIn(
      """\
parameter    train.run_dir    train.seed    t.rate    u.rate
-----------  ---------------  ------------  --------  --------
0            '0'              0             1         1
1            '1'              1             1         1
2            '2'              2             2         2
3            —                —             3         —
""",
      self.compare(*runs),
    )

  def test_curves_on_one_picture(self):
    drawn = []
    with mock.patch.object(
      figure.Figure,
      'savefig',
      lambda self, path, **_: drawn.append((self, path)),
    ):
      printed = self.compare(*self.seeds(), picture='curves.png')
    self.assertEndsWith(printed, f'\nCurves  {self.folder}/curves.png\n')
    ((picture, path),) = drawn
    self.assertEqual(path, f'{self.folder}/curves.png')
    left, right = picture.axes
    found = {
      line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
      for line in left.get_lines()
    }
    self.assertEqual([*found], ['t.rate = 1', 't.rate = 2'])
    self.assertEqual(found['t.rate = 1'][0], [1, 2, 3])
    for value, step in zip(found['t.rate = 1'][1], (1, 2, 3), strict=True):
      self.assertAlmostEqual(value, 0.2 * step)
    self.assertEqual(list(right.get_lines()[1].get_ydata()), [1.0, 2.0, 3.0])

  def test_damaged_files_are_named(self):
    for file, fault in (('config.gin', 'b = ('), ('metrics.jsonl', '{bad\n')):
      for seed, run in enumerate(('a', 'b')):
        self.run_directory(run, f'train.seed = {seed}\n')
      self.write(f'b/{file}', fault)
      with self.assertRaisesRegex(config_case.InputError, f'b/{file}'):
        self.compare('a', 'b', picture='curves.png')

  def test_dollar_signs_in_the_legend(self):
    curve = json.dumps({'step': 1, 'split': 'train', 'loss': 1.0})
    for name in ('$_{', 'größe $^'):
      run = self.run_directory(name, f"t.name = 'costs {name} $'\n")
      self.write(f'{run}/metrics.jsonl', f'{curve}\n')
    self.compare('$_{', 'größe $^', picture='curves.png')
    with Image.open(f'{self.folder}/curves.png') as picture:
      self.assertGreater(picture.width, 1000)

  def test_the_differences_in_labels_are_not_cut(self):
    for seed, (run, value) in enumerate((('a', 1), ('b', 2), ('c', 2))):
      lines = [f't.parameter_{each} = {value}.{each}\n' for each in range(30)]
      lines.append(f'train.seed = {seed}\n')
      self.run_directory(run, ''.join(lines))
      curve = json.dumps({'step': 1, 'split': 'train', 'loss': 1.0})
      self.write(f'{run}/metrics.jsonl', f'{curve}\n')
    printed = self.compare('a', 'b', 'c', picture='curves.png')
    means = printed.partition('mean over seeds')[2].partition('\nCurves')[0]
    self.assertIn('t.parameter_29 = 2.29', means)
    self.assertLess(max(map(len, means.splitlines())), 120)
    with Image.open(f'{self.folder}/curves.png') as picture:
      edges = np.asarray(picture.convert('L'))[:, [0, -1]]
    np.testing.assert_array_equal(edges, 255)

  def test_a_picture_that_cannot_be_drawn(self):
    runs = self.seeds()
    for picture, message in (
      (
        'curves.txt',
        r'--picture must be a picture file that can be written, such as '
        r'curves.png. Received: --picture=curves.txt \(.*\).',
      ),
      ('none/curves.png', r'--picture must be .* \(.*No such file.*\).'),
    ):
      with self.assertRaisesRegex(config_case.InputError, f'^{message}$'):
        self.compare(*runs, picture=picture)
    runs = [self.run_directory(name, 't.x = 1\n') for name in 'ab']
    with self.assertRaisesRegex(
      config_case.InputError,
      '^No curves can be drawn: none of the runs has logged metrics.$',
    ):
      self.compare(*runs, picture='curves.png')

  def test_a_name_that_means_another_module_is_a_difference(self):
    for name in ('lab_one', 'lab_two'):
      self.write(f'{name}.py', 'def head(size): return size\n')
      configuration = self.load(
        f'{config_case.COMPLETE}import {name} as lab\n'
        'train.extra = @lab.head()\nlab.head.size = 1\n'
      )
      result = {'validation': {'top1': 0.5}}
      self.run_directory(name, configuration.text(), result)
    printed = self.compare('lab_one', 'lab_two')
    self.assertRegex(printed, r'train\.extra +@lab_one\.head\(\) +@lab_two')
    self.assertNotIn('mean over seeds', printed)

  def test_equal_configurations(self):
    runs = [self.run_directory(name, 't.x = 1\n') for name in 'abc']
    self.assertStartsWith(
      self.compare(*runs), 'The configurations are equal.\n'
    )

  def test_runs_with_the_same_seed_are_one_sample(self):
    result = {'validation': {'top1': 0.5, 'top5': 0.75, 'loss': 1.0}}
    for name, seed in (('a', 0), ('again', 0), ('b', 1)):
      self.run_directory(name, f'train.seed = {seed}\n', result)
    self.assertNotIn('mean over seeds', self.compare('a', 'again'))
    self.assertIn('(n = 2)', self.compare('a', 'again', 'b'))

  def test_wrong_input(self):
    a = self.run_directory('a', 't.x = 1\n')
    b = self.run_directory('b', 't.x = 1\n', '{')
    d = self.run_directory('d', 't.x = 1\n', starts=3)
    self.write('c/other', '')
    for runs, message in (
      ((a,), 'compare takes two or more run directories. Received: a.'),
      ((a, 'bb'), r'No such run: bb\. Did you mean b\?'),
      (
        (a, b),
        r'.*/b/result.json is damaged: '
        r'Expecting property name enclosed in double quotes: line 1 .*',
      ),
      (
        (a, d),
        r'.*/d/provenance.json is damaged: it has no '
        r'list of starts\. .*',
      ),
      (
        (a, 'c'),
        r'.*/c is not the directory of a run: it has no '
        r'config.gin\.',
      ),
      ((a, f'{a}/'), r'compare takes each run once\. Received: .*/a twice\.'),
    ):
      with self.assertRaisesRegex(config_case.InputError, f'^{message}$'):
        self.compare(*runs)


if __name__ == '__main__':
  absltest.main()
