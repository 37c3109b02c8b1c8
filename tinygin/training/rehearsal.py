"""Tries a run before it starts: what it needs, and whether it can learn."""

import dataclasses
import datetime
import math
import pathlib
import resource
import shutil
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator

import tensorflow as tf

from tinygin.config import errors
from tinygin.config import paths
from tinygin.data import batches
from tinygin.data import source
from tinygin.training import durations
from tinygin.training import evaluation
from tinygin.training import experiment as experiments
from tinygin.training import learner as learners

# Training steps of a check; the first is not timed.
_CHECKED_STEPS = 5
# Length of an overfitting run, and how often it shows the loss.
_OVERFIT_STEPS = 500
_SHOWN_STEPS = 50
# A loss counts as zero below this fraction of the loss of guessing.
_NOTHING = 0.1
_MIB = 2**20


def check(experiment: experiments.Experiment) -> str:
  """Takes five training steps and evaluates one batch.

  Args:
    experiment: the run's configuration.

  Returns:
    The number of parameters, the memory, the speed and the time of the run.

  Raises:
    InputError: the data set is missing, or the disk is too small for the run's
      checkpoints.
    RunError: a device is too small for a batch.
  """
  training, validation = _read(experiment)
  timeline = durations.Timeline(
    training.size, experiment.batch_size, experiment.epochs
  )
  learner = learners.Learner(experiment, timeline, len(training.class_names))
  if experiment.init_from is not None:
    learner.initialize()
  disk = _check_disk(experiment, learner)
  iterator = _batches(experiment, training)
  learner.trace(iterator)
  learner.train(iterator, 1)
  timed = _CHECKED_STEPS - 1
  step = _seconds(lambda: learner.train(iterator, timed)) / timed
  few = validation.first(experiment.evaluation_batch_size)
  evaluate = evaluation.Evaluation(experiment, learner.model, few)
  evaluate()
  image = _seconds(evaluate) / few.size
  steps = timeline.total_steps
  evaluations = -(-steps // timeline.steps(experiment.evaluate_every))
  total = steps * step + evaluations * validation.size * image
  return '\n'.join(
    [
      f'Network      {learner.model.name}, {learner.model.count_params():,} '
      'parameters',
      f'Memory       {_memory()}',
      f'Disk         {disk}',
      f'Speed        {experiment.batch_size / step:,.0f} images/s',
      f'Run          {steps:,} steps of {experiment.batch_size} images and '
      f'{evaluations:,} evaluations of {validation.size:,}: '
      f'about {datetime.timedelta(seconds=round(total))}',
    ]
  )


def overfit(experiment: experiments.Experiment, count: int) -> tuple[str, bool]:
  """Overfits a few images, without augmentation.

  The recipe's schedules are compressed to 500 steps, which have as many epochs
  as the whole run.

  Args:
    experiment: the run's configuration.
    count: number of training images.

  Returns:
    The result in words, and whether the loss goes to zero.

  Raises:
    InputError: the data set is missing.
    RunError: a device is too small for a batch.
  """
  experiment = dataclasses.replace(experiment, augmentation=())
  few = _read(experiment)[0].first(count)
  timeline = _compressed(experiment, few.size)
  learner = learners.Learner(experiment, timeline, len(few.class_names))
  if experiment.init_from is not None:
    learner.initialize()
  evaluate = evaluation.Evaluation(experiment, learner.model, few)
  iterator = _batches(experiment, few)
  for step in range(_SHOWN_STEPS, _OVERFIT_STEPS + 1, _SHOWN_STEPS):
    trained = learner.train(iterator, _SHOWN_STEPS)
    print(f'step {step}  loss {trained.loss:.4f}', file=sys.stderr)
    if trained.steps < _SHOWN_STEPS:
      break
  means = evaluate().metrics()
  guessing = math.log(len(few.class_names))
  learns = means.loss < _NOTHING * guessing
  verdict = (
    'The loss goes to zero: the recipe can learn.'
    if learns
    else 'The loss does not go to zero. Try another learning rate first, '
    'then look at the labels, the preprocessing and the network.'
  )
  return (
    f'Loss {means.loss:.4f} (guessing: {guessing:.4f}), top-1 {means.top1:.4f} '
    f'on {few.size:,} training images after {step:,} steps.\n{verdict}'
  ), learns


def _read(
  experiment: experiments.Experiment,
) -> tuple[source.Split, source.Split]:
  """Returns the training and the validation split."""
  directory = source.prepare(experiment.dataset, may_build=False)
  training, validation = (
    source.read(directory, split, experiment.memory_limit_mib)
    for split in (experiment.train_split, experiment.validation_split)
  )
  evaluation.check_labels(training, 'Training')
  return training, validation


def _batches(
  experiment: experiments.Experiment, split: source.Split
) -> Iterator:
  return iter(
    batches.training(
      split,
      experiment.strategy,
      batch_size=experiment.batch_size,
      first_step=0,
      seed=experiment.seed,
      augmentation=experiment.augmentation,
      preprocessing=experiment.preprocessing,
    )
  )


def _compressed(
  experiment: experiments.Experiment, examples: int
) -> durations.Timeline:
  """Returns a timeline of 500 steps with as many epochs as the run's."""
  epochs = experiment.epochs
  if isinstance(epochs, str):
    return durations.Timeline(
      examples, experiment.batch_size, f'{_OVERFIT_STEPS} steps'
    )
  images = _OVERFIT_STEPS * experiment.batch_size
  return durations.Timeline(
    math.ceil(images / epochs), experiment.batch_size, epochs
  )


def _check_disk(
  experiment: experiments.Experiment, learner: learners.Learner
) -> str:
  """Describes the size of the checkpoints; raises if they do not fit."""
  size = sum(
    variable.numpy().nbytes
    for group in learner.variables().values()
    for variable in group.values()
  )
  # The newest, the best, and one that is being written.
  kept = experiment.keep_checkpoints + 2
  folder = pathlib.Path(paths.resolve(experiment.run_dir))
  while not folder.is_dir():
    folder = folder.parent
  free = shutil.disk_usage(folder).free
  needed = f'{kept} checkpoints of {size / _MIB:,.1f} MiB'
  if kept * size > free:
    raise errors.InputError(
      f'{folder} must have space for {needed}. It has {free / _MIB:,.1f} MiB. '
      'Choose another train.run_dir, or reduce train.keep_checkpoints.'
    )
  return f'at most {needed}; {free / _MIB:,.0f} MiB are free in {folder}'


def _memory() -> str:
  """Returns the most memory that this process and each GPU used."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux.
  parts = [f'{peak / 1024:,.0f} MiB of this process']
  for device in tf.config.list_logical_devices('GPU'):
    peak = tf.config.experimental.get_memory_info(device.name)['peak']
    parts.append(f'{peak / _MIB:,.0f} MiB of {device.name}')
  return ', '.join(parts)


def _seconds(work: Callable[[], object]) -> float:
  start = time.monotonic()
  work()
  return time.monotonic() - start
