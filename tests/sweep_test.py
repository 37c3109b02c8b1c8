"""Sweeps: what is run, what is told, what is left when they are stopped."""

import contextlib
import csv
import datetime
import io
import itertools
import json
import os
import pathlib
import subprocess
import sys

from absl.testing import absltest
from absl.testing import flagsaver

from tests.config import config_case
from tinygin import sweep
from tinygin.config import paths
from tinygin.config.errors import InputError
from tinygin.config.errors import RunError
from tinygin.config.errors import StoppedError
from tinygin.sweeps import declaration
from tinygin.sweeps import driver
from tinygin.sweeps import runs
from tinygin.training import run_directory

_BASE = """
import tests.sweeps.small_experiment
RATE = 0.1
train.run_dir = 'elsewhere'
train.seed = 7
train.rate = %RATE
train.width = 1
train.levels = (1,)
train.behaviour = 'train'
"""
_SWEEP = """
import optuna
import tinygin.sweeps.declaration
sweep.name = 'small'
sweep.directory = 'swept'
sweep.storage = None
sweep.gin_files = ['base.gin']
sweep.gin_bindings = []
sweep.parameters = {'RATE': [0.1, 0.2], 'train.width': [1, 2, 3]}
sweep.seeds = [0]
sweep.metric = 'top1'
sweep.direction = 'maximize'
sweep.sampler = 'grid'
sweep.sampler_seed = 0
sweep.trials = None
sweep.pruner = None
sweep.parallel = 1
"""
_SAMPLED = """
sweep.sampler = @optuna.samplers.RandomSampler
sweep.trials = 3
sweep.parameters = {'RATE': @log_uniform(), 'train.width': @uniform_integer()}
log_uniform.low = 0.01
log_uniform.high = 0.1
uniform_integer.low = 2
uniform_integer.high = 8
uniform_integer.step = 2
"""


class SweepCase(config_case.ConfigCase):
  """Runs sweeps in this process, their trials as processes."""

  def setUp(self):
    super().setUp()
    program = f'{paths.project_root()}/tests/sweeps/small_train.py'
    path = os.pathsep.join(sys.path)
    for patch in (
      absltest.mock.patch.object(runs, '_TRAIN', (sys.executable, program)),
      absltest.mock.patch.object(driver, '_POLL_SECONDS', 0.02),
      absltest.mock.patch.dict(os.environ, PYTHONPATH=path),
    ):
      self.enter_context(patch)
    self.write('base.gin', _BASE)
    self.swept = pathlib.Path(self.folder, 'swept')

  def sweep(self, changes='', **flag_values):
    """Returns what is printed; `progress` holds what goes to stderr."""
    self.write('x.gin', _SWEEP)
    self.write('changes.gin', f"include 'x.gin'\n{changes}")
    printed, progress = io.StringIO(), io.StringIO()
    with (
      flagsaver.flagsaver(gin_file=['changes.gin'], **flag_values),
      contextlib.redirect_stdout(printed),
      contextlib.redirect_stderr(progress),
    ):
      try:
        sweep.main([])
      finally:
        self.progress = progress.getvalue()
    return printed.getvalue()

  def rows(self):
    with open(self.swept / 'results.csv', newline='') as file:
      return list(csv.DictReader(file))

  def column(self, name):
    return [row[name] for row in self.rows()]

  def logs(self, name='*'):
    return ''.join(
      path.read_text() for path in sorted(self.swept.glob(f'trials/{name}.log'))
    )


