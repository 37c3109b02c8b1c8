"""Evaluation of every example of a split, each exactly once."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from tinygin.config import errors
from tinygin.data import batches
from tinygin.data import source
from tinygin.training import checkpoints
from tinygin.training import experiment as experiments
from tinygin.training import metrics
from tinygin.training import run_directory
from tinygin.training import steps


def evaluate(
  experiment: experiments.Experiment,
  directory: pathlib.Path,
  checkpoint: str,
  split: str,
) -> dict[str, int | float | str]:
  """Evaluates a checkpoint of a run and writes `evaluation-SPLIT-STEP.json`.

  Args:
    experiment: the run's configuration.
    directory: the run's directory; another process may be training there.
    checkpoint: `best`, `latest` or the number of a step.
    split: a TFDS split.

  Returns:
    What the file holds: split, step and metrics.

  Raises:
    InputError: no such checkpoint or split, or a split without labels.
  """
  model = experiment.build_model()
  saved = checkpoints.Checkpoints(
    directory / run_directory.CHECKPOINTS,
    {'model': checkpoints.by_path(model.variables)},
  )
  step = saved.find(checkpoint)
  saved.restore(step)
  data_directory = source.prepare(experiment.dataset, may_build=True)
  examples = source.read(data_directory, split, experiment.memory_limit_mib)
  means = Evaluation(experiment, model, examples)()
  outcome = {'split': split, 'step': step, **means.as_dict()}
  run_directory.write_json(
    directory / f'evaluation-{split}-{step}.json', outcome
  )
  return outcome


class Evaluation:
  """Evaluates a network on every example of a split, each exactly once."""

  def __init__(
    self,
    experiment: experiments.Experiment,
    model: keras.Model,
    split: source.Split,
  ):
    """Prepares the computation.

    Args:
      experiment: gives strategy, batch size and preprocessing.
      model: the network, built in the strategy's scope.
      split: the examples.

    Raises:
      InputError: the split has no labels.
    """
    if not np.all(split.labels.numpy() >= 0):
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
    self._run = steps.evaluation_loop(experiment.strategy, model)

  def __call__(self) -> metrics.Metrics:
    """Returns the metrics over all examples."""
    return metrics.mean(
      self._run(iter(self._dataset), tf.constant(self._steps)).numpy()
    )
