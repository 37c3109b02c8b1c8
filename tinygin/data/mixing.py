"""Augmentations that mix the images and labels of pairs of examples.

The examples at positions 2k and 2k + 1 are a pair, mixed by the random numbers
of the first. Both are in the same replica's batch for any number of replicas,
as long as the replica's batch size is even. Both use the same weights, so that
each example keeps its total weight in the batch.
"""

import dataclasses
import math
from typing import Annotated

import gin
import tensorflow as tf
from annotated_types import Gt
from annotated_types import Interval

from tinygin.config import errors
from tinygin.data import randomness
from tinygin.data import regions

Share = Annotated[float, Interval(ge=0, le=1)]
Concentration = Annotated[float, Gt(0)]


@gin.register
@dataclasses.dataclass(frozen=True)
class Mixup:
  """Averages some pairs of examples with random weights.

  "mixup: beyond empirical risk minimization" (Zhang et al., 2017).

  Attributes:
    probability: share of the pairs that are mixed.
    concentration: both parameters of the weights' beta distribution.
  """

  probability: Share
  concentration: Concentration

  def __call__(
    self, images: tf.Tensor, labels: tf.Tensor, random: randomness.Generator
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images and labels, some of them mixed."""
    mixed = random.uniform(0, 1) < self.probability
    weight = tf.where(mixed, symmetric_beta(random, self.concentration), 1)
    weight = _shared(weight)[:, None]
    return _mix(images, weight[:, :, None, None]), _mix(labels, weight)


@gin.register
@dataclasses.dataclass(frozen=True)
class CutMix:
  """Swaps a box between the images of some pairs.

  "CutMix: regularization strategy to train strong classifiers with localizable
  features" (Yun et al., 2019). Labels are mixed by the exact areas.

  Attributes:
    probability: share of the pairs that are mixed.
    concentration: both parameters of the beta distribution of the share of the
      image that is kept, before the box is clipped at the border.
  """

  probability: Share
  concentration: Concentration

  def __call__(
    self, images: tf.Tensor, labels: tf.Tensor, random: randomness.Generator
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images and labels, some of them mixed."""
    mixed = random.uniform(0, 1) < self.probability
    pasted = tf.sqrt(1 - symmetric_beta(random, self.concentration))
    side = _shared(tf.where(mixed, pasted, 0))  # Refuses odd batches.
    images, area = regions.paste(
      images,
      _others(images),
      center=(_shared(random.uniform(0, 1)), _shared(random.uniform(0, 1))),
      side=side,
    )
    return images, _mix(labels, 1 - area[:, None])


def symmetric_beta(
  random: randomness.Generator, concentration: float
) -> tf.Tensor:
  """Returns draws (batch,) from Beta(concentration, concentration).

  Exact, from two uniform draws each, through Student's t distribution:
  L. Devroye, "Random variate generation in one line of code" (1996).
  """

  def beta(uniform: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    cosine = tf.cos(2 * math.pi * turn)
    squared = (uniform ** (-1 / concentration) - 1) * cosine**2
    return 0.5 + 0.5 * tf.sign(cosine) / tf.sqrt(1 + 1 / squared)

  return randomness.in_float64(beta, random.uniform(0, 1), random.uniform(0, 1))


def _mix(batch: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
  """Averages each element of the batch with the other of its pair."""
  return weight * batch + (1 - weight) * _others(batch)


def _others(batch: tf.Tensor) -> tf.Tensor:
  """Swaps the elements of each pair."""
  pairs = tf.reshape(batch, [-1, 2, *batch.shape[1:]])
  return tf.reshape(tf.reverse(pairs, axis=[1]), batch.shape)


def _shared(draws: tf.Tensor) -> tf.Tensor:
  """Returns draws (batch,): both of a pair get the draw of the first."""
  size = draws.shape[0]
  if size % 2:
    raise errors.InputError(
      "Mixing pairs requires an even number of images in each replica's batch. "
      f'Received: {size}. Change train.batch_size.'
    )
  return tf.repeat(draws[::2], 2)