class GridTest(SweepCase):
  def test_is_the_product_and_ranked(self):
    printed = self.sweep('sweep.parallel = 3')
    self.assertStartsWith(
      printed,
      """\
rank    trial    RATE    train.width    top1    status
------  -------  ------  -------------  ------  ---------
1       5        0.2     3              0.6     completed
2       4        0.2     2              0.4     completed
3       2        0.1     3              0.3     completed
4       1        0.1     2              0.2     completed
5       3        0.2     1              0.2     completed
6       0        0.1     1              0.1     completed
""",
    )
    markdown = (self.swept / 'results.md').read_text()
    self.assertIn('| 1      | 5       | 0.2    | 3 ', markdown)
    for picture in ('importance.png', 'slices.png'):
      self.assertIn(f'({picture})', markdown)
      self.assertGreater((self.swept / picture).stat().st_size, 5000)
    self.assertIn(
      'trial 4: RATE = 0.2, train.width = 2: top1 0.4000\n', self.progress
    )

  def test_starting_again_runs_nothing(self):
    first = self.sweep("sweep.parameters = {'RATE': [0.1]}")
    self.assertEmpty([*self.swept.glob('*.png')])  # Nothing has varied.
    self.assertEqual(self.sweep("sweep.parameters = {'RATE': [0.1]}"), first)
    self.assertEqual(self.logs(), 'Trained.\n')

  def test_seeds_are_aggregated(self):
    self.sweep("""
sweep.parameters = {'RATE': [0.1, 0.4]}
sweep.seeds = [1, 3]
sweep.direction = 'minimize'
""")
    self.assertEqual(self.column('trial'), ['0', '1'])
    for found, expected in zip(self.column('top1'), (0.3, 0.6), strict=True):
      self.assertAlmostEqual(float(found), expected)
    for found in self.column('deviation'):
      self.assertAlmostEqual(float(found), 0.1 * 2**0.5)
    for found, expected in zip(self.column('seed 3'), (0.4, 0.7), strict=True):
      self.assertAlmostEqual(float(found), expected)

  def test_what_changes_together(self):
    self.sweep(
      """
sweep.parameters = {
  'network': {
    'small': 'train.width = 1; train.levels = (1,)',
    'large': 'train.width = 4; train.levels = (1, 2, 3)',
  },
}
"""
    )
    self.assertEqual(self.column('network'), ['large', 'small'])
    pictures = [path.name for path in self.swept.glob('*.png')]
    self.assertEqual(pictures, ['slices.png'])
    result = (self.swept / 'trials/0001-seed0/result.json').read_text()
    self.assertEqual(json.loads(result)['validation']['count'], 3)


class SampledTest(SweepCase):
  def test_samples_within_the_ranges(self):
    self.sweep(_SAMPLED)
    self.assertLen(self.rows(), 3)
    for row in self.rows():
      self.assertBetween(float(row['RATE']), 0.01, 0.1)
      self.assertIn(row['train.width'], ('2', '4', '6', '8'))

  def test_more_trials_are_the_same_and_others(self):
    self.sweep(_SAMPLED)
    first = self.column('RATE')
    self.sweep(_SAMPLED.replace('trials = 3', 'trials = 5'))
    self.assertLen(set(self.column('RATE')), 5)
    self.assertContainsSubset(first, self.column('RATE'))
    with self.assertRaisesRegex(
      InputError,
      r'^sweep.trials can only be raised: there are 5 trials. '
      r'Received: sweep.trials=4.$',
    ):
      self.sweep(_SAMPLED.replace('trials = 3', 'trials = 4'))

  def test_two_processes_share_a_study(self):
    storage = f"sweep.storage = 'sqlite:///{self.folder}/shared.db'\n"
    self.sweep(_SAMPLED + storage)
    here = self.rows()
    self.sweep(_SAMPLED + storage + "sweep.directory = 'there'")
    self.swept = pathlib.Path(self.folder, 'there')
    self.assertEqual(self.rows(), here)
    self.assertEqual(self.logs(), '')

  def test_hopeless_trials_are_pruned(self):
    self.sweep(
      """
include 'pruners/median.gin'
sweep.parameters = {
  'train.behaviour': ['train', 'diverge'], 'train.width': [1, 2]
}
sweep.seeds = [0, 1]
optuna.pruners.MedianPruner.n_startup_trials = 1
"""
    )
    self.assertEqual(self.column('trial')[:2], ['1', '0'])
    self.assertEqual(self.column('status')[2:], ['pruned at step 1'] * 2)
    # Judged by the first seed: the second is not run.
    self.assertFalse((self.swept / 'trials/0002-seed1').exists())


