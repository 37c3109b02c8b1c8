"""The network of a run, as a classifier of images."""

import dataclasses
import pathlib

import keras
import tensorflow as tf

from tinygin.data import batches
from tinygin.training import checkpoints
from tinygin.training import experiment as experiments
from tinygin.training import run_directory


@dataclasses.dataclass(frozen=True)
class Classifier:
  """A trained network with what it takes to use it.

  Attributes:
    model: takes preprocessed images, gives logits.
    preprocessing: the run's.
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
  ) -> 'Classifier':
    """Restores a checkpoint of a run; its data set need not be there.

    Args:
      experiment: the run's configuration.
      directory: the run's directory.
      checkpoint: `best`, `latest` or the number of a step.

    Raises:
      InputError: no such checkpoint, or one of another network.
    """
    model = experiment.build_model()
    saved = checkpoints.Checkpoints(
      directory / run_directory.CHECKPOINTS,
      {'model': checkpoints.by_path(model.variables)},
    )
    step = saved.restore_found(checkpoint)
    names = tuple(run_directory.read_classes(directory))
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
