"""The programs as a user calls them: a whole run, and wrong input."""

import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys

from absl.testing import absltest
from PIL import Image

SMALL = [
  '--gin_file=gin/quickstart.gin',
  '--gin_bindings=LEVELS = (1,); WIDTH = 8; EPOCHS = 2; BATCH_SIZE = 16',
  '--gin_bindings=synthetic.train_images = 4; synthetic.validation_images = 2',
  "--gin_bindings=train.log_every = '2 steps'; train.steps_per_loop = 2",
]

# Trains, and gets a signal when the first file of records begins.
STOPPED_WHILE_BUILDING = """
import os, runpy, signal
from tinygin.config import native_output
with native_output.hidden():
  from beam_pipelines import shards

shards.Writer.__call__ = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
runpy.run_module('tinygin.train', run_name='__main__')
"""

# Trains, and gets a signal after the first steps.
STOPPED_WHILE_TRAINING = """
import os, runpy, signal
from tinygin.config import native_output
with native_output.hidden():
  from tinygin.reporting import progress

def stop(*_, **__):
  os.kill(os.getpid(), signal.SIGTERM)

progress.Progress.training = stop
runpy.run_module('tinygin.train', run_name='__main__')
"""


ROOT = pathlib.Path(__file__).parent.parent


def _execute(directory, command):
  path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
  return subprocess.run(
    command,
    cwd=directory,
    env={**os.environ, 'PYTHONPATH': path, 'BUILD_WORKING_DIRECTORY': ''},
    capture_output=True,
    text=True,
  )


def _python(directory, *arguments):
  return _execute(directory, [sys.executable, *arguments])


def _run(directory, module, *arguments):
  return _python(directory, '-m', module, *arguments)


class WholeRunTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.directory = (
      pathlib.Path(absltest.get_default_test_tmpdir()) / 'whole [v2]'
    )
    shutil.rmtree(cls.directory, ignore_errors=True)
    cls.directory.mkdir(parents=True)
    cls.finished = _run(
      cls.directory, 'tinygin.train', *SMALL, "--gin_bindings=RUN_DIR = 'first'"
    )
    cls.run_dir = cls.directory / 'first'

  def _metrics(self, run_dir):
    lines = (run_dir / 'metrics.jsonl').read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    for line in metrics:
      for name in ('images_per_second', 'waiting_for_data'):
        line.pop(name, None)
    return metrics

  def test_ends_with_a_summary(self):
    self.assertEqual(self.finished.returncode, 0, self.finished.stderr)
    result = json.loads((self.run_dir / 'result.json').read_text())
    self.assertEqual(result['step'], 6)
    self.assertEqual(result['validation']['count'], 24)
    lines = self.finished.stdout.strip().splitlines()
    self.assertIn(
      f'Validation top-1 {result["validation"]["top1"]:.4f}, top-5 '
      f'{result["validation"]["top5"]:.4f}, loss '
      f'{result["validation"]["loss"]:.4f} on 24 images after 2.0 epochs.',
      lines,
    )
    self.assertIn(f"Run directory  '{self.run_dir}'", lines)
    self.assertIn(
      'TensorBoard    python -m tinygin.show_tensorboard '
      f"--logdir='{self.directory}'",
      lines,
    )

  def test_logs_every_step_asked_for(self):
    found = [
      (line['split'], line['step']) for line in self._metrics(self.run_dir)
    ]
    self.assertEqual(
      found,
      [
        ('train', 2),
        ('validation', 3),
        ('train', 4),
        ('train', 6),
        ('validation', 6),
      ],
    )

  def test_records_its_provenance(self):
    provenance = json.loads((self.run_dir / 'provenance.json').read_text())
    start = provenance['starts'][0]
    self.assertIn('--gin_file=gin/quickstart.gin', start['command_line'])
    self.assertEqual(start['seed'], 0)
    self.assertIn('tensorflow', start['versions'])
    data_set = pathlib.Path(start['data_set']['directory'])
    metadata = json.loads((data_set / 'metadata.json').read_text())
    self.assertEqual(start['data_set']['fingerprint'], metadata['fingerprint'])

  def test_its_config_alone_repeats_it(self):
    again = _run(
      self.directory,
      'tinygin.train',
      f'--gin_file={self.run_dir}/config.gin',
      "--gin_bindings=RUN_DIR = 'second'",
    )
    self.assertEqual(again.returncode, 0, again.stderr)
    self.assertEqual(
      self._metrics(self.run_dir), self._metrics(self.directory / 'second')
    )

  def test_evaluate_agrees_with_the_trainer(self):
    evaluated = _run(
      self.directory, 'tinygin.evaluate', f'--run_dir={self.run_dir}'
    )
    self.assertEqual(evaluated.returncode, 0, evaluated.stderr)
    result = json.loads((self.run_dir / 'result.json').read_text())
    self.assertEqual(
      json.loads(evaluated.stdout),
      {
        'split': 'validation',
        'step': 6,
        'weights': 'average',
        'average_flips': False,
        'file': str(self.run_dir / 'evaluations/validation-00000006.json'),
        **result['validation'],
      },
    )

  def test_following_a_finished_run_ends(self):
    followed = _run(
      self.directory,
      *('tinygin.evaluate', f'--run_dir={self.run_dir}', '--follow'),
      '--split=train',
    )
    self.assertEqual(followed.returncode, 0, followed.stderr)
    files = (self.run_dir / 'evaluations').glob('train-*.json')
    self.assertEqual(
      sorted(path.name for path in files),
      ['train-00000003.json', 'train-00000006.json'],
    )

  def test_resuming_a_finished_run_by_its_command_says_the_same(self):
    resumed = _run(
      self.directory, 'tinygin.train', *SMALL, f'--resume={self.run_dir}'
    )
    self.assertEqual(resumed.returncode, 0, resumed.stderr)
    start = self.finished.stdout.index('Validation top-1')
    self.assertEndsWith(resumed.stdout, self.finished.stdout[start:])

  def test_a_changed_config_in_the_same_directory_is_refused(self):
    place = f"--gin_bindings=RUN_DIR = '{self.run_dir}'"
    config = f'--gin_file={self.run_dir}/config.gin'
    resumed = _run(self.directory, 'tinygin.train', config, place)
    self.assertEqual(resumed.returncode, 0, resumed.stderr)
    other = _run(self.directory, 'tinygin.train', config, place, '--seed=7')
    self.assertEqual(other.returncode, 2)
    self.assertRegex(other.stderr, r'train\.seed +0 +7')

  def test_resume_refuses_another_config_and_another_directory(self):
    resume = ('tinygin.train', f'--resume={self.run_dir}')
    other = _run(self.directory, *resume, '--gin_file=gin/quickstart.gin')
    self.assertEqual(other.returncode, 2)
    self.assertStartsWith(
      other.stderr,
      f'The run in {self.run_dir} was started with another configuration:\n',
    )
    place = _run(self.directory, *resume, "--gin_bindings=RUN_DIR = 'third'")
    self.assertEqual(
      (place.returncode, place.stderr),
      (
        2,
        f'A resumed run keeps its directory, {self.run_dir}. Remove the '
        'binding of train.run_dir at --gin_bindings[0].\n',
      ),
    )

  def test_a_longer_run_continues_if_changes_are_allowed(self):
    longer = self.directory / 'runs' / 'longer'
    shutil.copytree(self.run_dir, longer)
    before = json.loads((longer / 'provenance.json').read_text())['starts']
    again = ('tinygin.train', '--resume_last', '--epochs=3')
    refused = _run(self.directory, *again)
    self.assertEqual(refused.returncode, 2)
    self.assertIn('--allow_changes', refused.stderr)
    allowed = _run(self.directory, *again, '--allow_changes')
    self.assertEqual(allowed.returncode, 0, allowed.stderr)
    result = json.loads((longer / 'result.json').read_text())
    self.assertEqual(result['step'], 9)
    config = (longer / 'config.gin').read_text()
    self.assertIn('EPOCHS = 3', config)
    self.assertIn('since step 6', config)
    self.assertRegex(config, r'# train\.epochs +2 +3\n')
    provenance = json.loads((longer / 'provenance.json').read_text())
    *earlier, last = provenance['starts']
    self.assertEqual(earlier, before)
    self.assertEqual(last['step'], 6)

  def test_initial_weights_that_do_not_exist(self):
    refused = _run(
      self.directory, 'tinygin.train', *SMALL,
      "--gin_bindings=RUN_DIR = 'other'; train.init_from = 'runs/none'",
    )  # fmt: skip
    self.assertEqual(refused.returncode, 2)
    for part in (
      "train.init_from must be a run's directory, ",
      'Received: runs/none. No such file or folder: runs/none.',
      '\n  train.init_from is bound at --gin_bindings[3].\n',
    ):
      self.assertIn(part, refused.stderr)
    self.assertFalse((self.directory / 'other').exists())

  def test_data_and_runs_that_cannot_be_written(self):
    """Trains on the data set and predicts with the run, both read-only."""
    place = pathlib.Path(self.create_tempdir().full_path)
    Image.new('RGB', (70, 60)).save(place / 'image.png')
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1"'
    prefix = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c',
              f'{mount} && ! touch file 2>&1 && shift && exec "$@"', 'sh',
              self.directory]  # fmt: skip
    if _execute(place, [*prefix, 'true']).returncode:
      self.skipTest('namespaces or mounts are not available')
    python = [*prefix, sys.executable, '-m']
    run_dir = f"--gin_bindings=RUN_DIR = '{place}/run'"
    for command in (
      ['tinygin.train', *SMALL, run_dir],
      ['tinygin.predict', f'--run_dir={self.run_dir}', place / 'image.png'],
    ):
      done = _execute(self.directory, [*python, *command])
      self.assertEqual(done.returncode, 0, done.stderr)

  def test_a_dry_run_keeps_nothing(self):
    before = sorted(self.directory.iterdir())
    dry = _run(
      self.directory,
      'tinygin.train',
      *SMALL,
      "--gin_bindings=RUN_DIR = 'third'",
      '--dry',
    )
    self.assertEqual(dry.returncode, 0, dry.stderr)
    self.assertEqual(sorted(self.directory.iterdir()), before)

  def test_overfitting_says_whether_it_learns_and_keeps_nothing(self):
    before = sorted(self.directory.rglob('*'))
    done = _run(self.directory, 'tinygin.train', *SMALL, '--overfit=8')
    learns = 'The loss goes to zero' in done.stdout
    self.assertEqual(done.returncode, 0 if learns else 1, done.stderr)
    self.assertIn(' on 8 training images after 500 steps.', done.stdout)
    self.assertEqual(sorted(self.directory.rglob('*')), before)

  def test_a_check_is_of_a_new_run(self):
    done = _run(self.directory, 'tinygin.train', '--resume=first', '--check')
    self.assertEqual(done.returncode, 2)
    self.assertIn('--resume and --check cannot be combined.', done.stderr)
    done = _run(self.directory, 'tinygin.train', '--check', '--overfit=8')
    self.assertEqual(done.returncode, 2)
    self.assertIn('--check and --overfit cannot be combined.', done.stderr)

  def test_a_dry_run_that_is_stopped_keeps_nothing(self):
    before = sorted(self.directory.iterdir())
    stopped = _python(
      self.directory, '-c', STOPPED_WHILE_TRAINING, *SMALL, '--dry'
    )
    self.assertEqual(stopped.returncode, 143, stopped.stderr)
    self.assertEndsWith(
      stopped.stderr, '\nStopped by SIGTERM; a dry run saves nothing.\n'
    )
    self.assertEqual(sorted(self.directory.iterdir()), before)


