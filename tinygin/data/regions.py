"""Rectangles in images."""

import tensorflow as tf


def boxes(
  images: tf.Tensor,
  *,
  center: tuple[tf.Tensor, tf.Tensor],
  side: tf.Tensor,
) -> tf.Tensor:
  """Returns 1 inside a box in each image and 0 outside.

  Args:
    images: (batch, height, width, channels).
    center: horizontal and vertical centers of the boxes, each float32 (batch,),
      as a share of the images' width and height.
    side: sides of the boxes, float32 (batch,), as a share of the images' sides.
      A box is clipped at the border.

  Returns:
    float32 (batch, height, width, 1).
  """
  height, width = images.shape[1:3]
  across = _span(center[0], side, width)
  down = _span(center[1], side, height)
  return (down[:, :, None] * across[:, None, :])[..., None]


def _span(center: tf.Tensor, side: tf.Tensor, pixels: int) -> tf.Tensor:
  """Returns (batch, pixels): 1 where a pixel's center is in the span."""
  centers = (tf.range(pixels, dtype=tf.float32)[None] + 0.5) / pixels
  return tf.cast(
    tf.abs(centers - center[:, None]) < side[:, None] / 2, tf.float32
  )
