"""Tails: the layers between the image and the first block."""

from typing import Annotated

import gin
import keras
from annotated_types import Ge

from tinygin.config.constraints import Supplies
from tinygin.models import blocks


@gin.register
def separable_tail(
  x: keras.KerasTensor,
  filters: Annotated[int, Ge(1)],
  kernel_size: Annotated[int, Ge(1)],
  depth_multiplier: Annotated[int, Ge(1)],
  convolution: Annotated[blocks.Convolution, Supplies('depth_multiplier')],
  name: str,
) -> keras.KerasTensor:
  """One separable convolution of stride 1, without bias.

  Args:
    x: (batch, height, width, channels).
    filters: channels out.
    kernel_size: height and width of the depthwise kernel.
    depth_multiplier: depthwise outputs per input channel.
    convolution: factory of separable convolutions.
    name: the layer's name.

  Returns:
    (batch, height, width, filters).
  """
  return convolution(
    filters=filters,
    kernel_size=kernel_size,
    depth_multiplier=depth_multiplier,
    padding='same',
    use_bias=False,
    name=name,
  )(x)
