"""The computations of a run, traced once: training steps, evaluation.

Many training steps run for a call from the host, and return only sums.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from collections.abc import Iterator

import keras
import tensorflow as tf

from tinygin.config import errors
from tinygin.training import average
from tinygin.training import metrics

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Loop = Callable[[Iterator, tf.Tensor], tuple[tf.Tensor, ...]]


@dataclasses.dataclass(frozen=True)
class TrainingStep:
  """A training step, and how many of them make a call from the host.

  Attributes:
    strategy: the replicas.
    model: the network, built in the strategy's scope.
    optimizer: built on the network's trainable variables, in the same scope.
    loss: takes label probabilities and logits, gives a loss for each example.
    batch_size: examples in a step, over all replicas.
    accumulation: parts of a replica's batch that are computed in turn.
    clip_norm: the most that the global norm of the gradients may be; None: any.
    jit_compile: whether XLA compiles the step.
    weight_average: moved after every step; None: no average is kept.
  """

  strategy: tf.distribute.Strategy
  model: keras.Model
  optimizer: keras.optimizers.Optimizer
  loss: Loss
  batch_size: int
  accumulation: int
  clip_norm: float | None
  jit_compile: bool
  weight_average: average.WeightAverage | None

  def loop(self) -> Loop:
    """Returns a function that trains for a number of steps.

    Returns:
      A function of an iterator over (images, labels) and an int32 number of
      steps, returning the sums of `metrics.sums` over the steps before one had
      a loss that is not finite, how many those are, the loss of the step that
      ended them or else of the last, and the global norm of the last step's
      gradients, before clipping.
    """
    step = self._replica_step
    if self.jit_compile:
      step = tf.function(step, jit_compile=True)

    @tf.function
    def run(iterator: Iterator, steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
      totals, finite_steps = tf.zeros([metrics.SUMS]), tf.constant(0)
      loss = norm = tf.constant(0.0)
      for index in tf.range(steps):
        sums, norm = self.strategy.run(step, next(iterator))
        norm = self.strategy.reduce('MEAN', norm, axis=None)  # They are equal.
        sums = self.strategy.reduce('SUM', sums, axis=None)
        if finite_steps == index:
          loss = sums[0] / sums[-1]
          if tf.math.is_finite(loss):
            finite_steps += 1
            totals += sums
        if self.weight_average is not None:
          self.weight_average.update(self.optimizer.iterations.value)
      return totals, finite_steps, loss, norm

    return run

  def _replica_step(
    self, images: tf.Tensor, labels: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    if self.accumulation == 1:
      gradients, sums = self._gradients(images, labels)
    else:
      gradients, sums = self._accumulated(images, labels)
    replicas = self.strategy.num_replicas_in_sync
    if replicas > 1:
      replica = tf.distribute.get_replica_context()
      gradients = replica.all_reduce('SUM', gradients)
    norm = tf.linalg.global_norm(gradients)
    if self.clip_norm is not None:
      gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm, norm)
    if replicas > 1:
      # The optimizer adds up what the replicas give it.
      gradients = [gradient / replicas for gradient in gradients]
    self.optimizer.apply(gradients, self.model.trainable_variables)
    return sums, norm

  def _gradients(
    self, images: tf.Tensor, labels: tf.Tensor
  ) -> tuple[list[tf.Tensor], tf.Tensor]:
    with tf.GradientTape() as tape:
      logits = tf.cast(self.model(images, training=True), tf.float32)
      losses = self.loss(labels, logits)
      # Keras sums gradients over replicas, so that each adds its share of the
      # mean over the global batch.
      objective = tf.reduce_sum(losses) / self.batch_size
      if self.model.losses:
        parts = self.strategy.num_replicas_in_sync * self.accumulation
        objective += tf.add_n(self.model.losses) / parts
    weights = [v.value for v in self.model.trainable_variables]
    classes = tf.argmax(labels, axis=1)
    return tape.gradient(objective, weights), metrics.sums(
      losses, classes, logits
    )

  def _accumulated(
    self, images: tf.Tensor, labels: tf.Tensor
  ) -> tuple[list[tf.Tensor], tf.Tensor]:
    parts = zip(
      tf.split(images, self.accumulation),
      tf.split(labels, self.accumulation),
      strict=True,
    )
    gradients, sums = self._gradients(*next(parts))
    for part in parts:
      # In turn, so that one part's activations are gone before the next part's
      # are computed. No loop of the graph: replicas cannot meet inside of one.
      with tf.control_dependencies(gradients):
        images, labels = map(tf.identity, part)
        more, more_sums = self._gradients(images, labels)
      gradients = [a + b for a, b in zip(gradients, more, strict=True)]
      sums += more_sums
    return gradients, sums


def evaluation_step(
  strategy: tf.distribute.Strategy, model: keras.Model, average_flips: bool
) -> Callable[[Iterator], tf.Tensor]:
  """Returns a function that evaluates a batch.

  Args:
    strategy: the replicas.
    model: the network, built in the strategy's scope.
    average_flips: whether the probabilities of each image and its mirror image
      are averaged.

  Returns:
    A function of an iterator over (images, labels), returning
    `metrics.outcomes` of the examples of its next batch, in order. The loss is
    the cross-entropy, whatever the run trains with.
  """

  def replica_step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    logits = tf.cast(model(images, training=False), tf.float32)
    if average_flips:
      flipped = model(tf.reverse(images, [2]), training=False)
      both = tf.stack([logits, tf.cast(flipped, tf.float32)])
      # Short of a constant, which changes nothing here.
      logits = tf.reduce_logsumexp(tf.nn.log_softmax(both), axis=0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return metrics.outcomes(losses, labels, logits)

  @tf.function
  def run(iterator: Iterator) -> tf.Tensor:
    replicas = strategy.run(replica_step, next(iterator))
    return strategy.gather(replicas, axis=0)

  return run


@contextlib.contextmanager
def memory_for(batch: str) -> Iterator[None]:
  """Says in one message what the memory of the device did not suffice for.

  Args:
    batch: what is computed at once, and how that needs less.

  Raises:
    RunError: it did not suffice.
  """
  try:
    yield
  except tf.errors.ResourceExhaustedError as error:
    raise errors.RunError(
      f'The memory of the device did not suffice for {batch}'
    ) from error
