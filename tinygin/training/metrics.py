"""Metrics as sums over examples, exact for any division over replicas."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

SUMS = 4


@dataclasses.dataclass(frozen=True)
class Metrics:
  """Means over examples.

  Attributes:
    loss: mean loss, in nats.
    top1: fraction of examples whose label has the highest logit.
    top5: fraction of examples whose label has one of the five highest logits.
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
  """Returns the outcome for each example.

  Args:
    losses: float32 (batch,).
    labels: int64 (batch,), class numbers.
    logits: float32 (batch, classes).

  Returns:
    float32 (batch, 4): the loss, the rank of the label among the logits
    (1 is the highest), the predicted class and its probability.
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
  """Returns sums over the examples, from which `mean` computes metrics.

  Args:
    losses: float32 (batch,).
    labels: int64 (batch,), class numbers.
    logits: float32 (batch, classes).

  Returns:
    float32 (SUMS,): sums of loss, top-1 hits, top-5 hits and examples.
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
  # Of equal logits the first ranks highest, as in tf.argmax. NaN ranks above
  # every label, so a diverged network scores 0.
  own = tf.gather(logits, labels, batch_dims=1)[:, None]
  first = tf.range(tf.shape(logits)[1], dtype=labels.dtype) < labels[:, None]
  ahead = ~(logits <= own) | ((logits == own) & first)
  return 1 + tf.reduce_sum(tf.cast(ahead, tf.float32), axis=1)


def no_sums() -> list[float]:
  """Returns the sums over no examples."""
  return [0.0] * SUMS


def mean(totals: Sequence[float]) -> Metrics:
  """Returns the metrics from sums, (SUMS,), over at least one example."""
  loss, top1, top5, count = (float(total) for total in totals)
  return Metrics(loss / count, top1 / count, top5 / count, round(count))
