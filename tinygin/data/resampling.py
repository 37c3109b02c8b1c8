"""Moves the pixels of a batch of images: one affine resampling for each."""

from typing import Literal

import tensorflow as tf

from tinygin.data import randomness

# What lies outside of an image: black, its nearest edge, its mirror image, or
# its other side.
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
  """Returns images whose pixels come from other places, by bilinear sampling.

  A pixel at p, seen from the centre of its image, shows what lies at
  rotation(angle) · [[1, shear x], [shear y, 1]] · diag(scale) · p + shift.
  Where all of these are neutral, the image comes out unchanged, bit by bit.

  Args:
    images: float32 (batch, height, width, channels).
    edge: what lies outside of an image; see `Edge`.
    angle: radians.
    shear: along x and y.
    scale: along x and y; below 1 magnifies.
    shift: along x and y, in pixels.

  Each number is one for all images or a float32 tensor (batch,).
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
  centre = ((width - 1) / 2, (height - 1) / 2)
  rows = []
  for axis, row in enumerate(matrix):
    moved = row[0] * centre[0] + row[1] * centre[1]
    rows += [*row, centre[axis] - moved + shift[axis]]
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
