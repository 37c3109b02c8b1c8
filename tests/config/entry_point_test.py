"""Runs a program and checks its flags, exit statuses and output."""

import json
import os
import signal
import subprocess
import sys
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tinygin.config import entry_point
from tinygin.config import paths

_TEXT = COMPLETE.replace(
  'train.epochs = 3', 'EPOCHS = 3\ntrain.epochs = %EPOCHS'
)


class EntryPointTest(config_case.ConfigCase):
  def setUp(self):
    super().setUp()
    # Shells make background programs ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)

  def run_program(self, *arguments, text=_TEXT):
    """Returns exit status, stdout and stderr."""
    self.write('x.gin', text)
    done = subprocess.run(
      [
        sys.executable,
        os.path.join(paths.project_root(), 'tests/config/small_program.py'),
        *arguments,
      ],
      cwd=self.folder,
      env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
      capture_output=True,
      text=True,
    )
    return done.returncode, done.stdout, done.stderr

  def test_runs(self):
    outcome = self.run_program('--gin_file=x.gin')
    self.assertEqual(outcome, (0, '3 None\n', ''))

  def test_exit_status_of_the_program(self):
    status, _, _ = self.run_program(
      '--gin_file=x.gin', '--gin_bindings=train.count = 7'
    )
    self.assertEqual(status, 7)

  def test_wrong_configuration(self):
    outcome = self.run_program(
      '--gin_file=x.gin', '--gin_bindings=train.epochs = 0'
    )
    message = (
      'train.epochs must be a positive integer. '
      'Received: train.epochs=0 at --gin_bindings[0].\n'
    )
    self.assertEqual(outcome, (2, '', message))

  def test_failure_of_the_program_keeps_its_traceback(self):
    status, _, stderr = self.run_program(
      '--gin_file=x.gin', "--gin_bindings=train.label = 'fail'"
    )
    self.assertEqual(status, 1)
    self.assertIn('Traceback', stderr)

  def test_failure_of_a_component_is_named_before_its_traceback(self):
    bindings = '--gin_bindings=train.scale = @scale; scale.factor = 0'
    status, _, stderr = self.run_program('--gin_file=x.gin', bindings)
    self.assertEqual(status, 1)
    lines = stderr.splitlines()
    self.assertEqual(
      lines[0], 'scale failed: ValueError: The factor must not be zero.'
    )
    self.assertStartsWith(lines[1], 'Traceback')
    self.assertIn('small_components.py', stderr)

  def test_signals_end_it_with_one_line(self):
    for name, status in (('SIGINT', 130), ('SIGTERM', 143)):
      outcome = self.run_program(
        '--gin_file=x.gin', f"--gin_bindings=train.label = '{name}'"
      )
      self.assertEqual(
        outcome, (status, f'3 {name}\n', f'Stopped by {name}.\n')
      )

  def test_no_configuration(self):
    outcome = self.run_program()
    status, output, message = outcome
    self.assertEqual((status, output), (2, ''))
    self.assertStartsWith(message, 'No configuration is given.')
    self.assertIn('--gin_file=gin/quickstart.gin', message)
    self.assertIn('--gin_file=gin/sweeps/quickstart.gin', message)
    self.assertEqual(self.run_program('--epochs=3'), outcome)

  def test_a_wrong_boolean(self):
    outcome = self.run_program('--logtostderr=maybe')
    message = (
      '--logtostderr must be true or false. Received: --logtostderr=maybe. '
      '--help lists the flags.\n'
    )
    self.assertEqual(outcome, (2, '', message))

  def test_missing_file(self):
    outcome = self.run_program('--gin_file=y.gin')
    message = (
      'No such file: y.gin. Did you mean x.gin? Given by --gin_file=y.gin.\n'
    )
    self.assertEqual(outcome, (2, '', message))

  def test_wrong_flag(self):
    outcome = self.run_program('--gin_fiel=x.gin')
    message = (
      'Unknown flag --gin_fiel. Did you mean --gin_file? '
      '--help lists the flags.\n'
    )
    self.assertEqual(outcome, (2, '', message))

  def test_only_flags_of_the_program_are_suggested(self):
    outcome = self.run_program('--logtostder')
    message = 'Unknown flag --logtostder. --help lists the flags.\n'
    self.assertEqual(outcome, (2, '', message))
    _, _, message = self.run_program('--verbosty=1')
    self.assertIn('Did you mean --verbosity?', message)

  def test_a_warning_has_no_prefix_but_its_level(self):
    outcome = self.run_program(
      '--gin_file=x.gin', "--gin_bindings=train.label = 'warn'"
    )
    message = 'Warning: Something of warn is missing.\n'
    self.assertEqual(outcome, (0, '3 warn\n', message))

  def test_commands_are_shown_as_the_program_was_started(self):
    given = (
      'Run ./bazelw run //tinygin:tensorboard -- --logdir=a\n'
      'or ./bazelw run //beam_pipelines:build_dataset -- --x.'
    )
    self.assertEqual(entry_point.as_started(given), given)  # By Bazel.
    with mock.patch.dict(os.environ, BUILD_WORKING_DIRECTORY=''):
      self.assertEqual(
        entry_point.as_started(given),
        'Run python -m tinygin.show_tensorboard --logdir=a\n'
        'or python -m beam_pipelines.build_dataset --x.',
      )
      with mock.patch.object(paths, 'is_installed', lambda: True):
        self.assertEqual(
          entry_point.as_started(given),
          'Run tinygin tensorboard --logdir=a\nor tinygin build --x.',
        )
      _, stdout, _ = self.run_program('--help')
    self.assertIn('\npython -m tests.config.small_program --gin_file', stdout)

  def test_arguments_other_than_flags(self):
    outcome = self.run_program('--gin_file=x.gin', 'EPOCHS=3')
    message = (
      'Arguments must be flags. Received: EPOCHS=3. --help lists the flags.\n'
    )
    self.assertEqual(outcome, (2, '', message))

  def test_help(self):
    for flag in ('--help', '--helpfull'):
      status, stdout, stderr = self.run_program(flag)
      self.assertEqual((status, stderr), (0, ''))
      for name in ('--gin_file', '--gin_bindings', '--levels', '--epochs'):
        self.assertIn(name, stdout)

  def test_macro_flags(self):
    text = _TEXT.replace('(1, 2)', '%LEVELS')
    status, stdout, _ = self.run_program(
      '--gin_file=x.gin', '--levels=3,5,7', '--lr=1', '--epochs', '9',
      '--print_config', text=text,
    )  # fmt: skip
    self.assertEqual(status, 0)
    self.assertIn('Network.levels = (3, 5, 7)   --levels (LEVELS)', stdout)
    self.assertIn('train.rate = 1               --lr (LEARNING_RATE)', stdout)
    self.assertIn('train.epochs = 9             --epochs (EPOCHS)', stdout)

  @parameterized.parameters(
    (
      '--lr=nan',
      '--lr must be a number, or numbers separated by commas, such as 3,5,7. '
      'Received: --lr=nan.',
    ),
    ('--number=a:b', '--number must be an integer. Received: --number=a:b.'),
    ('--kind=c', '--kind must be one of a, b. Received: --kind=c.'),
    ('--gin_file', 'Missing value for flag --gin_file.'),
    ('--lr=1 --lr=2', '--lr is given twice: use it once.'),
  )
  def test_wrong_value_of_a_flag(self, given, message):
    outcome = self.run_program('--gin_file=x.gin', *given.split())
    message += ' --help lists the flags.\n'
    self.assertEqual(outcome, (2, '', message))

  @parameterized.parameters(
    ('--epochs=3.5', 'positive integer', 'epochs=3.5 at --epochs'),
    ('--epochs=3,4', 'Syntax error at --epochs', 'EPOCHS = 3,4'),
    ('--epochs=3e', 'Syntax error at --epochs', 'EPOCHS = 3e'),
  )
  def test_a_macro_flag_that_does_not_fit(self, given, *parts):
    status, _, stderr = self.run_program('--gin_file=x.gin', given)
    self.assertEqual(status, 2)
    for part in parts:
      self.assertIn(part, stderr)

  def test_print_config_as_json(self):
    status, stdout, _ = self.run_program(
      '--gin_file=x.gin', '--print_config=json'
    )
    self.assertEqual(status, 0)
    self.assertEqual(json.loads(stdout)[0]['component'], 'train')

  def test_print_config_in_another_format(self):
    outcome = self.run_program('--gin_file=x.gin', '--print_config=yaml')
    message = (
      '--print_config must be one of true, json. Received: '
      '--print_config=yaml. --help lists the flags.\n'
    )
    self.assertEqual(outcome, (2, '', message))


if __name__ == '__main__':
  absltest.main()
