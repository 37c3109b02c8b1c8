"""The learner: a network, its optimizer, and the computations that train it."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tinygin.config import closures
from tinygin.config import errors
from tinygin.data import records
from tinygin.models import outputs
from tinygin.models import parameters
from tinygin.training import average
from tinygin.training import checkpoints
from tinygin.training import durations
from tinygin.training import evaluation
from tinygin.training import experiment as experiments
from tinygin.training import initialization
from tinygin.training import losses
from tinygin.training import memory
from tinygin.training import metrics
from tinygin.training import schedules


@dataclasses.dataclass(frozen=True)
class Trained:
  """The outcome of one or more training steps.

  Attributes:
    steps: number of steps before the first whose loss is not finite.
    sums: float32 (metrics.SUMS,), `metrics.sums` over those steps.
    loss: mean loss of the first step whose loss is not finite, if there is one;
      otherwise of the last step.
    learning_rate: learning rate of that same step.
    gradient_norm: global norm of the last step's gradients before clipping.
    waited: seconds during which steps waited for data.
  """

  steps: int
  sums: np.ndarray
  loss: float
  learning_rate: float
  gradient_norm: float
  waited: float


class Learner:
  """A network, its optimizer and, if configured, the average of its weights.

  Attributes:
    model: the network.
    rate_scale: scalar variable; multiplies the scheduled learning rate.
    average: the moving average of the network's variables, or None.
  """

  def __init__(
    self,
    experiment: experiments.Experiment,
    timeline: durations.Timeline,
    classes: int,
  ):
    """Builds all parts in the strategy's scope.

    Args:
      experiment: the run's configuration.
      timeline: the run's timeline.
      classes: number of classes of the data set.

    Raises:
      InputError: the network has an unknown or a different number of outputs
        or ends in softmax, the loss does not return one value per example, or
        the optimizer has an option that the trainer implements itself.
    """
    self._experiment = experiment
    self.model = experiment.build_model()
    _check_classes(self.model, classes)
    outputs.check_logits(self.model)
    _check_loss(experiment.loss, classes)
    parameters.freeze(self.model, experiment.trainable)
    groups = parameters.groups(
      self.model.trainable_variables, experiment.parameter_groups
    )
    with experiment.strategy.scope(), closures.building():
      self.rate_scale = keras.Variable(1.0, trainable=False, name='rate_scale')
      self._rate = schedules.Scaled(
        experiment.learning_rate(timeline), self.rate_scale
      )
      self._groups = [
        (_build_optimizer(experiment, self._rate, *group), group[1])
        for group in groups
      ]
    self._steps = self._groups[0][0].iterations
    self._weights = [weight for _, weights in groups for weight in weights]
    self._statistics = _statistics(self.model)
    self._seeds = [v.value for v in self.model.variables if _is_seed(v)]
    self.average = None
    if experiment.average_decay is not None:
      self.average = average.WeightAverage(
        experiment.strategy, self.model, experiment.average_decay
      )
    self._loop = tf.function(self._train)

  def initialize(self) -> None:
    """Loads the weights that `train.init_from` names."""
    experiment = self._experiment
    initialization.initialize(
      self.model,
      experiment.init_from,
      head=experiment.head,
      include_head=experiment.init_head,
    )
    if self.average:
      self.average.restart()

  def trace(self, iterator: Iterator) -> None:
    """Traces `train` now, so that its first call is not slower."""
    self._loop.get_concrete_function(iterator, tf.TensorSpec([], tf.int32))

  def train(self, iterator: Iterator, steps: int) -> Trained:
    """Takes training steps in one call, without a host round trip in between.

    Args:
      iterator: yields (images, labels); see `batches.training`.
      steps: number of steps.

    Raises:
      RunError: the device runs out of memory, or data files cannot be read.
    """
    with memory.sufficient_for(self._batch()), records.reading():
      outcome = self._loop(iterator, tf.constant(steps))
      done, sums, *values = (each.numpy() for each in outcome)
    return Trained(int(done), sums, *map(float, values))

  def evaluate(
    self, evaluate: evaluation.Evaluation, between_batches: Callable[[], None]
  ) -> evaluation.Outcome:
    """Evaluates the average of the weights if there is one, else the weights.

    Args:
      evaluate: an evaluation of this learner's model.
      between_batches: called after every batch; may raise to end it.
    """
    with self.average.applied() if self.average else contextlib.nullcontext():
      return evaluate(between_batches)

  def weight_norm(self) -> float:
    """Returns the global norm of all trainable weights."""
    weights = [weight.numpy() for weight in self.model.trainable_variables]
    return float(np.sqrt(sum(np.vdot(each, each) for each in weights)))

  def variables(self) -> dict[str, dict[str, tf.Variable]]:
    """Returns all variables of a checkpoint by group and path."""
    groups = {
      'model': checkpoints.by_path(self.model.variables),
      'optimizer': checkpoints.by_path(
        variable
        for optimizer, _ in self._groups
        for variable in optimizer.variables
      ),
    }
    if self.average:
      groups['average'] = self.average.variables
    return groups

  def _train(self, iterator: Iterator, steps: tf.Tensor) -> tuple:
    """Returns the fields of `Trained` as tensors."""
    strategy, step = self._experiment.strategy, self._step
    if self._experiment.jit_compile:
      step = tf.function(step, jit_compile=True)
    totals, finite_steps = tf.zeros([metrics.SUMS]), tf.constant(0)
    loss = rate = norm = tf.constant(0.0)
    waited, ended = tf.constant(0.0, tf.float64), _now()
    for index in tf.range(steps):
      batch = next(iterator)
      with tf.control_dependencies(tf.nest.flatten(batch, True)):
        waited += tf.maximum(_now() - ended, 0.0)
      next_rate = tf.identity(self._rate(self._steps))
      sums, norm = (
        # All replicas have the same.
        strategy.experimental_local_results(each)[0]
        for each in strategy.run(step, batch)
      )
      if finite_steps == index:
        loss, rate = sums[0] / sums[-1], next_rate
        if tf.math.is_finite(loss):
          finite_steps += 1
          totals += sums
      if self.average is not None:
        self.average.update(self._steps.value)
      with tf.control_dependencies([loss, norm]):
        ended = _now()
    return finite_steps, totals, loss, rate, norm, waited

  def _step(
    self, images: tf.Tensor, labels: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes a step on one replica.

    Returns:
      `metrics.sums` of all replicas, and the global norm of the gradient. Both
      are the same on every replica.
    """
    clip_norm = self._experiment.clip_norm
    if self._experiment.strategy.num_replicas_in_sync == 1:
      gradients, sums = self._accumulated_gradients(images, labels)
    else:
      with self._own_seeds():
        gradients, sums = self._accumulated_gradients(images, labels)
      gradients, sums = self._of_all_replicas(gradients, sums)
    norm = tf.linalg.global_norm(gradients)
    if clip_norm is not None:
      gradients, _ = tf.clip_by_global_norm(gradients, clip_norm, norm)
    remaining = iter(gradients)
    for optimizer, weights in self._groups:
      optimizer.apply([next(remaining) for _ in weights], weights)
    return sums, norm

  @contextlib.contextmanager
  def _own_seeds(self) -> Iterator[None]:
    """Lets each replica draw random numbers of its own.

    Between steps the random states of all replicas are equal, so that a
    checkpoint holds one of them.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    offsets = [tf.stack([tf.cast(replica, v.dtype), 0]) for v in self._seeds]
    for state, offset in zip(self._seeds, offsets, strict=True):
      state.assign_add(offset)
    yield
    for state, offset in zip(self._seeds, offsets, strict=True):
      state.assign_sub(offset)

  def _of_all_replicas(
    self, gradients: list[tf.Tensor], sums: tf.Tensor
  ) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Sums over the replicas in one all-reduce.

    It also averages the moving statistics. Those of layers that do not share
    their batch statistics would differ otherwise.
    """
    replica = tf.distribute.get_replica_context()
    shares = [v / replica.num_replicas_in_sync for v in self._statistics]
    gradients, sums, means = replica.all_reduce(
      'SUM', (gradients, sums, shares)
    )
    for variable, mean in zip(self._statistics, means, strict=True):
      variable.assign(mean)
    return gradients, sums

  def _accumulated_gradients(
    self, images: tf.Tensor, labels: tf.Tensor
  ) -> tuple[list[tf.Tensor], tf.Tensor]:
    parts = self._experiment.accumulation
    if parts == 1:
      return self._gradients(images, labels)
    first, *others = zip(
      tf.split(images, parts), tf.split(labels, parts), strict=True
    )
    gradients, sums = self._gradients(*first)
    for part in others:
      # One part after another, so that only one part's activations are in
      # memory. Not a loop of the graph: replicas cannot synchronize inside one.
      with tf.control_dependencies(gradients):
        images, labels = map(tf.identity, part)
        more, more_sums = self._gradients(images, labels)
      gradients = [a + b for a, b in zip(gradients, more, strict=True)]
      sums += more_sums
    return gradients, sums

  def _gradients(
    self, images: tf.Tensor, labels: tf.Tensor
  ) -> tuple[list[tf.Tensor], tf.Tensor]:
    experiment = self._experiment
    with tf.GradientTape() as tape:
      logits = tf.cast(self.model(images, training=True), tf.float32)
      each = experiment.loss(labels, logits)
      # Gradients are summed over replicas and parts: each contributes its share
      # of the mean over the global batch.
      objective = tf.reduce_sum(each) / experiment.batch_size
      if self.model.losses:
        replicas = experiment.strategy.num_replicas_in_sync
        parts = replicas * experiment.accumulation
        objective += tf.add_n(self.model.losses) / parts
    weights = [v.value for v in self._weights]
    classes = tf.argmax(labels, axis=1)
    return tape.gradient(objective, weights), metrics.sums(
      each, classes, logits
    )

  def _batch(self) -> str:
    """Describes a step's batch for a message, and how to make it smaller."""
    experiment = self._experiment
    replicas = experiment.strategy.num_replicas_in_sync
    parts = experiment.accumulation
    size = experiment.batch_size // replicas // parts
    return (
      f'train.batch_size = {experiment.batch_size} ({replicas} x {parts} x '
      f'{size}: replicas, train.accumulation, examples at once). Reduce '
      'train.batch_size or increase train.accumulation.'
    )


