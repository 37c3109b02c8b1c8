"""Rectangles in images."""

import tensorflow as tf


def paste(
  images: tf.Tensor,
  others: tf.Tensor | float,
  *,
  center: tuple[tf.Tensor, tf.Tensor],
  side: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Replaces a box in each image by the same box of another image.

  Args:
    images: float32 (batch, height, width, channels).
    others: of the same shape, or one value for all pixels.
    center: of the boxes, horizontal and vertical, each float32 (batch,), as a
      share of the images' width and height.
    side: of the boxes, float32 (batch,), as a share of the images' sides.
      A box is clipped at the border.

  Returns:
    The images, and the boxes' exact share of their area, float32 (batch,).
  """
  height, width, channels = images.shape[1:]
  across = _span(center[0], side, width)
  down = _span(center[1], side, height)
  # `tf.where` takes twice as long if it must broadcast over the channels.
  rows = [-1, height, width * channels]
  pasted = tf.where(
    down[:, :, None] & tf.repeat(across, channels, axis=1)[:, None, :],
    tf.reshape(others, rows) if tf.is_tensor(others) else others,
    tf.reshape(images, rows),
  )
  pixels = tf.reduce_prod(
    [
      tf.math.count_nonzero(each, 1, dtype=tf.float32)
      for each in (across, down)
    ],
    0,
  )
  return tf.reshape(pasted, images.shape), pixels / (height * width)


def _span(center: tf.Tensor, side: tf.Tensor, pixels: int) -> tf.Tensor:
  """Returns (batch, pixels): whether a pixel's center is in the span."""
  centers = (tf.range(pixels, dtype=tf.float32)[None] + 0.5) / pixels
  return tf.abs(centers - center[:, None]) < side[:, None] / 2
