"""What learns: the network, its optimizer, and what belongs to them."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tinygin.config import closures
from tinygin.config import errors
from tinygin.training import average
from tinygin.training import checkpoints
from tinygin.training import durations
from tinygin.training import experiment as experiments
from tinygin.training import initialization
from tinygin.training import schedules
from tinygin.training import steps


@dataclasses.dataclass(frozen=True)
class Learner:
  """What learns: the network, its optimizer and what belongs to them.

  Attributes:
    model: the network.
    optimizer: built on the network's trainable variables.
    rate_scale: what the scheduled learning rate is multiplied by.
    weight_average: the average of the weights, or None.
  """

  model: keras.Model
  optimizer: keras.optimizers.Optimizer
  rate_scale: keras.Variable
  weight_average: average.WeightAverage | None

  @classmethod
  def build(
    cls,
    experiment: experiments.Experiment,
    timeline: durations.Timeline,
    classes: int,
  ) -> 'Learner':
    """Builds all parts in the strategy's scope.

    Args:
      experiment: what to train.
      timeline: of the run.
      classes: number of classes of the data set.

    Raises:
      InputError: the network has another number of outputs, the loss is not
        one for each example, or the optimizer does what the trainer does.
    """
    model = experiment.build_model()
    _check_classes(model, classes)
    _check_loss(experiment.loss, classes)
    strategy = experiment.strategy
    weights = model.trainable_variables
    with strategy.scope(), closures.building():
      scale = keras.Variable(1.0, trainable=False, name='rate_scale')
      schedule = experiment.learning_rate(timeline)
      optimizer = experiment.optimizer(
        learning_rate=schedules.Scaled(schedule, scale)
      )
      _check_optimizer(optimizer)
      # Biases and the scales of normalisation do not decay.
      vectors = [weight for weight in weights if len(weight.shape) < 2]
      optimizer.exclude_from_weight_decay(var_list=vectors)
      optimizer.build(weights)
    averaged = None
    if experiment.average_decay is not None:
      averaged = average.WeightAverage(
        strategy, weights, experiment.average_decay
      )
    return cls(model, optimizer, scale, averaged)

  def initialize(self, source: str, include_head: bool) -> None:
    """Starts from weights that were trained before."""
    initialization.initialize(self.model, source, include_head)
    if self.weight_average:
      self.weight_average.restart()

  def training_step(
    self, experiment: experiments.Experiment
  ) -> steps.TrainingStep:
    """Returns what trains it, as the experiment says."""
    return steps.TrainingStep(
      strategy=experiment.strategy,
      model=self.model,
      optimizer=self.optimizer,
      loss=experiment.loss,
      batch_size=experiment.batch_size,
      accumulation=experiment.accumulation,
      clip_norm=experiment.clip_norm,
      jit_compile=experiment.jit_compile,
      weight_average=self.weight_average,
    )

  def weight_norm(self) -> float:
    """Returns the global norm of all trained weights."""
    weights = [weight.numpy() for weight in self.model.trainable_variables]
    return float(np.sqrt(sum(np.vdot(each, each) for each in weights)))

  def variables(self) -> dict[str, dict[str, tf.Variable]]:
    """Returns all that a checkpoint holds."""
    groups = {
      'model': checkpoints.by_path(self.model.variables),
      'optimizer': checkpoints.by_path(self.optimizer.variables),
    }
    if self.weight_average:
      groups['average'] = self.weight_average.variables
    return groups


# What Keras' optimizers do wrong under a strategy, and what does it right.
_BROKEN = {
  'gradient_accumulation_steps': 'train.accumulation',
  'clipnorm': 'train.clip_norm',
  'clipvalue': 'train.clip_norm',
  'global_clipnorm': 'train.clip_norm',
  'loss_scale_factor': "train.precision = 'bfloat16'",
  'use_ema': 'train.average_decay',
}


def _check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
  for name, instead in _BROKEN.items():
    if value := getattr(optimizer, name, None):
      raise errors.InputError(
        f'{type(optimizer).__name__}.{name} must be left out: Keras applies it '
        f'to each replica alone. Received: {value}. Use {instead}.'
      )
  if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
    raise errors.InputError(
      'train.optimizer must scale no loss. Received: LossScaleOptimizer. '
      "Use train.precision = 'bfloat16', which needs none."
    )


def _check_classes(model: keras.Model, classes: int) -> None:
  outputs = model.output_shape[-1]
  if outputs != classes:
    raise errors.InputError(
      'The network must have an output for each class of the data set. '
      f'Received: {outputs} outputs for {classes} classes. '
      'Set CLASSES.'
    )


def _check_loss(loss: steps.Loss, classes: int) -> None:
  labels, logits = tf.one_hot([0, 1], classes), tf.zeros((2, classes))
  shape = loss(labels, logits).shape
  if shape != (2,):
    raise errors.InputError(
      'train.loss must give a loss for each example. Received: losses of shape '
      f'{tuple(shape)} for 2 examples. Losses of Keras need reduction = None.'
    )
