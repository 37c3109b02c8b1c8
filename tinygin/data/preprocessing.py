"""Converts images into the input of a network."""

import dataclasses
from typing import Annotated

import gin
import tensorflow as tf
from annotated_types import Gt
from annotated_types import Interval

Level = Annotated[float, Interval(ge=0, le=255)]
Positive = Annotated[float, Gt(0)]


@gin.register
def per_image_standardization(images: tf.Tensor) -> tf.Tensor:
  """Scales each image to zero mean and unit variance over all its values.

  Args:
    images: float32 (batch, height, width, channels), any range.

  Returns:
    float32 of the same shape. The deviation is at least 1 / sqrt(values per
    image), so that an image of one color becomes zeros.
  """
  return tf.image.per_image_standardization(images)


@gin.register
@dataclasses.dataclass(frozen=True)
class DatasetStandardization:
  """Scales images by the mean and standard deviation of the data set's colors.

  For tiny-imagenet-200's training images they are about (122.5, 114.3, 101.4)
  and (70.6, 68.6, 71.9).

  Attributes:
    mean: mean of red, green and blue, in [0, 255].
    deviation: standard deviation of red, green and blue, in the same unit.
  """

  mean: tuple[Level, Level, Level]
  deviation: tuple[Positive, Positive, Positive]

  def __call__(self, images: tf.Tensor) -> tf.Tensor:
    """Returns the scaled images, float32 of the same shape."""
    return (images - self.mean) / self.deviation