class StoppedTest(SweepCase):
  stopping = (
    "sweep.parameters = {'train.behaviour': "
    "['train', 'stop the sweep once'], 'RATE': [0.1, 0.2]}"
  )

  def test_goes_on_where_it_was_stopped(self):
    with self.assertRaises(StoppedError) as caught:
      self.sweep(self.stopping)
    self.assertEqual(caught.exception.exit_status, 143)
    self.assertEqual(
      str(caught.exception),
      'Stopped by SIGTERM; the states of the runs are saved. The same command '
      'goes on.',
    )
    self.assertFalse((self.swept / 'trials/0003-seed0').exists())
    with self.assertRaises(StoppedError):  # By the last one.
      self.sweep(self.stopping)
    self.sweep(self.stopping)
    self.assertEqual(self.column('trial'), ['1', '3', '0', '2'])
    self.assertEqual(self.logs('000[01]-seed0'), 'Trained.\nTrained.\n')
    self.assertEqual(self.logs('000[23]-seed0'), 'Gone on.\nGone on.\n')

  def test_a_failure_stops_nothing_and_is_rerun_on_request(self):
    changes = "sweep.parameters = {'train.behaviour': ['fail once', 'train']}"
    self.sweep(changes)
    reason = (
      'seed 0: exit status 1: The disk is full: | /home '
      '(see swept/trials/0000-seed0.log)'
    )
    self.assertEqual(self.column('reason'), ['', reason])
    self.assertIn(f'fail once: failed, {reason}\n', self.progress)
    self.assertIn(f'\nTrial 0 failed, {reason}\n', self.sweep(changes))
    self.sweep(changes, rerun_failed=True)
    self.assertEqual(self.column('status'), ['completed'] * 2)
    self.assertEndsWith(self.logs('0000-seed0'), 'Gone on.\n')

  def test_a_crash_is_told_by_its_exception(self):
    self.sweep("sweep.parameters = {'train.behaviour': ['crash']}")
    self.assertEqual(
      self.column('reason'),
      [
        'seed 0: exit status 1: RuntimeError: A mistake in the program. '
        '(see swept/trials/0000-seed0.log)'
      ],
    )

  def test_goes_on_only_as_it_was(self):
    self.sweep("sweep.parameters = {'RATE': [0.1]}")
    with self.assertRaises(InputError) as caught:
      self.sweep("sweep.parameters = {'RATE': [0.1, 0.2]}")
    self.assertStartsWith(
      str(caught.exception),
      'The sweep small was started with another configuration:\n\nparameter',
    )
    self.write('base.gin', _BASE.replace('width = 1', 'width = 2'))
    with self.assertRaises(InputError) as caught:
      self.sweep("sweep.parameters = {'RATE': [0.1]}")
    self.assertEqual(
      str(caught.exception),
      """\
The sweep small was started with another experiment:

parameter    saved    now
-----------  -------  -----
train.width  1        2

Go on with it as it was, or start another with sweep.name and \
sweep.directory.""",
    )

  def test_the_base_experiment_may_not_change_meanwhile(self):
    base, calls = declaration.Sweep.base, itertools.count(1)

    def edited_at_the_second_trial(swept):
      if next(calls) == 4:
        self.write('base.gin', _BASE.replace('width = 1', 'width = 2'))
      return base(swept)

    with (
      absltest.mock.patch.object(
        declaration.Sweep, 'base', edited_at_the_second_trial
      ),
      self.assertRaisesRegex(
        RunError,
        '^The base experiment was edited while the sweep went on. Put it '
        'back, and start the sweep again to go on.$',
      ),
    ):
      self.sweep("sweep.parameters = {'RATE': [0.1, 0.2]}")
    self.write('base.gin', _BASE)
    self.sweep("sweep.parameters = {'RATE': [0.1, 0.2]}")
    self.assertEqual(self.logs(), 'Trained.\nTrained.\n')

  def test_one_sweep_in_a_directory(self):
    with run_directory.locked(str(self.swept), datetime.datetime.now()):
      (self.swept / 'config.gin').touch()
      self.assert_refused(
        '',
        f'Another process is using the sweep directory {self.swept}. Wait '
        'until it ends, or choose another directory with sweep.directory.',
      )

  def assert_refused(self, changes, message):
    with self.assertRaises(InputError) as caught:
      self.sweep(changes)
    self.assertEqual(str(caught.exception), message)


