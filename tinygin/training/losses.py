"""Training losses: one value per example."""

from collections.abc import Callable
from typing import Annotated

import gin
import keras
import tensorflow as tf
from annotated_types import Interval

# Takes label probabilities and logits; returns one loss per example.
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@gin.register
def cross_entropy(
  labels: tf.Tensor,
  logits: tf.Tensor,
  label_smoothing: Annotated[float, Interval(ge=0, le=1)],
) -> tf.Tensor:
  """Returns the cross-entropy of each example.

  Args:
    labels: float32 (batch, classes), summing to 1.
    logits: float32 (batch, classes).
    label_smoothing: fraction of each label that is spread over all classes
      (Szegedy et al., "Rethinking the Inception architecture", 2016).

  Returns:
    float32 (batch,), in nats.
  """
  return keras.losses.categorical_crossentropy(
    labels, logits, from_logits=True, label_smoothing=label_smoothing
  )
