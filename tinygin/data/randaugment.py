"""RandAugment for whole batches."""

import dataclasses
import functools
import math
from collections.abc import Callable
from collections.abc import Sequence
from typing import Annotated

import gin
import tensorflow as tf
from annotated_types import Interval

from tinygin.data import colors
from tinygin.data import randomness
from tinygin.data import resampling

MAGNITUDES = 10

# The amounts at the greatest magnitude, as in the paper.
_ROTATION = math.radians(30)
_SHEAR = 0.3
_SHIFT = 0.45  # Of the image's side.
_FACTOR = 0.9
_BITS = 4

_TURNS = ('rotate', 'shear_x', 'shear_y')
_SHIFTS = ('shift_x', 'shift_y')
_FACTORS = {
  'brightness': colors.brightness,
  'contrast': colors.contrast,
  'saturation': colors.saturation,
  'sharpness': colors.sharpness,
}
OPERATIONS = (*_TURNS, *_SHIFTS, *_FACTORS, 'posterize', 'solarize')

# Each operation's amounts, float32 (batch,).
Amounts = dict[str, tf.Tensor]


@gin.register
@dataclasses.dataclass(frozen=True)
class RandAugment:
  """Applies some random operations to each image.

  After "RandAugment: practical automated data augmentation with a reduced
  search space" (Cubuk et al., 2019), changed to work on whole batches: the
  operations of an image are distinct and have a fixed order, those that move
  pixels share one resampling, and the operations without a magnitude
  (equalize, invert, autocontrast) are left out. Rotation, shear, shift,
  brightness, contrast, saturation and sharpness have a random sign.

  Attributes:
    operations: the number of operations on each image.
    magnitude: their strength; 0 changes nothing.
    edge: fills the area outside of the image; `constant` is black.
  """

  operations: Annotated[int, Interval(ge=1, le=len(OPERATIONS))]
  magnitude: Annotated[float, Interval(ge=0, le=MAGNITUDES)]
  edge: resampling.Edge

  def __call__(
    self, images: tf.Tensor, labels: tf.Tensor, random: randomness.Generator
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the changed images and the labels."""
    amounts = self._amounts(random)
    turned = tf.reduce_any([amounts[name] != 0 for name in _TURNS], 0)
    shifted = tf.reduce_any([amounts[name] != 0 for name in _SHIFTS], 0)
    recolored = [
      amounts[name] != 0 for name in OPERATIONS[-len(_RECOLORINGS) :]
    ]
    pending = tf.stack([turned, shifted & ~turned, *recolored], axis=1)
    changes = [self._warp, self._shift, *_RECOLORINGS]
    for _ in range(min(self.operations, 1 + len(_RECOLORINGS))):
      # The first change of each image that is not made yet.
      number = tf.argmax(tf.cast(pending, tf.int32), 1, tf.int32)
      none = ~tf.reduce_any(pending, 1)
      images = _switch(
        images, tf.where(none, len(changes), number), changes, amounts
      )
      pending &= tf.one_hot(number, len(changes), False, True)
    return images, labels

  def _warp(self, images: tf.Tensor, amounts: Amounts) -> tf.Tensor:
    return resampling.warp(
      images,
      edge=self.edge,
      angle=_ROTATION * amounts['rotate'],
      shear=(_SHEAR * amounts['shear_x'], _SHEAR * amounts['shear_y']),
      shift=_pixels(images, amounts),
    )

  def _shift(self, images: tf.Tensor, amounts: Amounts) -> tf.Tensor:
    same = tf.ones_like(amounts['shift_x'])
    return resampling.zoom(
      images,
      edge=self.edge,
      scale=(same, same),
      shift=_pixels(images, amounts),
    )

  def _amounts(self, random: randomness.Generator) -> Amounts:
    """Draws an amount in [-1, 1] for each operation; 0 skips it."""
    scores = random.uniforms(len(OPERATIONS), 0, 1)
    least = tf.math.top_k(tf.transpose(scores), self.operations).values[:, -1]
    signs = tf.sign(random.uniforms(len(OPERATIONS), -1, 1))
    amounts = tf.where(scores >= least, signs * self.magnitude / MAGNITUDES, 0)
    return dict(zip(OPERATIONS, tf.unstack(amounts), strict=True))


def _switch(
  images: tf.Tensor,
  numbers: tf.Tensor,
  changes: Sequence[Callable[[tf.Tensor, Amounts], tf.Tensor]],
  amounts: Amounts,
) -> tf.Tensor:
  """Changes each image by one of several functions, or by none.

  Args:
    images: (batch, height, width, channels).
    numbers: int32 (batch,), each image's function; their count means none.
    changes: take some of the images, and their amounts.
    amounts: of the whole batch.

  Returns:
    The changed images, in the order of the batch.
  """
  parts, part_amounts, places = (
    tf.dynamic_partition(each, numbers, len(changes) + 1)
    for each in (
      images,
      tf.stack(list(amounts.values()), axis=1),
      tf.range(images.shape[0]),
    )
  )
  for number, change in enumerate(changes):
    columns = tf.unstack(part_amounts[number], axis=1)
    named = dict(zip(amounts, columns, strict=True))
    parts[number] = change(parts[number], named)
  return tf.ensure_shape(tf.dynamic_stitch(places, parts), images.shape)


def _pixels(images: tf.Tensor, amounts: Amounts) -> tuple[tf.Tensor, tf.Tensor]:
  height, width = images.shape[1:3]
  return (
    _SHIFT * width * amounts['shift_x'],
    _SHIFT * height * amounts['shift_y'],
  )


def _blend(name: str, images: tf.Tensor, amounts: Amounts) -> tf.Tensor:
  return _FACTORS[name](images, 1 + _FACTOR * amounts[name])


def _posterize(images: tf.Tensor, amounts: Amounts) -> tf.Tensor:
  bits = tf.round(_BITS * tf.abs(amounts['posterize']))
  return colors.posterize(images, bits)


def _solarize(images: tf.Tensor, amounts: Amounts) -> tf.Tensor:
  return colors.solarize(images, tf.abs(amounts['solarize']))


# In the order of `OPERATIONS`.
_RECOLORINGS = (
  *(functools.partial(_blend, name) for name in _FACTORS),
  _posterize,
  _solarize,
)
