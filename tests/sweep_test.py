"""Sweeps: their trials, their messages, and how they are continued."""

import contextlib
import csv
import datetime
import io
import itertools
import json
import multiprocessing
import os
import pathlib
import shlex
import sqlite3
import subprocess
import sys

import optuna
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
from tinygin.sweeps import studies
from tinygin.training import run_directory

_BASE = """
import tests.sweeps.small_experiment
RATE = 0.1
train.run_dir = 'elsewhere'
train.seed = 7
train.rate = %RATE
train.width = 1
train.levels = (1,)
train.mark = 0
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
sweep.devices = None
"""
_SAMPLED = """
sweep.sampler = @optuna.samplers.RandomSampler
sweep.trials = 3
sweep.parameters = {
  'RATE': @optuna.distributions.FloatDistribution(),
  'train.width': @optuna.distributions.IntDistribution(),
}
optuna.distributions.FloatDistribution.low = 0.01
optuna.distributions.FloatDistribution.high = 0.1
optuna.distributions.FloatDistribution.log = True
optuna.distributions.IntDistribution.low = 2
optuna.distributions.IntDistribution.high = 8
optuna.distributions.IntDistribution.step = 2
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
    return self.run_file('changes.gin', **flag_values)

  def run_file(self, name, **flag_values):
    printed, progress = io.StringIO(), io.StringIO()
    with (
      flagsaver.flagsaver(gin_file=[name], **flag_values),
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
  def test_a_grid_is_complete_and_ranked(self):
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

  def test_named_bindings_change_together(self):
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

  def test_equal_values_of_different_types_are_distinct(self):
    self.sweep("sweep.parameters = {'train.mark': [1, 1.0, True]}")
    self.assertEqual(self.column('train.mark'), ['1', '1.0', 'True'])

  def test_more_parallel_runs_than_trials(self):
    self.sweep("""
sweep.parameters = {'RATE': [0.1, 0.2]}
sweep.seeds = [0, 1, 2]
sweep.parallel = 4
""")
    self.assertEqual(self.column('status'), ['completed'] * 2)
    self.assertEqual(self.logs(), 'Trained.\n' * 6)

  def test_runs_at_the_same_time_have_devices_of_their_own(self):
    started, shared = [], []

    class Run(runs.Run):
      def __init__(self, arguments, directory, device):
        running = [each.device for each in started if not each.ended()]
        shared.extend({device} & set(running))
        started.append(self)
        super().__init__(arguments, directory, device)

      def ended(self):
        # However fast the first run is, the second one starts beside it.
        return len(started) > 1 and super().ended()

    with absltest.mock.patch.object(runs, 'Run', Run):
      self.sweep("sweep.parallel = 2\nsweep.devices = ['0', '2,3']")
    self.assertLen(started, 6)
    self.assertEmpty(shared)
    seen = [path.read_text() for path in self.swept.glob('trials/*/device')]
    self.assertCountEqual(seen, [run.device for run in started])
    self.assertEqual({*seen}, {'0', '2,3'})

  def test_each_run_needs_a_device(self):
    with self.assertRaisesRegex(
      InputError, r"devices must .*devices = \['0'\], parallel = 2\."
    ):
      self.sweep("sweep.parallel = 2\nsweep.devices = ['0']")
    self.assertFalse(self.swept.exists())

  def test_any_path(self):
    self.write('base.gin', _BASE)
    for name in ('what?', 'runs [1]', '100%', 'größer#2'):
      with self.subTest(name):
        self.swept = pathlib.Path(self.folder, name)
        printed = self.sweep(f"""
sweep.directory = '{name}'
sweep.parameters = {{'RATE': [0.1, 0.2]}}
sweep.parallel = 2
""")
        trials = shlex.quote(f'{self.swept}/trials')
        self.assertIn(f'--logdir={trials}\n', printed)
        self.assertEqual(self.column('status'), ['completed'] * 2)
        self.assertTrue((self.swept / 'study.db').exists())

  def test_names_with_dollar_signs(self):
    self.sweep(
      """
sweep.parameters = {
  'price': {'a $ b $ {': 'RATE = 0.1', 'größer $': 'RATE = 0.2'},
  'train.width': [1, 2],
}
"""
    )
    self.assertLen([*self.swept.glob('*.png')], 2)
    self.assertIn('größer $', self.column('price'))

  def test_a_picture_that_cannot_be_drawn_is_a_warning(self):
    with (
      absltest.mock.patch.object(
        optuna.visualization.matplotlib,
        'plot_slice',
        side_effect=RuntimeError('no room'),
      ),
      self.assertLogs(level='WARNING') as logged,
    ):
      printed = self.sweep()
    self.assertIn('completed', printed)
    self.assertIn(
      'Skipped the picture slices.png: RuntimeError: no room', logged.output[0]
    )
    pictures = [path.name for path in self.swept.glob('*.png')]
    self.assertEqual(pictures, ['importance.png'])


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
    self.sweep(_SAMPLED.replace('trials = 3', 'trials = 4'))
    self.assertLen(self.rows(), 4)

  def test_bad_trials_are_pruned(self):
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

  def test_a_run_that_ignores_sigterm_is_killed(self):
    self.enter_context(absltest.mock.patch.object(runs, '_STOP_SECONDS', 0.05))
    self.sweep(
      """
