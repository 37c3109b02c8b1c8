"""Times what a run costs besides its training steps.

  python -m benchmarks.overhead

Takes turns in one run, so that a busy moment of the machine affects all of
these, and prints medians:

  steps        time of a run's steps (with input, logging and calls from the
               host, without evaluations and checkpoints), relative to a bare
               loop of the same step on random tensors
  checkpoint   seconds for saving the network, its optimizer and the state
  first step   time from the command to the end of the first step, relative to
               importing TensorFlow and tracing and running that step

Data, optimizer and augmentation are those of the quickstart, the network is the
default residual network. Builds the data set if it is missing.
"""

import tinygin.config.environment  # noqa: F401  Before TensorFlow.

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Iterator
from unittest import mock

import tabulate
import tensorflow as tf
from absl import app
from absl import flags

from tinygin.config import loading
from tinygin.data import source
from tinygin.training import checkpoints
from tinygin.training import durations
from tinygin.training import experiment as experiments
from tinygin.training import learner as learners
from tinygin.training import state as states
from tinygin.training import trainer

_ROUNDS = flags.DEFINE_integer('rounds', 7, 'Rounds that are timed.')
_LOOPS = flags.DEFINE_integer('loops', 3, 'Calls of 10 steps in a round.')

_GIN_FILES = ['gin/quickstart.gin', 'gin/models/residual.gin']
_LOOP_STEPS = 10
_BATCHES = 16
_LIMITS = (1.03, 0.3, 1.3)

# Trains until the first step and prints its time and the time it needs.
_FIRST_STEP = """
import json, os, sys, time
command = float(sys.argv.pop(1))
start = time.time()
import tensorflow
imported = time.time() - start
from tinygin import train
from tinygin.config import entry_point
from tinygin.training import learner as learners

take = learners.Learner.train

def timed(learner, iterator, steps):
  start = time.time()
  take(learner, iterator, steps)
  end = time.time()
  needed = imported + traced + end - start
  print(json.dumps([end - command, needed]), flush=True)
  os._exit(0)

trace = learners.Learner.trace

def timed_trace(learner, iterator):
  global traced
  start = time.time()
  trace(learner, iterator)
  traced = time.time() - start

learners.Learner.trace = timed_trace
learners.Learner.train = timed
entry_point.run(train.main)
"""


class _EnoughError(Exception):
  """Raised when enough rounds are timed."""


def main(argv: list[str]) -> None:
  """Runs the rounds and prints the table."""
  del argv
  configuration = loading.load(
    _GIN_FILES,
    [
      "EPOCHS = 1000; train.evaluate_every = '1000 epochs'",
      "train.save_every = '1000 epochs'",
      f"train.log_every = '{_LOOP_STEPS} steps'",
      f'train.steps_per_loop = {_LOOP_STEPS}',
    ],
    root='train',
  )
  experiment = configuration.build()
  source.prepare(experiment.dataset, may_build=True)
  timeline = durations.Timeline(
    experiment.batch_size, experiment.batch_size, experiment.epochs
  )
  learner = learners.Learner(experiment, timeline, experiment.dataset.classes)
  ratios = {
    'steps': _steps(experiment, _bare_loop(experiment, learner)),
    'checkpoint, s': _checkpoint(learner),
    'first step': [_first_step() for _ in range(_ROUNDS.value)],
  }
  rows = [
    (name, statistics.median(each), min(each), max(each), limit)
    for (name, each), limit in zip(ratios.items(), _LIMITS, strict=True)
  ]
  print(
    f'{" ".join(_GIN_FILES)}, batch {experiment.batch_size}, '
    f'{_ROUNDS.value} rounds of {_LOOPS.value * _LOOP_STEPS} steps'
  )
  header = ('', 'median', 'least', 'most', 'limit')
  print(tabulate.tabulate(rows, header, floatfmt='.3f'))


def _bare_loop(
  experiment: experiments.Experiment, learner: learners.Learner
) -> Callable[[], float]:
  """Returns a function that runs a round of steps and returns its seconds."""
  model = learner.model
  shape = (experiment.batch_size, *model.input_shape[1:])
  classes = model.output_shape[-1]
  labels = tf.random.stateless_uniform(
    (_BATCHES, shape[0]), (0, 1), maxval=classes, dtype=tf.int32
  )
  # With a single batch the network would fit it perfectly, and processors are
  # slow with the denormal numbers of such gradients.
  batches = (
    tf.random.stateless_normal((_BATCHES, *shape), (0, 0)),
    tf.one_hot(labels, classes),
  )
  iterator = iter(tf.data.Dataset.from_tensor_slices(batches).repeat())
  train = learner.train  # `_steps` replaces the method.

  def timed() -> float:
    start = time.perf_counter()
    train(iterator, _LOOPS.value * _LOOP_STEPS)
    return time.perf_counter() - start

  return timed


def _steps(
  experiment: experiments.Experiment, bare: Callable[[], float]
) -> list[float]:
  """Returns the time of a run's rounds relative to the bare loop."""
  ratios: list[float] = []
  loops, started = 0, 0.0
  train = learners.Learner.train

  def counted(
    learner: learners.Learner, iterator: Iterator, steps: int
  ) -> learners.Trained:
    nonlocal loops, started
    trained = train(learner, iterator, steps)
    loops += 1
    if loops % _LOOPS.value:
      return trained
    seconds = time.perf_counter() - started
    ratios.append(seconds / bare())
    if len(ratios) > _ROUNDS.value:
      raise _EnoughError
    started = time.perf_counter()
    return trained

  with (
    tempfile.TemporaryDirectory() as directory,
    mock.patch.object(learners.Learner, 'train', counted),
    contextlib.suppress(_EnoughError),
  ):
    trainer.train(experiment, pathlib.Path(directory), False, lambda step: None)
  return ratios[1:]  # The first round traces.


def _checkpoint(learner: learners.Learner) -> list[float]:
  """Returns the seconds of each save."""
  seconds = []
  with tempfile.TemporaryDirectory() as directory:
    saved = checkpoints.Checkpoints(directory, learner.variables())
    for step in range(1 + _ROUNDS.value):
      start = time.perf_counter()
      state = dataclasses.asdict(states.State(step=step))
      saved.save(step, state, keep=2, best_step=0)
      seconds.append(time.perf_counter() - start)
  return seconds[1:]  # The first fills the caches.


def _first_step() -> float:
  """Returns the time to the first step relative to the time it needs."""
  command = [sys.executable, '-c', _FIRST_STEP, str(time.time())]
  output = subprocess.run(
    [*command, *(f'--gin_file={file}' for file in _GIN_FILES), '--dry'],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    check=True,
  ).stdout
  taken, needed = json.loads(output.splitlines()[-1])
  return taken / needed


if __name__ == '__main__':
  app.run(main)
