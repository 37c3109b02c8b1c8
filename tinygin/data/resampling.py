"""Transforms a batch of images, each by its own affine map."""

from typing import Literal

import tensorflow as tf

from tinygin.data import randomness

# Fills the area outside of an image: with black, the nearest pixel, the mirror
# image, or the opposite side.
Edge = Literal['constant', 'nearest', 'reflect', 'wrap']
Coordinate = tf.Tensor | float


def warp(
  images: tf.Tensor,
  *,
  edge: str,
  angle: Coordinate = 0.0,
  shear: tuple[Coordinate, Coordinate] = (0.0, 0.0),
  scale: tuple[Coordinate, Coordinate] = (1.0, 1.0),
  shift: tuple[Coordinate, Coordinate] = (0.0, 0.0),
) -> tf.Tensor:
  """Resamples images by affine maps, with bilinear interpolation.

  The output pixel at p, relative to the image's center, is the input at
  rotation(angle) · [[1, shear x], [shear y, 1]] · diag(scale) · p + shift.
  The defaults return the image unchanged, bit for bit.

  Each number is one for all images or a float32 tensor (batch,).

  Args:
    images: float32 (batch, height, width, channels).
    edge: fills the area outside of an image; see `Edge`.
    angle: radians.
    shear: along x and y.
    scale: along x and y; below 1 magnifies.
    shift: along x and y, in pixels.

  Returns:
    float32 of the same shape.
  """
  count, height, width, _ = images.shape
  cosine, sine = (randomness.in_float64(f, angle) for f in (tf.cos, tf.sin))
  matrix = (
    (
      (cosine - sine * shear[1]) * scale[0],
      (cosine * shear[0] - sine) * scale[1],
    ),
    (
      (sine + cosine * shear[1]) * scale[0],
      (sine * shear[0] + cosine) * scale[1],
    ),
  )
  center = ((width - 1) / 2, (height - 1) / 2)
  rows = []
  for axis, row in enumerate(matrix):
    moved = row[0] * center[0] + row[1] * center[1]
    rows += [*row, center[axis] - moved + shift[axis]]
  rows += [0.0, 0.0]
  transforms = tf.stack(
    [tf.broadcast_to(tf.cast(each, tf.float32), [count]) for each in rows], 1
  )
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=images,
    transforms=transforms,
    output_shape=[height, width],
    fill_value=0.0,
    interpolation='BILINEAR',
    fill_mode=edge.upper(),
  )
