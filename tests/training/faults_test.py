"""Cuts runs off, at any point, and starts them again until they end.

However often a run was cut off, its weights, logs and result are those of a run
that was not. `--cuts=200` is the long form.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
from unittest import mock

from absl import app
from absl import flags
from absl.testing import absltest
from absl.testing import parameterized

from tests.training import small_experiment
from tinygin.config import errors
from tinygin.reporting import logs
from tinygin.training import checkpoints
from tinygin.training import evaluation
from tinygin.training import learner
from tinygin.training import plateaus
from tinygin.training import strategies
from tinygin.training import trainer

_FULL_DISK = flags.DEFINE_string(
  'full_disk', None, 'Train in this directory, and fill its disk.'
)
_CUTS = flags.DEFINE_integer(
  'cuts', 4, 'How often runs on one and on two replicas are cut off.'
)

# What a run does that can be cut off: before it, and so after the last.
_POINTS = (
  (learner.Learner, 'train'),
  (logs.Logs, 'write'),
  (logs.Logs, 'flush'),
  (evaluation.Evaluation, '__call__'),
  (checkpoints.Checkpoints, 'save'),
  (pathlib.Path, 'mkdir'),
  (pathlib.Path, 'rename'),
  (pathlib.Path, 'write_bytes'),
  (pathlib.Path, 'write_text'),
  (shutil, 'rmtree'),
)
_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def _train(directory, replicas, cut, number):
  """Trains, and sends itself a signal at the point with the number `cut`."""
  passed = 0

  def counted(function):
    def call(*arguments, **keywords):
      nonlocal passed
      passed += 1
      if passed == cut:
        os.kill(os.getpid(), number)
      return function(*arguments, **keywords)

    return call

  with small_experiment.patched():
    for owner, name in _POINTS:
      mock.patch.object(owner, name, counted(getattr(owner, name))).start()
    trainer.train(
      small_experiment.make(
        strategies.mirrored(logical_cpus=replicas),
        average_decay=0.9,
        reduce_on_plateau=plateaus.ReduceOnPlateau(
          monitor='train_loss',
          factor=0.5,
          patience=1,
          minimum_change=0.2,
          cooldown=0,
          minimum_rate=0.0,
        ),
      ),
      directory,
      may_build=False,
      describe=lambda step: None,
    )
  return passed


def _start(directory, replicas, cut=0, number=signal.SIGKILL):
  """Trains in a process of its own; returns its exit status.

  TensorFlow is imported here but never runs here, so that a fork is safe.
  """
  child = os.fork()
  if not child:
    status = 1
    try:
      passed = _train(directory, replicas, cut, number)
      (directory / 'passed').write_text(str(passed))
      events = small_experiment.events(directory)
      (directory / 'events').write_text(json.dumps(events))
      status = 0
    except errors.StoppedError as interruption:
      status = interruption.exit_status
    finally:
      os._exit(status)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _outcome(directory):
  """Returns all that must not depend on how often the run was cut off."""
  steps = checkpoints.steps(directory / 'checkpoints')
  weights = {
    step: hashlib.sha256(
      (
        directory / f'checkpoints/step-{step:08d}/arrays.safetensors'
      ).read_bytes()
    ).hexdigest()
    for step in steps
  }
  lines = [
    {k: v for k, v in json.loads(line).items() if k not in logs.TIMES}
    for line in (directory / 'metrics.jsonl').read_text().splitlines()
  ]
  result = json.loads((directory / 'result.json').read_text())
  result = {
    name: each
    for name, each in result.items()
    if name not in ('images_per_second', 'seconds')
  }
  left = sorted(path.name for path in (directory / 'checkpoints').iterdir())
  return {
    'weights': weights,
    'lines': lines,
    'events': json.loads((directory / 'events').read_text()),
    'result': result,
    'left': left,
  }


class FaultsTest(parameterized.TestCase):
  def _directory(self):
    return pathlib.Path(self.create_tempdir().full_path)

  @parameterized.parameters(1, 2)
  def test_a_killed_run_ends_like_an_uninterrupted_one(self, replicas):
    whole = self._directory()
    self.assertEqual(_start(whole, replicas), 0)
    points = int((whole / 'passed').read_text())
    expected = _outcome(whole)
    generator = random.Random(0)
    cuts = 0
    while cuts < _CUTS.value:
      directory = self._directory()
      status = None
      while status != 0:
        number = generator.choice(_SIGNALS)
        # What is left of a run passes fewer points; then it ends.
        cut = generator.randint(1, points)
        status = _start(directory, replicas, cut, number)
        # SIGTERM ends a run at once where there is nothing to save.
        self.assertIn(status, (0, 143, *(-each for each in _SIGNALS)), cut)
        cuts += status != 0
      self.assertEqual(_outcome(directory), expected)

  def test_a_full_disk(self):
    directory = self._directory()
    mount = 'mount -t tmpfs -o size=2m none "$1" && shift && exec "$@"'
    command = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c']
    command += [mount, 'sh', str(directory)]
    if subprocess.run([*command, 'true'], capture_output=True).returncode:
      self.skipTest('a small disk cannot be mounted here')
    finished = subprocess.run(
      [*command, sys.executable, __file__, f'--full_disk={directory}'],
      env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
      stdout=subprocess.PIPE,
      text=True,
    )
    first, kept, result = finished.stdout.splitlines()
    self.assertRegex(
      first,
      rf'^Cannot write the checkpoint of step 20 to {directory}/checkpoints: '
      r'.*No space left on device.*\. Earlier checkpoints are intact',
    )
    self.assertEqual(kept, "['step-00000010']")
    self.assertEqual(result, 'completed at step 23')


def _fill_disk(directory):
  """Trains till there is no room for a checkpoint, and again with room."""
  directory = pathlib.Path(directory)
  filler, save = directory / 'filler', checkpoints.Checkpoints.save

  def save_on_a_full_disk(saved, step, *arguments, **keywords):
    if step == 20:
      with contextlib.suppress(OSError), open(filler, 'wb', 0) as file:
        while True:
          file.write(bytes(512))
    save(saved, step, *arguments, **keywords)

  with mock.patch.object(checkpoints.Checkpoints, 'save', save_on_a_full_disk):
    try:
      _train(directory, 1, 0, 0)
    except errors.RunError as error:
      print(str(error).replace('\n', ' '))
  print([path.name for path in (directory / 'checkpoints').iterdir()])
  filler.unlink()
  _train(directory, 1, 0, 0)
  result = json.loads((directory / 'result.json').read_text())
  print(result['status'], 'at step', result['step'])


def main(argv):
  """Tests, or is what a test runs."""
  if _FULL_DISK.value:
    _fill_disk(_FULL_DISK.value)
  else:
    absltest.main(argv=argv)


if __name__ == '__main__':
  app.run(main)
