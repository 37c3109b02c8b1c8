"""RandAugment for whole batches."""

import dataclasses
import math
from typing import Annotated

import gin
import tensorflow as tf
from annotated_types import Interval

from tinygin.data import colors
from tinygin.data import randomness
from tinygin.data import resampling

OPERATIONS = (
  'rotate',
  'shear_x',
  'shear_y',
  'shift_x',
  'shift_y',
  'brightness',
  'contrast',
  'saturation',
  'sharpness',
  'posterize',
  'solarize',
)
MAGNITUDES = 10

# The amounts at the greatest magnitude, as in the paper.
_ROTATION = math.radians(30)
_SHEAR = 0.3
_SHIFT = 0.45  # Of the image's side.
_FACTOR = 0.9
_BITS = 4


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
    amount = self._amounts(random)
    height, width = images.shape[1:3]
    images = resampling.warp(
      images,
      edge=self.edge,
      angle=_ROTATION * amount['rotate'],
      shear=(_SHEAR * amount['shear_x'], _SHEAR * amount['shear_y']),
      shift=(
        _SHIFT * width * amount['shift_x'],
        _SHIFT * height * amount['shift_y'],
      ),
    )
    for name, change in (
      ('brightness', colors.brightness),
      ('contrast', colors.contrast),
      ('saturation', colors.saturation),
      ('sharpness', colors.sharpness),
    ):
      images = change(images, 1 + _FACTOR * amount[name])
    bits = tf.round(_BITS * tf.abs(amount['posterize']))
    images = colors.posterize(images, bits)
    return colors.solarize(images, tf.abs(amount['solarize'])), labels

  def _amounts(self, random: randomness.Generator) -> dict[str, tf.Tensor]:
    """Draws an amount in [-1, 1] for each operation; 0 skips it."""
    scores = tf.stack([random.uniform(0, 1) for _ in OPERATIONS], axis=1)
    least = tf.math.top_k(scores, self.operations).values[:, -1:]
    done = tf.unstack(tf.cast(scores >= least, tf.float32), axis=1)
    return {
      name: each * tf.sign(random.uniform(-1, 1)) * self.magnitude / MAGNITUDES
      for name, each in zip(OPERATIONS, done, strict=True)
    }
