"""Evaluation of every example of a split, each exactly once."""

import dataclasses
import pathlib
import time
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tqdm

from tinygin.config import errors
from tinygin.data import batches
from tinygin.data import records
from tinygin.data import source
from tinygin.reporting import confusion
from tinygin.training import average
from tinygin.training import checkpoints
from tinygin.training import experiment as experiments
from tinygin.training import metrics
from tinygin.training import run_directory
from tinygin.training import steps

_POLL_SECONDS = 2.0


class RunEvaluation:
  """Evaluates checkpoints of a run, which another process may be training."""

  def __init__(
    self,
    experiment: experiments.Experiment,
    directory: pathlib.Path,
    split: str,
    average_flips: bool,
  ):
    """Builds the network and reads the examples.

    Args:
      experiment: the run's configuration.
      directory: the run's directory.
      split: a TFDS split.
      average_flips: whether the probabilities of each image and its mirror
        image are averaged.

    Raises:
      InputError: no such split, or one without labels.
    """
    model = experiment.build_model()
    groups = {'model': checkpoints.by_path(model.variables)}
    self._average = None
    if experiment.average_decay is not None:
      self._average = average.WeightAverage(
        experiment.strategy, model.trainable_variables, experiment.average_decay
      )
      groups['average'] = self._average.variables
    self._saved_in = directory / run_directory.CHECKPOINTS
    self._checkpoints = checkpoints.Checkpoints(self._saved_in, groups)
    self._directory = directory
    data_directory = source.prepare(experiment.dataset, may_build=True)
    self._split = source.read(
      data_directory, split, experiment.memory_limit_mib
    )
    self._average_flips = average_flips
    self._evaluate = Evaluation(experiment, model, self._split, average_flips)

  def evaluate(self, checkpoint: str) -> dict[str, Any]:
    """Evaluates a checkpoint; writes a JSON file and pictures.

    Args:
      checkpoint: `best`, `latest` or the number of a step.

    Returns:
      Split, step, metrics and the path of the JSON file, which holds the top-1
      of each class and the confusion matrix (true class by predicted), too.
      What is of the averaged weights is named `average_…`.

    Raises:
      InputError: there is no such checkpoint, it is of another network, or
        damaged.
      RunError: the memory does not suffice, or files cannot be read any more.
    """
    step = self._checkpoints.restore_found(checkpoint)
    outcomes = {'': self._evaluate()}
    if self._average is not None:
      with self._average.applied():
        outcomes['average_'] = self._evaluate()
    summary = {
      'split': self._split.name,
      'step': step,
      'average_flips': self._average_flips,
      'file': str(self._file(step)),
    }
    for prefix, outcome in outcomes.items():
      values = outcome.metrics().as_dict()
      if prefix:
        values.pop('count')
      summary |= {f'{prefix}{name}': value for name, value in values.items()}
    self._write(step, outcomes, summary)
    return summary

  def follow(self) -> Iterator[dict[str, Any]]:
    """Evaluates each checkpoint that has not been, until the run has ended.

    A checkpoint that the run removes before its turn is left out.

    Yields:
      What `evaluate` returns.
    """
    while True:
      # Looked for first: what is saved before it is then seen below.
      ended = (self._directory / run_directory.RESULT).exists()
      waiting = [
        step
        for step in checkpoints.steps(self._saved_in)
        if not self._file(step).exists()
      ]
      for step in waiting:
        try:
          yield self.evaluate(str(step))
        except checkpoints.MissingError:
          continue
      if ended and not waiting:
        return
      if not waiting:
        time.sleep(_POLL_SECONDS)

  def _write(
    self,
    step: int,
    outcomes: Mapping[str, 'Outcome'],
    summary: Mapping[str, Any],
  ) -> None:
    names, file = self._split.class_names, self._file(step)
    file.parent.mkdir(exist_ok=True)
    classes: list[dict[str, Any]] = [{'name': name} for name in names]
    matrices = {}
    for prefix, outcome in outcomes.items():
      counts = outcome.confusion()
      matrices[f'{prefix}confusion'] = counts.tolist()
      for number, each in enumerate(classes):
        count = int(counts[number].sum())
        each['count'] = count
        hits = int(counts[number, number])
        each[f'{prefix}top1'] = hits / count if count else None
      title = (
        f'{self._split.name}, step {step:,}: {prefix.replace("_", " ")}top-1 '
        f'{summary[f"{prefix}top1"]:.4f} of {summary["count"]:,} images'
      )
      picture = file.with_name(f'{file.stem}-{prefix}confusion.png')
      drawn = confusion.draw(counts, names, title)
      run_directory.write(picture, confusion.png(drawn))
    # Last: where it stands, the step is done.
    run_directory.write_json(file, {**summary, 'classes': classes, **matrices})

  def _file(self, step: int) -> pathlib.Path:
    flips = '-flips' if self._average_flips else ''
    name = f'{self._split.name}-{step:08d}{flips}.json'
    return self._directory / run_directory.EVALUATIONS / name


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What came of each example of a split, in its order.

  Attributes:
    classes: number of classes.
    labels: int64 (examples,), the true classes.
    losses: float32 (examples,), cross-entropies in nats.
    ranks: int64 (examples,), of the label among the logits, from 1 on.
    predictions: int64 (examples,), classes.
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
    """Returns the examples that were taken for another class.

    Args:
      most: how many of them.

    Returns:
      int64 indices into the split, the most confident mistake first.
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
      experiment: gives strategy, batch size and preprocessing.
      model: the network, built in the strategy's scope.
      split: the examples.
      average_flips: see `steps.evaluation_step`.

    Raises:
      InputError: the split has no labels.
    """
    self.split = split
    self._labels = split.labels.numpy()
    self._classes = len(split.class_names)
    self._batch_size = experiment.evaluation_batch_size
    if not np.all(self._labels >= 0):
      raise errors.InputError(
        f'An evaluation needs labels, and split {split.name!r} has none for '
        'some of its examples. Choose another split.'
      )
    self._dataset, self._steps = batches.evaluation(
      split,
      experiment.strategy,
      batch_size=experiment.evaluation_batch_size,
      preprocessing=experiment.preprocessing,
    )
    self._run = steps.evaluation_step(experiment.strategy, model, average_flips)

  def __call__(self) -> Outcome:
    """Returns what came of all examples; shows on a terminal how far it is.

    Raises:
      RunError: the memory does not suffice, or files cannot be read any more.
    """
    iterator, outcomes = iter(self._dataset), []
    with (
      steps.memory_for(
        f'train.evaluation_batch_size = {self._batch_size}. A smaller one '
        'needs less.'
      ),
      records.reading(),
      tqdm.tqdm(
        total=len(self._labels),
        desc='evaluating',
        unit=' images',
        leave=False,
        disable=None,
      ) as progress,
    ):
      for _ in range(self._steps):
        outcomes.append(self._run(iterator).numpy())
        # The last batch may be padded.
        progress.update(min(len(outcomes[-1]), progress.total - progress.n))
    found = np.concatenate(outcomes)[: len(self._labels)]
    losses, ranks, predictions, probabilities = found.T
    return Outcome(
      classes=self._classes,
      labels=self._labels,
      losses=losses,
      ranks=ranks.astype(np.int64),
      predictions=predictions.astype(np.int64),
      probabilities=probabilities,
    )