include 'pruners/median.gin'
sweep.parameters = {'train.behaviour': ['train', 'ignore SIGTERM']}
optuna.pruners.MedianPruner.n_startup_trials = 1
"""
    )
    self.assertEqual(self.column('status'), ['completed', 'pruned at step 1'])


class SharedTest(SweepCase):
  """Several processes, each with a directory of its own, share a study."""

  shared = "sweep.storage = 'sqlite:///shared.db'\n"

  def together(self, changes, **flag_values):
    """Runs the sweep in two processes that open the study at the same time."""
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(2)
    opened = studies.open_study

    def open_together(*arguments):
      barrier.wait(60)
      study = opened(*arguments)
      barrier.wait(60)
      return study

    self.write('x.gin', _SWEEP)
    for name in ('here', 'there'):
      self.write(
        f'{name}.gin',
        f"include 'x.gin'\n{self.shared}{changes}\nsweep.directory = '{name}'",
      )
    with absltest.mock.patch.object(studies, 'open_study', open_together):
      processes = [
        context.Process(
          target=self.run_file, args=(f'{name}.gin',), kwargs=flag_values
        )
        for name in ('here', 'there')
      ]
      for process in processes:
        process.start()
      for process in processes:
        process.join()
    self.assertEqual([each.exitcode for each in processes], [0, 0])

  def all_logs(self):
    found = pathlib.Path(self.folder).glob('*here/trials/*.log')
    return sorted(f'{path.name}: {path.read_text()}' for path in found)

  def test_each_point_is_run_once(self):
    self.together('sweep.parallel = 2')
    self.assertEqual(
      self.all_logs(), [f'{n:04d}-seed0.log: Trained.\n' for n in range(6)]
    )
    here = pathlib.Path(self.folder, 'here/results.csv').read_text()
    there = pathlib.Path(self.folder, 'there/results.csv').read_text()
    self.assertEqual(here, there)
    self.assertEqual(here.count('completed'), 6)

  def test_a_failed_point_is_rerun_once_with_its_parameters(self):
    changes = (
      f'{_SAMPLED}sweep.gin_bindings = ["train.behaviour = \'fail once\'"]\n'
    )
    self.sweep(f"{self.shared}{changes}\nsweep.directory = 'where'")
    self.swept = pathlib.Path(self.folder, 'where')
    failed = {row['trial']: row['RATE'] for row in self.rows()}
    self.together(changes, rerun_failed=True)
    names = [each.partition(':')[0] for each in self.all_logs()]
    self.assertLen(names, 6)  # Each was run here or there.
    self.assertLen(set(names), 3)
    self.swept = pathlib.Path(self.folder, 'here')
    self.assertEqual({row['trial']: row['RATE'] for row in self.rows()}, failed)

  def test_the_trial_of_a_dead_machine_is_run_again(self):
    taken = []

    def die(dying):
      trial = dying._study.ask()
      studies.suggest(trial, dying._sweep, 0)
      dying._study._storage.record_heartbeat(trial._trial_id)
      taken.append(trial.params)
      raise StoppedError(9, 'the machine is off.')

    with (
      absltest.mock.patch.object(driver.Driver, 'run', die),
      self.assertRaises(StoppedError),
    ):
      self.sweep(f"{_SAMPLED}{self.shared}sweep.directory = 'there'")
    with sqlite3.connect(f'{self.folder}/shared.db') as database:
      database.execute(
        "UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00'"
      )
    database.close()
    self.sweep(f'{_SAMPLED}{self.shared}')
    self.assertEqual(self.column('status'), ['completed'] * 3)
    row = next(row for row in self.rows() if row['trial'] == '0')
    self.assertEqual(float(row['RATE']), taken[0]['RATE'])
    self.assertEqual(int(row['train.width']), taken[0]['train.width'])

  def test_a_superfluous_trial_is_left_out(self):
    study = optuna.create_study()
    for _ in range(3):
      study.ask()
    swept = absltest.mock.Mock(points=[{}] * 2)
    trials = study.trials
    self.assertEqual(studies.point(study, swept, trials[1]), 1)
    self.assertIsNone(studies.point(study, swept, trials[2]))


class StoppedTest(SweepCase):
  stopping = (
    "sweep.parameters = {'train.behaviour': "
    "['train', 'stop the sweep once'], 'RATE': [0.1, 0.2]}"
  )

  def test_continues_where_it_was_stopped(self):
    with self.assertRaises(StoppedError) as caught:
      self.sweep(self.stopping)
    self.assertEqual(caught.exception.exit_status, 143)
    self.assertEqual(
      str(caught.exception),
      'Stopped by SIGTERM; the states of the runs are saved. The same command '
      'continues.',
    )
    self.assertFalse((self.swept / 'trials/0003-seed0').exists())
    with self.assertRaises(StoppedError):  # By the last one.
      self.sweep(self.stopping)
    self.sweep(self.stopping)
    self.assertEqual(self.column('trial'), ['1', '3', '0', '2'])
    self.assertEqual(self.logs('000[01]-seed0'), 'Trained.\nTrained.\n')
    self.assertEqual(self.logs('000[23]-seed0'), 'Continued.\nContinued.\n')

  def test_a_failure_stops_nothing_and_is_rerun_on_request(self):
    changes = "sweep.parameters = {'train.behaviour': ['fail once', 'train']}"
    self.sweep(changes)
    reason = (
      'exit status 1: The disk is full: | /home '
      '(see swept/trials/0000-seed0.log)'
    )
    self.assertEqual(self.column('reason'), ['', reason])
    self.assertIn(f"'fail once': failed, {reason}\n", self.progress)
    self.assertIn(f'\nTrial 0 failed, {reason}\n', self.sweep(changes))
    self.sweep(changes, rerun_failed=True)
    self.assertEqual(self.column('status'), ['completed'] * 2)
    self.assertEndsWith(self.logs('0000-seed0'), 'Continued.\n')

  def test_a_run_without_a_result_fails_alone(self):
    self.sweep(
      "sweep.parameters = {'train.behaviour': ['write no result', 'train']}"
    )
    self.assertEqual(self.column('status'), ['completed', 'failed'])
    self.assertEqual(
      self.column('reason')[1],
      'exit status 0: result.json holds no finite validation top1. '
      '(see swept/trials/0000-seed0.log)',
    )

  def test_continues_after_the_sweep_was_killed(self):
    def die(dying):
      dying._study.ask()
      raise RuntimeError('killed')

    with (
      absltest.mock.patch.object(driver.Driver, 'run', die),
      self.assertRaisesRegex(RuntimeError, 'killed'),
    ):
      self.sweep()
    self.sweep()
    self.assertEqual(self.column('status'), ['completed'] * 6)

  def test_the_reason_of_a_crash_is_its_exception(self):
    self.sweep("sweep.parameters = {'train.behaviour': ['crash']}")
    self.assertEqual(
      self.column('reason'),
      [
        'exit status 1: RuntimeError: A mistake in the program. '
        '(see swept/trials/0000-seed0.log)'
      ],
    )

  def test_a_changed_sweep_is_refused(self):
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

Restore it, or start another sweep with sweep.name and sweep.directory.""",
    )

  def test_a_name_of_another_module_is_another_experiment(self):
    for name in ('lab_a', 'lab_b'):
      self.write(f'{name}.py', 'def width() -> int:\n  return 1\n')
    base = _BASE.replace('width = 1', 'width = @lab.width()')
    self.write('base.gin', f'import lab_a as lab\n{base}')
    self.sweep("sweep.parameters = {'RATE': [0.1]}")
    self.write('base.gin', f'import lab_b as lab\n{base}')
    with self.assertRaisesRegex(
      InputError, r'another experiment:(.|\n)*@lab_a\.width\(\) +@lab_b\.width'
    ):
      self.sweep("sweep.parameters = {'RATE': [0.1]}")

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
        '^The base experiment was edited during the sweep. Restore it, '
        'then start the sweep again to continue.$',
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
      r'Trial 1 failed, exit status 1: The (validation )?loss of step \d+ '
      r'is nan, ',
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
      _SAMPLED.replace('low = 2', 'low = 0'),
      'train.width must be a positive integer. '
      'Received: train.width=0 at changes.gin:5.',
    )

  def test_one_parameter_twice(self):
    self.assert_refused(
      "sweep.parameters = {'RATE': [0.1], 'x': {'y': 'RATE = 1'}}",
      'RATE is bound twice: at changes.gin:2 and at changes.gin:2.',
    )

  def test_the_sweep_itself(self):
    for changes, message in (
      (
        'sweep.parameters = {}',
        'sweep: parameters and each of its lists must not be empty.\n'
        '  sweep.parameters is bound at changes.gin:2.',
      ),
      (
        'sweep.trials = 3',
        "sweep: sampler = 'grid' needs trials = None and parameters without "
        'ranges; another sampler needs a number of trials. Received: trials = '
        '3.\n'
        '  sweep.parameters is bound at x.gin:9.\n'
        '  sweep.sampler is bound at x.gin:13.\n'
        '  sweep.trials is bound at changes.gin:2.',
      ),
      (
        _SAMPLED.replace('@optuna.samplers.RandomSampler', "'grid'").replace(
          '= 3', '= None'
        ),
        "sweep: sampler = 'grid' needs trials = None and parameters without "
        'ranges; another sampler needs a number of trials. Received: trials = '
        'None.\n'
        '  sweep.parameters is bound at changes.gin:5.\n'
        '  sweep.sampler is bound at changes.gin:3.\n'
        '  sweep.trials is bound at changes.gin:4.',
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
      r'/swept is not the directory of a sweep: it has no config.gin.$',
    ):
      self.sweep()


if __name__ == '__main__':
  absltest.main()
