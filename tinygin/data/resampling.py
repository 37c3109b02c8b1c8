"""Moves, zooms and transforms a batch of images, each by its own amount."""

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
  height, width = images.shape[1:3]
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
  count = tf.shape(images)[:1]
  transforms = tf.stack(
    [tf.broadcast_to(tf.cast(each, tf.float32), count) for each in rows], 1
  )
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=images,
    transforms=transforms,
    output_shape=[height, width],
    fill_value=0.0,
    interpolation='BILINEAR',
    fill_mode=edge.upper(),
  )


def translate(
  images: tf.Tensor, *, edge: str, shift: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
  """Moves images by whole pixels: the output pixel at p is that at p + shift.

  Equals `warp` with the same shift, bit for bit, if that is less than the side.

  Args:
    images: (batch, height, width, channels), of any type.
    edge: fills the area outside of an image; see `Edge`.
    shift: along x and y, in pixels, each int32 (batch,).

  Returns:
    Images of the same shape and type.
  """
  count, height, width, channels = images.shape
  columns, rows = (
    tf.range(side) + each[:, None]
    for side, each in zip((width, height), shift, strict=True)
  )
  # Numbers of pixels, counted through the whole batch.
  numbers = (
    width * (_inside(rows, height, edge) + height * tf.range(count)[:, None])
  )[:, :, None] + _inside(columns, width, edge)[:, None, :]
  moved = tf.gather(tf.reshape(images, [-1, channels]), numbers)
  if edge == 'constant':
    within = _is_inside(rows, height)[:, :, None]
    within &= _is_inside(columns, width)[:, None, :]
    moved = tf.where(within[..., None], moved, 0)
  return moved


def zoom(
  images: tf.Tensor,
  *,
  edge: str,
  scale: tuple[tf.Tensor, tf.Tensor],
  shift: tuple[tf.Tensor, tf.Tensor],
) -> tf.Tensor:
  """Resamples images along their sides, with bilinear interpolation.

  Equals `warp` except for rounding and, with the edge `wrap`, between the
  outermost pixels. It is faster, as it interpolates whole rows. The scale 1 and
  the shift 0 change nothing.

  Args:
    images: float32 (batch, height, width, channels).
    edge: fills the area outside of an image; see `Edge`.
    scale: along x and y, each float32 (batch,); below 1 magnifies.
    shift: along x and y, in pixels, each float32 (batch,).

  Returns:
    float32 of the same shape.
  """
  for axis in (1, 0):
    images = _zoom_vertically(images, edge, scale[axis], shift[axis])
    images = tf.transpose(images, [0, 2, 1, 3])
  return images


def _zoom_vertically(
  images: tf.Tensor, edge: str, scale: tf.Tensor, shift: tf.Tensor
) -> tf.Tensor:
  height, width, channels = images.shape[1:]
  center = (height - 1) / 2
  start = center - scale * center + shift
  place = start[:, None] + scale[:, None] * tf.range(height, dtype=tf.float32)
  floor = tf.floor(place)
  rows = tf.reshape(images, [-1, height, width * channels])
  taps = []
  for number in (tf.cast(floor, tf.int32) + each for each in (0, 1)):
    tap = tf.gather(rows, _inside(number, height, edge), batch_dims=1)
    if edge == 'constant':
      tap = tf.where(_is_inside(number, height)[:, :, None], tap, 0)
    taps.append(tap)
  above, below = taps
  weight = (place - floor)[:, :, None]
  return tf.reshape(
    above + weight * (below - above), [-1, height, width, channels]
  )


def _inside(numbers: tf.Tensor, side: int, edge: str) -> tf.Tensor:
  """Returns the pixels that stand for those outside of the image, int32."""
  if edge == 'wrap':
    return numbers % side
  if edge == 'reflect':
    numbers %= 2 * side
    return tf.minimum(numbers, 2 * side - 1 - numbers)
  return tf.clip_by_value(numbers, 0, side - 1)


def _is_inside(numbers: tf.Tensor, side: int) -> tf.Tensor:
  return (numbers >= 0) & (numbers < side)
