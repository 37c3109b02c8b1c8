"""Evaluation of every example of a split, each exactly once."""

import dataclasses
import pathlib
import shlex
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from tinygin.config import errors
from tinygin.data import batches
from tinygin.data import records
from tinygin.data import source
from tinygin.reporting import confusion
from tinygin.training import checkpoints
from tinygin.training import experiment as experiments
from tinygin.training import memory
from tinygin.training import metrics
from tinygin.training import prediction
from tinygin.training import run_directory

_POLL_SECONDS = 2.0


class RunEvaluation:
  """Evaluates checkpoints of a run, which may still be training."""

  def __init__(
    self,
    experiment: experiments.Experiment,
    directory: pathlib.Path,
    split: str,
    *,
    weights: checkpoints.Weights,
    average_flips: bool,
  ):
    """Builds the network and reads the examples.

    Args:
      experiment: the run's configuration.
      directory: the run's directory.
      split: a TFDS split.
      weights: `average` for the averaged weights, if the run averages them;
        `raw` for those of the step itself.
      average_flips: whether to average the probabilities of each image and its
        mirror image.

    Raises:
      InputError: the split does not exist, or has unlabeled examples.
    """
    self._model = experiment.build_model()
    self._directory = directory
    data_directory = source.prepare(experiment.dataset, may_build=True)
    self._split = source.read(
      data_directory, split, experiment.memory_limit_mib
    )
    self._options = {'weights': weights, 'average_flips': average_flips}
    self._suffix = '-raw' * (weights == 'raw') + '-flips' * average_flips
    self._evaluate = Evaluation(
      experiment, self._model, self._split, average_flips
    )

  def evaluate(self, checkpoint: str) -> dict[str, Any]:
    """Evaluates a checkpoint; writes a JSON file and a picture.

    Args:
      checkpoint: `best`, `latest` or the number of a step.

    Returns:
      Split, step, options, metrics and the path of the JSON file (None if it
      cannot be written), which also holds the top-1 of each class and the
      confusion matrix (rows: true class).

    Raises:
      InputError: the checkpoint does not exist, does not fit the network, or is
        damaged.
      RunError: the device runs out of memory, or data files cannot be read.
    """
    step = prediction.restore(
      self._model, self._directory, checkpoint, self._options['weights']
    )
    outcome = self._evaluate()
    summary = {
      'split': self._split.name,
      'step': step,
      **self._options,
      'file': str(self._file(step)),
      **outcome.metrics().as_dict(),
    }
    try:
      self._write(step, outcome, summary)
    except errors.RunError as error:  # Such as a read-only folder.
      logging.warning('The evaluation is printed but not saved. %s', error)
      summary['file'] = None
    return summary

  def follow(self) -> Iterator[dict[str, Any]]:
    """Evaluates every checkpoint not yet evaluated, until the run has ended.

    A checkpoint that the run removes before its evaluation is skipped.

    Yields:
      The same as `evaluate` returns.

    Raises:
      RunError: the run has not ended, but no process is training it.
    """
    saved = self._directory / run_directory.CHECKPOINTS
    done: set[int] = set()  # Files may be missing if the folder is read-only.
    while True:
      # In this order, because a run writes its result before its process ends,
      # and its last checkpoint before its result.
      trains = run_directory.is_locked(self._directory)
      ended = (self._directory / run_directory.RESULT).exists()
      waiting = [
        step
        for step in checkpoints.steps(saved)
        if step not in done and not self._file(step).exists()
      ]
      for step in waiting:
        done.add(step)
        try:
          yield self.evaluate(str(step))
        except checkpoints.MissingError:
          continue
      if ended and not waiting:
        return
      if not (trains or waiting):
        run = shlex.quote(str(self._directory))
        raise errors.RunError(
          f'No process is training {run}, and the run has not ended. Continue '
          f'it with train --resume={run}, then follow it again.'
        )
      if not waiting:
        time.sleep(_POLL_SECONDS)

  def _write(
    self, step: int, outcome: 'Outcome', summary: Mapping[str, Any]
  ) -> None:
    file = self._file(step)
    counts = outcome.confusion()
    classes = [
      {
        'name': name,
        'count': int(count),
        'top1': int(hits) / int(count) if count else None,
      }
      for name, count, hits in zip(
        self._split.class_names,
        counts.sum(axis=1),
        np.diag(counts),
        strict=True,
      )
    ]
    title = (
      f'{self._split.name}, step {step:,}: top-1 {summary["top1"]:.4f} of '
      f'{summary["count"]:,} images'
    )
    with errors.optional('the picture of the confusion matrix'):
      drawn = confusion.draw(counts, self._split.class_names, title)
      picture = file.with_name(f'{file.stem}-confusion.png')
      run_directory.write(picture, confusion.png(drawn))
    # Written last: `follow` takes the file as proof of a complete evaluation.
    run_directory.write_json(
      file, {**summary, 'classes': classes, 'confusion': counts.tolist()}
    )

  def _file(self, step: int) -> pathlib.Path:
    name = f'{self._split.name}-{step:08d}{self._suffix}.json'
    return self._directory / run_directory.EVALUATIONS / name


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The outcome for each example of a split, in the split's order.

  Attributes:
    classes: number of classes.
    labels: int64 (examples,), the true classes.
    losses: float32 (examples,), cross-entropies in nats.
    ranks: int64 (examples,), rank of the label among the logits; 1 is highest.
    predictions: int64 (examples,), predicted classes.
    probabilities: float32 (examples,), of the predicted classes.
  """

  classes: int
  labels: np.ndarray
  losses: np.ndarray
  ranks: np.ndarray
  predictions: np.ndarray
  probabilities: np.ndarray

  def metrics(self) -> metrics.Metrics:
    """Returns the means over the examples."""
    return metrics.Metrics(
      loss=float(np.mean(self.losses, dtype=np.float64)),
      top1=float(np.mean(self.ranks <= 1)),
      top5=float(np.mean(self.ranks <= 5)),
      count=len(self.labels),
    )

  def confusion(self) -> np.ndarray:
    """Returns counts by true and predicted class, int64 (classes, classes)."""
    counts = np.zeros((self.classes, self.classes), np.int64)
    np.add.at(counts, (self.labels, self.predictions), 1)
    return counts

  def mistakes(self, most: int) -> np.ndarray:
    """Returns misclassified examples, the most confident first.

    Args:
      most: the maximum number of examples.

    Returns:
      int64 indices into the split.
    """
    wrong = np.flatnonzero(self.predictions != self.labels)
    order = np.argsort(-self.probabilities[wrong], kind='stable')
    return wrong[order[:most]]


class Evaluation:
  """Evaluates a network on every example of a split, each exactly once.

  Attributes:
    split: the examples.
  """

  def __init__(
    self,
    experiment: experiments.Experiment,
    model: keras.Model,
    split: source.Split,
    average_flips: bool = False,
  ):
    """Prepares the computation.

    Args:
      experiment: supplies strategy, batch size and preprocessing.
      model: the network, built in the strategy's scope.
      split: the examples.
      average_flips: whether to average the probabilities of each image and its
        mirror image.

    Raises:
      InputError: the split has unlabeled examples.
    """
    check_labels(split, 'Evaluation')
    self.split = split
    self._experiment = experiment
    self._model = model
    self._average_flips = average_flips
    self._dataset, self._steps = batches.evaluation(
      split,
      experiment.strategy,
      batch_size=experiment.evaluation_batch_size,
      preprocessing=experiment.preprocessing,
    )
    self._batch = tf.function(self._next_batch)

  def __call__(
    self, between_batches: Callable[[], None] = lambda: None
  ) -> Outcome:
    """Evaluates all examples; shows progress on a terminal.

    Args:
      between_batches: called after every batch; may raise to end the
        evaluation.

    Raises:
      RunError: the device runs out of memory, or data files cannot be read.
    """
    iterator, outcomes = iter(self._dataset), []
    with (
      memory.sufficient_for(
        f'train.evaluation_batch_size = '
        f'{self._experiment.evaluation_batch_size}. Reduce it.'
      ),
      records.reading(),
      tqdm.tqdm(
        total=self.split.size,
        desc='evaluating',
        unit=' images',
        leave=False,
        disable=None,
      ) as progress,
    ):
      for _ in range(self._steps):
        outcomes.append(self._batch(iterator).numpy())
        # The last batch may be padded.
        progress.update(min(len(outcomes[-1]), progress.total - progress.n))
        between_batches()
    found = np.concatenate(outcomes)[: self.split.size]
    losses, ranks, predictions, probabilities = found.T
    return Outcome(
      classes=len(self.split.class_names),
      labels=self.split.labels.numpy(),
      losses=losses,
      ranks=ranks.astype(np.int64),
      predictions=predictions.astype(np.int64),
      probabilities=probabilities,
    )

  def _next_batch(self, iterator: Iterator) -> tf.Tensor:
    """Returns `metrics.outcomes` of the next batch's examples, in order."""
    strategy = self._experiment.strategy
    outcomes = strategy.run(self._outcomes, next(iterator))
    return strategy.gather(outcomes, axis=0)

  def _outcomes(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    logits = tf.cast(self._model(images, training=False), tf.float32)
    if self._average_flips:
      flipped = self._model(tf.reverse(images, [2]), training=False)
      both = tf.stack([logits, tf.cast(flipped, tf.float32)])
      # Equal up to a constant, which softmax ignores.
      logits = tf.reduce_logsumexp(tf.nn.log_softmax(both), axis=0)
    # The cross-entropy, whatever loss the run trains with.
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return metrics.outcomes(losses, labels, logits)


def check_labels(split: source.Split, purpose: str) -> None:
  """Refuses a split with unlabeled examples.

  Args:
    split: the examples.
    purpose: what needs labels.

  Raises:
    InputError: some examples have the label -1.
  """
  missing = int(np.sum(split.labels.numpy() < 0))
  if missing:
    raise errors.InputError(
      f'{purpose} needs labels. Received: split {split.name!r}, in which '
      f'{missing:,} of {split.size:,} examples have none. Choose another split.'
    )