def _build_optimizer(
  experiment: experiments.Experiment,
  rate: schedules.LearningRate,
  factors: parameters.Factors,
  weights: Sequence[keras.Variable],
) -> keras.optimizers.Optimizer:
  """Builds the optimizer of a group of weights."""
  factor = factors.get('learning_rate_factor', 1.0)
  optimizer = experiment.optimizer(learning_rate=schedules.Scaled(rate, factor))
  _check_optimizer(optimizer)
  decay_factor = factors.get('weight_decay_factor', 1.0)
  if optimizer.weight_decay is not None:
    optimizer.weight_decay *= decay_factor
  elif decay_factor != 1:
    raise errors.InputError(
      f'train.parameter_groups has weight_decay_factor = {decay_factor}, but '
      f'{type(optimizer).__name__} has no weight decay. Bind its '
      'weight_decay, or remove the factor.'
    )
  # Biases and the scales of normalization do not decay.
  vectors = [weight for weight in weights if len(weight.shape) < 2]
  optimizer.exclude_from_weight_decay(var_list=vectors)
  optimizer.build(weights)
  # Keras would sum the gradients of all replicas again; `_step` has done so.
  optimizer._all_reduce_sum_gradients = lambda pairs: pairs
  return optimizer


def _statistics(model: keras.Model) -> list[tf.Variable]:
  """Returns the variables that layers compute, such as moving averages."""
  frozen = {
    variable.path
    for layer in parameters.layers(model)
    if not layer.trainable
    for variable in layer.variables
  }
  return [
    variable.value
    for variable in model.variables
    # A frozen weight counts as not trainable in Keras, but not in TensorFlow.
    if not variable.value.trainable
    and variable.value.dtype.is_floating
    and variable.path not in frozen
  ]