class SeveralMachinesTest(absltest.TestCase):
  def test_the_documented_command_runs_two_workers(self):
    directory = pathlib.Path(self.create_tempdir().full_path)
    page = (ROOT / 'docs/several_machines.md').read_text()
    (script,) = re.findall(r'```shell.*?\n(.*?)```', page, re.S)
    for port in ('7700', '7701'):
      with socket.create_server(('localhost', 0)) as server:
        script = script.replace(port, str(server.getsockname()[1]))
    small = shlex.join(SMALL[1:])
    data = shlex.quote(SMALL[2])
    for target, flags in (
      ('beam_pipelines:build_dataset', data),
      ('tinygin:train', small),
    ):
      old = f'./bazelw run //{target} --'
      self.assertIn(old, script)
      module = target.replace(':', '.')
      script = script.replace(old, f'{sys.executable} -m {module} {flags}')
    finished = _execute(directory, ['bash', '-c', script])
    run_dir = directory / 'runs/two'
    self.assertIn(f'Run directory  {run_dir}\n', finished.stdout)
    self.assertEqual(finished.stdout.count('Run directory'), 1)
    self.assertIn('on 2 replicas', finished.stderr)
    result = json.loads((run_dir / 'result.json').read_text())
    self.assertEqual((result['step'], result['status']), (6, 'completed'))


class WrongInputTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path)

  def _refused(self, module, *arguments):
    refused = _run(self.directory, module, *arguments)
    self.assertEqual(refused.returncode, 2, refused.stderr)
    self.assertEqual(refused.stdout, '')
    self.assertNotIn('Traceback', refused.stderr)
    return refused.stderr.strip()

  def test_a_gin_file_that_does_not_exist(self):
    message = self._refused('tinygin.train', '--gin_file=gin/quickstrat.gin')
    self.assertEqual(
      message,
      'No such file: gin/quickstrat.gin. Did you mean gin/quickstart.gin? '
      'Given by --gin_file=gin/quickstrat.gin.',
    )

  def test_a_missing_archive_leaves_nothing(self):
    message = self._refused(
      'tinygin.train',
      '--gin_file=gin/experiments/mini.gin',
      "--gin_bindings=stanford.source = 'absent.zip'",
    )
    self.assertIn('absent.zip', message)
    self.assertEmpty(
      [path for path in self.directory.rglob('*') if path.is_file()]
    )

  def test_stopped_while_it_builds_the_data_set(self):
    stopped = _python(
      self.directory, '-c', STOPPED_WHILE_BUILDING, *SMALL,
      "--gin_bindings=RUN_DIR = 'run'; dataset.data_dir = 'stopped'",
    )  # fmt: skip
    self.assertEqual(stopped.returncode, 143, stopped.stderr)
    folder = f'{self.directory}/stopped/tiny_imagenet/quickstart'
    self.assertEqual(
      stopped.stderr,
      f'Building {folder}/1.0.0\nStopped by SIGTERM; finished files are kept. '
      'Start again to continue.\n',
    )
    self.assertFalse((self.directory / 'run').exists())

  def test_a_run_directory_that_cannot_be_written(self):
    (self.directory / 'file').write_text('')
    message = self._refused(
      'tinygin.train', *SMALL, "--gin_bindings=RUN_DIR = 'file/run'"
    )
    self.assertStartsWith(message, 'Cannot write to the run directory ')
    self.assertIn(f'{self.directory}/file/run', message)
    self.assertIn('train.run_dir', message)

  def test_a_run_that_does_not_exist(self):
    message = self._refused('tinygin.evaluate', '--run_dir=runs/none')
    self.assertIn('No such run: runs/none.', message)

  def test_one_checkpoint_or_all_are_evaluated(self):
    self.assertEqual(
      self._refused(
        *('tinygin.evaluate', '--run_dir=.', '--follow', '--checkpoint=best')
      ),
      '--checkpoint=best and --follow cannot be combined.',
    )


if __name__ == '__main__':
  absltest.main()
