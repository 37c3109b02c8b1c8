"""Metrics as sums over examples, so that any split over replicas is exact."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

SUMS = 4


@dataclasses.dataclass(frozen=True)
class Metrics:
  """Means over examples.

  Attributes:
    loss: mean loss, in nats.
    top1: share of examples whose label has the highest logit.
    top5: share of examples whose label is among the five highest logits.
    count: number of examples.
  """

  loss: float
  top1: float
  top5: float
  count: int

  def as_dict(self) -> dict[str, float]:
    """Returns the metrics by name."""
    return dataclasses.asdict(self)


def outcomes(
  losses: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor
) -> tf.Tensor:
  """Returns what came of each example, in float32 (batch, 4).

  Args:
    losses: float32 (batch,).
    labels: int64 (batch,), class numbers.
    logits: float32 (batch, classes).

  Returns:
    Of each example the loss, the rank of its label among the logits from 1 on,
    the predicted class, and that one's probability.
  """
  predictions = tf.argmax(logits, axis=1)
  probabilities = tf.nn.softmax(logits)
  return tf.stack(
    [
      losses,
      _ranks(labels, logits),
      tf.cast(predictions, tf.float32),
      tf.gather(probabilities, predictions, batch_dims=1),
    ],
    axis=1,
  )


def sums(losses: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  """Returns the sums that `mean` turns into metrics.

  Args:
    losses: float32 (batch,).
    labels: int64 (batch,), class numbers.
    logits: float32 (batch, classes).

  Returns:
    float32 (SUMS,): of loss, top-1, top-5 and examples.
  """
  ranks = _ranks(labels, logits)
  values = (
    losses,
    tf.cast(ranks <= 1, tf.float32),
    tf.cast(ranks <= 5, tf.float32),
    tf.ones_like(losses),
  )
  return tf.stack([tf.reduce_sum(value) for value in values])


def _ranks(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
  # Ties count against the network: equal logits for all classes are no hit.
  # Counted from those above, NaN included, not from those below.
  own = tf.gather(logits, labels, batch_dims=1)[:, None]
  return tf.reduce_sum(tf.cast(~(logits < own), tf.float32), axis=1)


def no_sums() -> list[float]:
  """Returns the sums over no examples."""
  return [0.0] * SUMS


def mean(totals: Sequence[float]) -> Metrics:
  """Returns the means of summed-up sums, (SUMS,)."""
  loss, top1, top5, count = (float(total) for total in totals)
  return Metrics(loss / count, top1 / count, top5 / count, round(count))
