"""The order of examples and their random numbers, as pure functions.

A run processes examples at positions 0, 1, 2, …. The example at a position and
its augmentation depend only on the seed and the position. So a run resumes at
any step in constant time, and is the same on any number of replicas.
"""

from collections.abc import Callable

import tensorflow as tf

_GOLDEN_RATIO = 0x9E3779B97F4A7C15


def shuffled(positions: tf.Tensor, size: int, seed: int) -> tf.Tensor:
  """Returns the index of the example at each position.

  Each epoch of `size` positions is a new permutation, which is computed without
  being stored (the Simon-cipher permutation behind
  `tf.random.experimental.index_shuffle`).

  Args:
    positions: int64 tensor (batch,).
    size: number of examples in the split.
    seed: the run's seed.

  Returns:
    int64 tensor (batch,) of values in [0, size).
  """
  epochs = positions // size
  seeds = tf.stack(
    [tf.fill(tf.shape(epochs), tf.cast(seed, tf.int64)), epochs, epochs], axis=1
  )
  # The public wrapper takes a single seed for all indices.
  return tf.raw_ops.RandomIndexShuffle(
    index=positions % size,
    seed=seeds,
    max_index=tf.cast(size - 1, tf.int64),
    rounds=4,
  )


class Generator:
  """Random numbers for a batch of examples, one for each position in each draw.

  A draw is a hash of the seed, the position and the number of the draw, by the
  finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
  number generators", 2014).
  """

  def __init__(self, seed: int, positions: tf.Tensor):
    """Starts the sequence of draws.

    Args:
      seed: the run's seed.
      positions: int64 tensor (batch,).
    """
    self._keys = _mix(
      tf.cast(positions, tf.uint64)
      + _mix(tf.constant(seed, tf.uint64) + _GOLDEN_RATIO)
    )
    self._draws = 0

  def uniform(self, low: float, high: float) -> tf.Tensor:
    """Returns float32 (batch,), uniform in [low, high].

    `high` occurs only through rounding, and never where low is 0.
    """
    return self.uniforms(1, low, high)[0]

  def uniforms(self, draws: int, low: float, high: float) -> tf.Tensor:
    """Returns the results of several `uniform`s, float32 (draws, batch)."""
    numbers = range(self._draws + 1, self._draws + 1 + draws)
    self._draws += draws
    offsets = [[(each * _GOLDEN_RATIO) % 2**64] for each in numbers]
    bits = tf.bitwise.right_shift(
      _mix(self._keys + tf.constant(offsets, tf.uint64)),
      tf.constant(40, tf.uint64),
    )
    return low + (high - low) * tf.cast(bits, tf.float32) / 2**24


def in_float64(
  function: Callable[..., tf.Tensor], *values: tf.Tensor | float
) -> tf.Tensor:
  """Returns function(values), computed in float64 and rounded to float32.

  In float32, the last bit of exp, cos and similar functions depends on the
  element's place in the tensor: vectorized code computes whole vectors, and
  other code the rest. So results would depend on the batch size.

  Args:
    function: takes and returns float64 tensors, element by element.
    *values: float32 tensors.

  Returns:
    float32 tensor.
  """
  doubles = [tf.cast(each, tf.float64) for each in values]
  return tf.cast(function(*doubles), tf.float32)


def _mix(words: tf.Tensor) -> tf.Tensor:
  for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
    words ^= tf.bitwise.right_shift(words, tf.constant(shift, tf.uint64))
    words *= tf.constant(factor, tf.uint64)
  return words ^ tf.bitwise.right_shift(words, tf.constant(31, tf.uint64))
