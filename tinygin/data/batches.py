"""Batches for training and evaluation, distributed over replicas."""

import math
from collections.abc import Callable
from collections.abc import Sequence

import tensorflow as tf

from tinygin.data import pipelines
from tinygin.data import randomness
from tinygin.data import source

Augmentation = Callable[
  [tf.Tensor, tf.Tensor, randomness.Generator], tuple[tf.Tensor, tf.Tensor]
]
Preprocessing = Callable[[tf.Tensor], tf.Tensor]
Batches = tf.distribute.DistributedDataset | tf.data.Dataset

# A thread augments about as many images at a time as its cache holds, as
# float32. So its memory does not grow with the batch.
_CHUNK_BYTES = 2 * 2**20
# Batches of all local replicas that are ready ahead of the step.
_PREFETCHED_STEPS = 8
_PREFETCHED_BYTES = 2**30


def training(
  split: source.Split,
  strategy: tf.distribute.Strategy,
  *,
  batch_size: int,
  first_step: int,
  seed: int,
  augmentation: Sequence[Augmentation],
  preprocessing: Preprocessing,
) -> Batches:
  """Returns an endless stream of shuffled, augmented batches.

  Args:
    split: the examples, all of them labeled.
    strategy: each replica gets a contiguous part of every batch.
    batch_size: examples in a step, over all replicas.
    first_step: the step to start at, in constant time.
    seed: the run's seed.
    augmentation: applied to each batch, in this order.
    preprocessing: converts images into the network's input.

  Returns:
    A data set, distributed over several replicas, of (images, labels): float32
    (replica batch, height, width, 3) and float32 (replica batch, classes),
    one-hot unless mixed.

  Raises:
    InputError: an augmentation does not support the size of the batches.
  """

  def load(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = _augmented(split, positions, seed, augmentation)
    return preprocessing(images), labels

  return _distribute(strategy, load, split, batch_size, first_step, None)


def evaluation(
  split: source.Split,
  strategy: tf.distribute.Strategy,
  *,
  batch_size: int,
  preprocessing: Preprocessing,
) -> tuple[Batches, int]:
  """Returns every example once, in order, and the number of steps.

  The last example is repeated to fill the last batch.

  Args:
    split: the examples.
    strategy: each replica gets a contiguous part of every batch.
    batch_size: examples in a step, over all replicas; rounded up to a multiple
      of the number of replicas.
    preprocessing: converts images into the network's input.

  Returns:
    A data set, distributed over several replicas, of (images, labels): float32
    (replica batch, height, width, 3) and int64 (replica batch,); and its steps.
  """
  replicas = strategy.num_replicas_in_sync
  batch_size = -(-batch_size // replicas) * replicas
  steps = -(-split.size // batch_size)

  def load(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    images, labels = split.gather(tf.minimum(positions, split.size - 1))
    return preprocessing(tf.cast(images, tf.float32)), labels

  return _distribute(strategy, load, split, batch_size, 0, steps), steps


def first(
  split: source.Split,
  *,
  seed: int,
  augmentation: Sequence[Augmentation],
  count: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the first examples of a run, augmented as in training.

  Args:
    split: the examples, all of them labeled.
    seed: the run's seed.
    augmentation: applied to the images, in this order.
    count: number of examples; must be even if an augmentation mixes pairs.

  Returns:
    Images, uint8 (count, height, width, 3), and class probabilities, float32
    (count, classes).
  """
  positions = tf.range(count, dtype=tf.int64)
  images, labels = _augmented(split, positions, seed, augmentation)
  return tf.saturate_cast(tf.round(images), tf.uint8), labels


def _augmented(
  split: source.Split,
  positions: tf.Tensor,
  seed: int,
  augmentation: Sequence[Augmentation],
) -> tuple[tf.Tensor, tf.Tensor]:
  indices = randomness.shuffled(positions, split.size, seed)
  images, labels = split.gather(indices)
  images = tf.cast(images, tf.float32)
  labels = tf.one_hot(labels, len(split.class_names))
  random = randomness.Generator(seed, positions)
  for augment in augmentation:
    images, labels = augment(images, labels, random)
  return images, labels


def _distribute(
  strategy: tf.distribute.Strategy,
  load: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
  split: source.Split,
  batch_size: int,
  first_step: int,
  steps: int | None,
) -> Batches:
  """Returns a data set of `load(positions)`, a part of each batch a replica."""
  replica_batch = batch_size // strategy.num_replicas_in_sync
  image_bytes = math.prod(split.image_shape) * tf.float32.size
  chunk = _chunk(replica_batch, _CHUNK_BYTES / image_bytes)
  parts = replica_batch // chunk

  def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
    # The replicas of a worker take its elements in turn.
    local = context.num_replicas_in_sync // context.num_input_pipelines
    start = context.input_pipeline_id * local * replica_batch
    chunks = local * parts  # In a step.

    def load_chunk(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
      step, place = number // chunks, number % chunks
      first = step * batch_size + start + place * chunk
      return load(first + tf.range(chunk, dtype=tf.int64))

    stop = tf.int64.max if steps is None else (first_step + steps) * chunks
    batches = tf.data.Dataset.range(first_step * chunks, stop).map(
      # Autograph would hide an InputError behind its own message.
      tf.autograph.experimental.do_not_convert(load_chunk),
      num_parallel_calls=pipelines.PARALLEL_CALLS,
      deterministic=True,
    )
    if parts > 1:
      batches = batches.batch(parts, drop_remainder=True).map(_joined)
    ready = _prefetched_steps(local * replica_batch * image_bytes)
    return batches.prefetch(ready * local).with_options(
      pipelines.untuned_options()
    )

  on_cpu = not tf.config.list_logical_devices('GPU')
  if strategy.num_replicas_in_sync == 1 and on_cpu:
    # Distributing a small batch takes longer than making it.
    return pipeline(tf.distribute.InputContext())
  return strategy.distribute_datasets_from_function(pipeline)


def _chunk(replica_batch: int, images: float) -> int:
  """Returns the divisor of a batch that is nearest to a number of images.

  Pairs that are mixed stay together: a chunk has an even number of images. An
  odd batch has no pairs and is one chunk.
  """
  divisors = [
    each for each in range(2, replica_batch, 2) if not replica_batch % each
  ]
  return min(
    [*divisors, replica_batch], key=lambda each: abs(math.log(each / images))
  )


def _prefetched_steps(step_bytes: int) -> int:
  """Returns how many steps' batches of a size are kept ready."""
  return max(1, min(_PREFETCHED_STEPS, _PREFETCHED_BYTES // step_bytes))


def _joined(*chunks: tf.Tensor) -> tuple[tf.Tensor, ...]:
  """Merges the first two dimensions of tensors (parts, chunk, …)."""
  return tuple(tf.reshape(each, [-1, *each.shape[2:]]) for each in chunks)
