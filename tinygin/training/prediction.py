"""The network of a run, as a classifier of images."""

import dataclasses
import pathlib

import keras
import tensorflow as tf

from tinygin.config import errors
from tinygin.data import batches
from tinygin.models import pretrained
from tinygin.training import checkpoints
from tinygin.training import experiment as experiments
from tinygin.training import run_directory


@dataclasses.dataclass(frozen=True)
class Classifier:
  """A trained network, its preprocessing and the names of its classes.

  Attributes:
    model: from preprocessed images to logits.
    preprocessing: the preprocessing of the run.
    class_names: the names of the classes, in the order of the logits.
    step: the step of the checkpoint.
  """

  model: keras.Model
  preprocessing: batches.Preprocessing
  class_names: tuple[str, ...]
  step: int

  @classmethod
  def restore(
    cls,
    experiment: experiments.Experiment,
    directory: pathlib.Path,
    checkpoint: str,
    weights: checkpoints.Weights,
  ) -> 'Classifier':
    """Restores a checkpoint of a run, without its data set.

    Args:
      experiment: the run's configuration.
      directory: the run's directory.
      checkpoint: as for `prediction.restore`.
      weights: as for `prediction.restore`.

    Raises:
      InputError: there is no such checkpoint, it is damaged, or it or
        `classes.txt` does not fit the network.
    """
    model = experiment.build_model()
    step = restore(model, directory, checkpoint, weights)
    names = tuple(run_directory.read_classes(directory))
    if len(names) != model.output_shape[-1]:
      raise errors.InputError(
        f'{directory / run_directory.CLASSES} names {len(names)} classes, but '
        f'the network has {model.output_shape[-1]}. Restore the file.'
      )
    return cls(model, experiment.preprocessing, names, step)

  def probabilities(self, images: tf.Tensor) -> tf.Tensor:
    """Returns the probability of each class.

    Args:
      images: (batch, height, width, 3), in [0, 255].

    Returns:
      float32 (batch, classes).
    """
    inputs = self.preprocessing(tf.cast(images, tf.float32))
    logits = self.model(inputs, training=False)
    return tf.nn.softmax(tf.cast(logits, tf.float32))


def restore(
  model: keras.Model,
  directory: pathlib.Path,
  checkpoint: str,
  weights: checkpoints.Weights,
) -> int:
  """Restores a network of a run, which may still be training.

  Args:
    model: the network.
    directory: the run's directory.
    checkpoint: `best`, `latest` or the number of a step.
    weights: `average` for the moving averages, where the run has any, or `raw`
      for the weights of the step itself.

  Returns:
    The step of the checkpoint.

  Raises:
    MissingError: there is no such checkpoint.
    InputError: it is damaged, or does not fit the network.
  """
  folder = directory / run_directory.CHECKPOINTS
  step, arrays = checkpoints.read_trained(folder, checkpoint, weights)
  pretrained.initialize(
    model,
    arrays,
    source=f'{folder}, step {step}',
    advice='Use the configuration and code that the run was trained with.',
  )
  return step