class RealTest(config_case.ConfigCase):
  def test_trains(self):
    status = _run_program(
      self.folder,
      '--gin_file=gin/sweeps/quickstart.gin',
      "--gin_bindings=sweep.parameters = {'LEARNING_RATE': [0.01, 1e9]}",
      '--gin_bindings=sweep.gin_bindings = ["LEVELS = (1,); WIDTH = 8; '
      'BATCH_SIZE = 16; EPOCHS = 2; synthetic.train_images = 4; '
      'synthetic.validation_images = 2"]',
    )
    self.assertEqual(status.returncode, 0, status.stderr)
    self.assertRegex(status.stdout, r'1 +0 +0.01 +[\d.]+ +completed\n')
    self.assertRegex(
      status.stdout,
      r'Trial 1 failed, seed 0: exit status 1: The (validation )?loss must '
      r'be finite\. Received: nan in step ',
    )


def _run_program(folder, *arguments):
  return subprocess.run(
    [sys.executable, '-m', 'tinygin.sweep', *arguments],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    capture_output=True,
    text=True,
  )


class WrongInputTest(SweepCase):
  def assert_refused(self, changes, *lines):
    with self.assertRaises(InputError) as caught:
      self.sweep(changes)
    self.assertEqual(str(caught.exception), '\n'.join(lines))
    self.assertFalse(self.swept.exists())

  def test_any_trial_s_parameters(self):
    self.assert_refused(
      """
sweep.gin_bindings = ['train.wdith = 1']
sweep.parameters = {
  'RATES': [0.1],
  'RATE': [0.1, -1],
  'network': {'small': 'train.width = 0', 'wrong': 'train.width = wide'},
}
""",
      'changes.gin:4 has no effect: nothing uses macro RATES. '
      'Did you mean RATE?',
      'Unknown parameter train.wdith at changes.gin:3. '
      'Did you mean train.width?',
      'train.width must be a positive integer. '
      'Received: train.width=0 at changes.gin:4.',
      'train.width = wide at changes.gin:4: a string needs quotes: '
      "train.width = 'wide'",
      'train.rate must be a positive number. '
      'Received: train.rate=-1 at changes.gin:4 '
      '(RATE).',
    )

  def test_ends_of_ranges(self):
    self.assert_refused(
      _SAMPLED.replace('r.low = 2', 'r.low = 0'),
      'train.width must be a positive integer. '
      'Received: train.width=0 at changes.gin:5.',
    )

  def test_what_is_swept_twice(self):
    self.assert_refused(
      "sweep.parameters = {'RATE': [0.1], 'x': {'y': 'RATE = 1'}}",
      'RATE is bound twice: at changes.gin:2 and at changes.gin:2.',
    )

  def test_the_sweep_itself(self):
    for changes, message in (
      (
        'sweep.parameters = {}',
        'sweep: parameters must hold a value for each of one or more.\n'
        '  sweep.parameters is bound at changes.gin:2.',
      ),
      (
        'sweep.trials = 3',
        "sweep: trials must be None for sampler = 'grid', and a positive "
        'integer for others. Received: trials=3.\n'
        '  sweep.sampler is bound at x.gin:13.\n'
        '  sweep.trials is bound at changes.gin:2.',
      ),
      (
        _SAMPLED.replace('@optuna.samplers.RandomSampler', "'grid'").replace(
          '= 3', '= None'
        ),
        "sweep: parameters must be lists for sampler = 'grid'. Received: a "
        'range for RATE.\n'
        '  sweep.parameters is bound at changes.gin:5.\n'
        '  sweep.sampler is bound at changes.gin:3.',
      ),
      (
        "sweep.metric = 'accuracy'",
        "sweep.metric must be one of 'top1', 'top5', 'loss'. Received: "
        "sweep.metric='accuracy' at changes.gin:2.",
      ),
    ):
      with self.subTest(changes):
        self.assert_refused(changes, message)

  def test_a_storage_that_cannot_be_opened(self):
    with self.assertRaisesRegex(
      InputError,
      r'^sweep.storage must be the URL of an Optuna storage. Received: '
      r"sweep.storage='nowhere' \(.*\).$",
    ):
      self.sweep("sweep.storage = 'nowhere'")
    self.assertFalse(self.swept.exists())

  def test_a_directory_of_something_else(self):
    self.write('swept/notes.txt', 'mine')
    with self.assertRaisesRegex(
      InputError,
      r'/swept must be the directory of a sweep. Received: one without '
      r'config.gin.$',
    ):
      self.sweep()


if __name__ == '__main__':
  absltest.main()
