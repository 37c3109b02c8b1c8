"""Several processes give the same results as one, and end together."""

import json
import os
import pathlib
import re
import signal
import socket
import sys
import tempfile
from unittest import mock

import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tests.training import small_experiment
from tinygin.config import errors
from tinygin.reporting import logs
from tinygin.training import learner
from tinygin.training import strategies
from tinygin.training import trainer
from tinygin.training import workers


def _free_addresses(count):
  sockets = [socket.create_server(('localhost', 0)) for _ in range(count)]
  addresses = [f'localhost:{each.getsockname()[1]}' for each in sockets]
  for each in sockets:
    each.close()
  return addresses


def _network():
  """A network without dropout, which each replica draws for itself."""
  return small_experiment.network(dropout=0)


def _train(directory, number, after_loops, **changes):
  """Trains, and sends itself a signal after some calls of the loop."""
  loops = 0
  count = learner.Learner.train

  def counted(each, iterator, steps):
    nonlocal loops
    loops += 1
    trained = count(each, iterator, steps)
    if loops == after_loops:
      os.kill(os.getpid(), number)
    return trained

  with small_experiment.patched():
    mock.patch.object(learner.Learner, 'train', counted).start()
    strategy = strategies.multi_worker()
    experiment = small_experiment.make(
      strategy, model=_network, average_decay=0.9, **changes
    )
    spread = workers.Workers(strategy)
    with spread.reporting_lost_workers():
      spread.check_same(f'seed {experiment.seed}', 'run')
      trainer.train(
        experiment, directory, may_build=False, describe=lambda step: None
      )


def _start(directory, stderr, task, number=0, after_loops=0, **changes):
  """Starts a worker by a fork; TensorFlow is imported here but never runs."""
  child = os.fork()
  if child:
    return child
  status = 1
  try:
    sys.stderr = open(stderr, 'w', buffering=1)  # noqa: SIM115
    os.dup2(sys.stderr.fileno(), 2)
    tempfile.tempdir = f'{stderr}.temporary'
    os.mkdir(tempfile.tempdir)
    if task:
      os.environ['TF_CONFIG'] = json.dumps(task)
    _train(directory, number, after_loops, **changes)
    status = 0
  except errors.InputError as error:
    print(error, file=sys.stderr)
    status = 2
  except errors.RunError as error:
    print(error, file=sys.stderr)
    status = error.exit_status
  finally:
    sys.stderr.flush()
    os._exit(status)


def _wait(child):
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _lines(directory):
  text = (directory / 'metrics.jsonl').read_text()
  return [
    {k: v for k, v in json.loads(line).items() if k not in logs.TIMES}
    for line in text.splitlines()
  ]


