"""The root of every configuration: the parts of a run."""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Annotated
from typing import Literal

import gin
import keras
import tensorflow as tf
from annotated_types import Ge
from annotated_types import Gt
from annotated_types import Interval

from tinygin.config import closures
from tinygin.config import constraints
from tinygin.data import batches
from tinygin.data import source
from tinygin.models import parameters
from tinygin.reporting import callbacks
from tinygin.training import durations
from tinygin.training import losses
from tinygin.training import plateaus
from tinygin.training import processors
from tinygin.training import profiling
from tinygin.training import run_directory
from tinygin.training import schedules

Positive = Annotated[int, Ge(1)]
_MAY_CHANGE = constraints.CONTINUABLE


@gin.register('train')
@dataclasses.dataclass(frozen=True)
class Experiment:
  """Everything that defines a run; each field is bound as `train.FIELD`.

  Attributes:
    run_dir: the run's directory; `{time}` in it is replaced by the time of the
      start, so that each start is a new run.
    seed: seed of the initial weights, the order of examples, augmentation and
      dropout.
    dataset: the declared data set; built if it is missing.
    train_split: the TFDS split to train on.
    validation_split: the TFDS split to evaluate.
    memory_limit_mib: maximum size of a split's decoded images in memory; a
      larger split is decoded batch by batch.
    augmentation: applied to training batches, in this order.
    preprocessing: converts images to the network's input.
    model: builds the network.
    head: patterns of the paths of the head's variables; `*` stands for any
      characters.
    init_from: source of the initial weights: a run's directory (its best
      checkpoint) or a file of weights; None: random initialization.
    init_head: whether to initialize the head from that source too.
    trainable: patterns of the paths of the weights that are trained; the others
      keep their initial values. A layer without a weight to train is frozen:
      batch normalization then uses its moving statistics.
    parameter_groups: factors of the learning rate and of the weight decay, by
      the pattern of the paths of the weights that have them. The first pattern
      that a weight matches decides.
    loss: the training loss of each example.
    optimizer: builds the optimizer from its learning rate.
    learning_rate: builds the schedule from the run's timeline.
    reduce_on_plateau: lowers the rate when a metric stops improving, or None.
    early_stopping: ends the run when a metric stops improving, or None.
    clip_norm: maximum global norm of the gradients, or None.
    average_decay: decay of the moving average of the weights and of batch
      normalization's statistics. Evaluation, prediction and export then use the
      average. None: no average.
    strategy: the devices and replicas. Each replica draws its own dropout.
    precision: `float32`, or `bfloat16` for activations with float32 weights.
    tensor_float_32: whether GPUs may round the factors of float32 products to
      10 bits, which is faster on NVIDIA's Ampere and newer ones.
    deterministic: whether every operation gives the same bits each time. If
      not, runs on GPUs cannot be repeated exactly; operations that have no such
      kernel are refused otherwise.
    jit_compile: whether XLA compiles the step; on one replica only.
    batch_size: examples in a step, over all replicas.
    accumulation: number of parts of a replica's batch that are computed one
      after another to save memory.
    evaluation_batch_size: examples evaluated at once, over all replicas.
    epochs: length of the run: a number of epochs, or a duration.
    evaluate_every: duration between evaluations; the end of the run is always
      evaluated.
    save_every: duration between checkpoints; one is also saved before each
      evaluation.
    log_every: duration between lines of training metrics.
    steps_per_loop: maximum number of steps in one call from Python.
    profile_steps: the first step to profile and the one after the last, or
      None.
    keep_checkpoints: number of newest checkpoints to keep, beside the best by
      top-1.
    callbacks: called after each logged line, evaluation and checkpoint.
  """

  run_dir: Annotated[str, run_directory.TIMED_PATH, _MAY_CHANGE]
  seed: Annotated[int, Interval(ge=0, le=2**31 - 1)]
  dataset: source.BuildableDataset
  train_split: str
  validation_split: str
  memory_limit_mib: Annotated[Positive, _MAY_CHANGE]
  augmentation: Sequence[batches.Augmentation]
  preprocessing: batches.Preprocessing
  model: Callable[[], keras.Model]
  head: parameters.Patterns
  init_from: str | None
  init_head: bool
  trainable: parameters.Patterns
  parameter_groups: Mapping[str, parameters.Factors]
  loss: losses.Loss
  optimizer: Annotated[
    Callable[..., keras.optimizers.Optimizer],
    constraints.Supplies('learning_rate'),
  ]
  learning_rate: Callable[[durations.Timeline], schedules.LearningRate]
  reduce_on_plateau: plateaus.ReduceOnPlateau | None
  early_stopping: plateaus.EarlyStopping | None
  clip_norm: Annotated[float, Gt(0)] | None
  average_decay: Annotated[float, Interval(gt=0, lt=1)] | None
  strategy: tf.distribute.Strategy
  precision: Literal['float32', 'bfloat16']
  tensor_float_32: bool
  deterministic: bool
  jit_compile: bool
  batch_size: Positive
  accumulation: Positive
  evaluation_batch_size: Annotated[Positive, _MAY_CHANGE]
  epochs: Annotated[Annotated[float, Gt(0)] | durations.Period, _MAY_CHANGE]
  evaluate_every: Annotated[durations.Period, _MAY_CHANGE]
  save_every: Annotated[durations.Period, _MAY_CHANGE]
  log_every: Annotated[durations.Period, _MAY_CHANGE]
  steps_per_loop: Annotated[Positive, _MAY_CHANGE]
  profile_steps: Annotated[profiling.Steps, _MAY_CHANGE] | None
  keep_checkpoints: Annotated[Positive, _MAY_CHANGE]
  callbacks: Annotated[Sequence[callbacks.Callback], _MAY_CHANGE]

  def build_model(self) -> keras.Model:
    """Builds the network, seeded, in the strategy's scope.

    Resets Keras' name counters, so that variable names do not depend on what
    the process built before.
    """
    processors.warn(self.precision)
    tf.config.experimental.enable_tensor_float_32_execution(
      self.tensor_float_32
    )
    if self.deterministic:
      tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()  # First: it resets the policy too.
    # Keras' own defaults, whatever the user's keras.json says.
    keras.config.set_floatx('float32')
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format('channels_last')
    keras.config.set_dtype_policy(
      'float32' if self.precision == 'float32' else f'mixed_{self.precision}'
    )
    keras.utils.set_random_seed(self.seed)
    with self.strategy.scope(), closures.building():
      return self.model()
