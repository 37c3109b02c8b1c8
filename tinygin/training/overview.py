"""TensorBoard's view of a run before its first step and after its last."""

import io
import json
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tinygin.config import errors
from tinygin.data import batches
from tinygin.data import source
from tinygin.reporting import confusion
from tinygin.reporting import drawing
from tinygin.reporting import logs
from tinygin.reporting import pictures
from tinygin.training import evaluation
from tinygin.training import experiment as experiments
from tinygin.training import run_directory

_ROWS, _COLUMNS = 4, 8
# Bindings that do not affect the result.
_NO_HYPERPARAMETERS = ('train.run_dir', 'train.profile_steps')


def write_start(
  log: logs.Logs,
  directory: pathlib.Path,
  experiment: experiments.Experiment,
  model: keras.Model,
  split: source.Split,
) -> None:
  """Writes texts, hyperparameters, the network's graph and its first inputs.

  Args:
    log: the run's logs.
    directory: the run's directory, whose description is written.
    experiment: the run's configuration.
    model: the network.
    split: the training examples.
  """
  with errors.optional('the description of the run in TensorBoard'):
    texts = {
      name: (directory / name).read_text(encoding='utf-8')
      for name in (run_directory.CONFIG, run_directory.PROVENANCE)
      if (directory / name).exists()
    }
    log.write_texts(texts)
    if provenance := texts.get(run_directory.PROVENANCE):
      log.write_hyperparameters(_hyperparameters(json.loads(provenance)))
  with errors.optional("the network's graph in TensorBoard"):
    log.write_graph(_graph(model))
  with errors.optional('the picture of augmented inputs'):
    log.write_picture('augmented_inputs', 0, _sheet(experiment, split))


def write_end(
  log: logs.Logs, step: int, outcome: evaluation.Outcome, split: source.Split
) -> None:
  """Writes the confusion matrix and the most confident mistakes.

  Args:
    log: the run's logs.
    step: training steps done.
    outcome: the last evaluation.
    split: the evaluated examples.
  """
  with errors.optional('the picture of the confusion matrix'):
    title = f'{split.name}, step {step:,}'
    matrix = confusion.draw(outcome.confusion(), split.class_names, title)
    with Image.open(io.BytesIO(confusion.png(matrix))) as picture:
      log.write_picture('confusion', step, np.asarray(picture.convert('RGB')))
  with errors.optional('the picture of mistakes'):
    wrong = outcome.mistakes(_ROWS * _COLUMNS)
    if len(wrong):
      sheet = _mistakes(outcome, split, wrong)
      log.write_picture('most_confident_mistakes', step, sheet)


def _mistakes(
  outcome: evaluation.Outcome, split: source.Split, wrong: np.ndarray
) -> np.ndarray:
  names = drawing.drawable(split.class_names)
  captions = [
    f'{names[outcome.labels[each]]}\n'
    f'{outcome.probabilities[each]:.2f} {names[outcome.predictions[each]]}'
    for each in wrong
  ]
  images, _ = split.gather(tf.constant(wrong))
  return np.asarray(pictures.grid(images.numpy(), captions, _COLUMNS))


def _hyperparameters(provenance: dict) -> dict[str, bool | int | float | str]:
  """Returns the bound values: numbers, or the texts of other values.

  A parameter needs the same type in all runs: TensorBoard's filter leaves out
  parameters that are numbers in some runs and texts in others.
  """
  return {
    name: each['value'] if each['numeric'] else each['text']
    for each in provenance['starts'][-1]['parameters']
    if (name := f'{each["component"]}.{each["parameter"]}')
    not in _NO_HYPERPARAMETERS
    and each['source'] != 'default'
    # Numeric parameters can also be None, or a reference where a library has
    # no annotation.
    and (not each['numeric'] or isinstance(each['value'], bool | int | float))
  }


def _graph(model: keras.Model) -> tf.Graph:
  function = tf.function(lambda images: model(images, training=False))
  specification = tf.TensorSpec(model.input_shape, tf.float32, 'images')
  return function.get_concrete_function(specification).graph


def _sheet(
  experiment: experiments.Experiment, split: source.Split
) -> np.ndarray:
  images, labels = batches.first(
    split,
    seed=experiment.seed,
    augmentation=experiment.augmentation,
    count=_ROWS * _COLUMNS,
  )
  names = drawing.drawable(split.class_names)
  captions = [_caption(row, names) for row in labels.numpy()]
  return np.asarray(pictures.grid(images.numpy(), captions, _COLUMNS))


def _caption(probabilities: np.ndarray, names: Sequence[str]) -> str:
  """Returns the class name; for a mixed image, both with their weights."""
  first, second = np.argsort(-probabilities, kind='stable')[:2]
  if not probabilities[second]:
    return f'{names[first]}\n'
  return '\n'.join(
    f'{probabilities[each]:.2f} {names[each]}' for each in (first, second)
  )