def _is_seed(variable: keras.Variable) -> bool:
  return variable.path.endswith('/seed_generator_state')


def _now() -> tf.Tensor:
  # Not `tf.timestamp`, which is refused when determinism is enabled.
  seconds = tf.numpy_function(time.monotonic, [], tf.float64)
  return tf.ensure_shape(seconds, ())


# Options that Keras applies to each replica alone, and what replaces them.
_REPLACED_OPTIONS = {
  'gradient_accumulation_steps': 'train.accumulation',
  'clipnorm': 'train.clip_norm',
  'clipvalue': 'train.clip_norm',
  'global_clipnorm': 'train.clip_norm',
  'loss_scale_factor': "train.precision = 'bfloat16'",
  'use_ema': 'train.average_decay',
}


def _check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
  for name, instead in _REPLACED_OPTIONS.items():
    if value := getattr(optimizer, name, None):
      raise errors.InputError(
        f'{type(optimizer).__name__}.{name} must not be set: Keras applies it '
        f'to each replica separately. Received: {value}. Use {instead}.'
      )
  if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
    raise errors.InputError(
      'train.optimizer must not scale the loss. Received: LossScaleOptimizer. '
      "Use train.precision = 'bfloat16', which needs no loss scaling."
    )


def _check_classes(model: keras.Model, classes: int) -> None:
  shape = getattr(model, 'output_shape', None)
  if shape is None:
    raise errors.InputError(
      'The network must be a functional or sequential model whose input shape '
      f'is given by keras.Input. Received: {type(model).__name__}.'
    )
  outputs = shape[-1]
  if outputs != classes:
    raise errors.InputError(
      'The network must have one output per class of the data set. Received: '
      f'{outputs} outputs for {classes} classes. Set CLASSES.'
    )


def _check_loss(loss: losses.Loss, classes: int) -> None:
  labels, logits = tf.one_hot([0, 1], classes), tf.zeros((2, classes))
  shape = loss(labels, logits).shape
  if shape != (2,):
    raise errors.InputError(
      'train.loss must return one loss per example. Received: shape '
      f'{tuple(shape)} for 2 examples. Keras losses need reduction = None.'
    )