class WorkersTest(parameterized.TestCase):
  def _directory(self):
    return pathlib.Path(self.create_tempdir().full_path)

  def _run_two(self, directory, first=None, second=None):
    """Runs two workers; returns their exit statuses and their output."""
    said = self._directory()
    cluster = {'worker': _free_addresses(2)}
    children = [
      _start(
        None if index else directory,
        said / str(index),
        {'cluster': cluster, 'task': {'type': 'worker', 'index': index}},
        **(changes or {}),
      )
      for index, changes in enumerate((first, second))
    ]
    statuses = [_wait(child) for child in children]
    for index in range(2):
      for name in os.listdir(said / f'{index}.temporary'):
        # Written by TensorFlow, and by Python that imports it.
        self.assertRegex(name, r'__(autograph_generated|pycache__)')
    return statuses, [(said / str(index)).read_text() for index in range(2)]

  def test_two_stopped_workers_end_like_one_process(self):
    whole, alone, stopped = (self._directory() for _ in range(3))
    statuses, said = self._run_two(whole)
    self.assertEqual(statuses, [0, 0], said)
    self.assertIn('steps of 8 on 2 replicas', said[0])
    self.assertNotIn('step', said[1])
    self.assertEqual(_wait(_start(alone, alone / 'stderr', None)), 0)
    both, one = _lines(whole), _lines(alone)
    self.assertLen(both, len(one))
    for ours, theirs in zip(both, one, strict=True):
      self.assertEqual(ours['step'], theirs['step'])
      self.assertAlmostEqual(ours['loss'], theirs['loss'], delta=1e-3)

    cut = {'number': signal.SIGKILL, 'after_loops': 5}
    statuses, said = self._run_two(stopped, second=cut)
    self.assertEqual(statuses, [1, -signal.SIGKILL], said)
    self._assert_says_lost(said[0], 0)
    cut = {'number': signal.SIGTERM, 'after_loops': 2}
    statuses, said = self._run_two(stopped, second=cut)
    self.assertEqual(statuses, [143, 143], said)
    self.assertIn('from step 10', said[0])
    self.assertIn(
      'Stopped by SIGTERM; the state is saved. Continue with '
      f'--resume={stopped}.',
      said[0].splitlines(),
    )
    statuses, said = self._run_two(stopped)
    self.assertEqual(statuses, [0, 0], said)
    self.assertEqual(_lines(stopped), both)

  def test_only_the_chief_reads_initial_weights(self):
    trained, directory = self._directory(), self._directory()
    self.assertEqual(_wait(_start(trained, trained / 'stderr', None)), 0)
    first, second = {'init_from': str(trained)}, {'init_from': '/absent'}
    cut = {'number': signal.SIGTERM, 'after_loops': 3}
    statuses, said = self._run_two(directory, first | cut, second)
    self.assertEqual(statuses, [143, 143], said)
    # The chief has a checkpoint now.
    statuses, said = self._run_two(directory, second, second)
    self.assertEqual(statuses, [0, 0], said)

  def test_a_worker_ends_when_the_chief_is_dead(self):
    cut = {'number': signal.SIGKILL, 'after_loops': 2}
    statuses, said = self._run_two(self._directory(), first=cut)
    self.assertEqual(statuses, [-signal.SIGKILL, 1], said)
    self._assert_says_lost(said[1], 1)

  def test_workers_of_different_configurations_are_refused(self):
    statuses, said = self._run_two(self._directory(), second={'seed': 4})
    self.assertEqual(statuses, [2, 2], said)
    for each in said:
      self.assertIn(
        'Some workers have a different configuration from worker 0. Start all '
        'workers with the same gin files and bindings.',
        each.splitlines(),
      )

  def _assert_says_lost(self, said, worker):
    # TensorFlow's threads may write after it.
    self.assertRegex(
      said,
      rf'(?m)^Worker {worker} of 2 lost contact: another worker has ended or '
      r'cannot be reached\. .* start all workers again to continue from the '
      r'last one\. TensorFlow says: .+$',
    )


_GRAPH_ERROR = """Graph execution error:

Detected at node while/Conv2D defined at (most recent call last):
  File "/home/me/disconnected/train.py", line 3, in <module>

{}
\t [[{{{{node while/Conv2D}}}}]] [Op:__inference__train_1]"""


class LostWorkersTest(parameterized.TestCase):
  def _report(self, error):
    spread = workers.Workers(tf.distribute.get_strategy())
    with (
      mock.patch.object(workers.Workers, 'count', 2),
      mock.patch.object(workers.Workers, 'number', 1),
      spread.reporting_lost_workers(),
    ):
      raise error

  @parameterized.parameters(
    (tf.errors.InternalError, 'cuDNN launch failure : input shape ([8,8,8,3])'),
    (tf.errors.InternalError, 'NCCL: unhandled cuda error'),
    (tf.errors.FailedPreconditionError, 'DNN library is not found.'),
    (
      tf.errors.InternalError,
      'Collective ops is aborted by: cuDNN launch failure',
    ),
    (tf.errors.InternalError, _GRAPH_ERROR.format('cuDNN launch failure')),
  )
  def test_errors_of_kernels_are_shown_as_they_are(self, kind, message):
    with self.assertRaisesRegex(kind, re.escape(message)):
      self._report(kind(None, None, message))

  def test_a_lost_worker_is_one_message(self):
    for kind, message in (
      (tf.errors.UnavailableError, 'Connection reset by peer'),
      (tf.errors.InternalError, 'Task 1 heartbeat timeout.'),
    ):
      for text in (message, _GRAPH_ERROR.format(message)):
        with self.assertRaises(errors.RunError) as caught:
          self._report(kind(None, None, text))
        said = str(caught.exception)
        self.assertStartsWith(said, 'Worker 1 of 2 lost contact')
        self.assertEndsWith(said, f'TensorFlow says: {message}')


class ConfigurationTest(parameterized.TestCase):
  @parameterized.parameters(
    '{',
    '{"cluster": {"worker": ["a:1"]}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
  )
  def test_wrong_tf_config(self, text):
    with mock.patch.dict(os.environ, {'TF_CONFIG': text}):
      with self.assertRaises(errors.InputError) as caught:
        strategies.multi_worker()
    self.assertEqual(
      str(caught.exception),
      'TF_CONFIG must be JSON such as {"cluster": {"worker": ["HOST:PORT", '
      '"HOST:PORT"]}, "task": {"type": "worker", "index": 0}}. Received: '
      f'{text}.',
    )


if __name__ == '__main__':
  absltest.main()
