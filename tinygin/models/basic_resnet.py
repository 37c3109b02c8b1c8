"""The plain residual network for small images, such as ResNet-18."""

from typing import Annotated

import gin
import keras
from annotated_types import Ge
from annotated_types import Len

from tinygin.models import blocks
from tinygin.models import heads  # noqa: F401  Registers components.
from tinygin.models.blocks import convolve


@gin.register
def BasicResNet(
  image_size: Annotated[int, Ge(1)],
  channels: Annotated[int, Ge(1)],
  levels: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1)],
  width: Annotated[int, Ge(1)],
  stem_strides: Annotated[int, Ge(1)],
  convolution: blocks.Convolution,
  normalization: blocks.LayerFactory,
  activation: blocks.LayerFactory,
  head: blocks.End | None = None,
) -> keras.Model:
  """Builds a residual network whose blocks have two 3×3 convolutions.

  Source: He et al., 2015, https://arxiv.org/abs/1512.03385, with the authors'
  stem for 32×32 images: a 3×3 convolution and no pooling.

  Args:
    image_size: height and width of the input, in pixels.
    channels: channels of the input.
    levels: number of blocks in each level. Every level but the first halves
      height and width and doubles the channels.
    width: channels of the first level.
    stem_strides: strides of the first convolution.
    convolution: convolution factory.
    normalization: layer factory.
    activation: layer factory.
    head: block from features to logits. None: the model returns features.

  Returns:
    A model from normalized float32 images (batch, image_size, image_size,
    channels) to float32 logits (batch, classes), or to features.
  """
  layers = {
    'convolution': convolution,
    'normalization': normalization,
    'activation': activation,
  }
  inputs = keras.Input((image_size, image_size, channels), name='image')
  x = blocks.nest(
    _stem, inputs, 'stem', filters=width, strides=stem_strides, **layers
  )
  for level, repeats in enumerate(levels):
    for index in range(repeats):
      x = blocks.nest(
        _basic_block,
        x,
        f'level{level + 1}_block{index + 1}',
        filters=width << level,
        strides=2 if level and not index else 1,
        **layers,
      )
  if head is not None:
    x = blocks.nest(head, x, 'head')
  return keras.Model(inputs, x, name='basic_resnet')


def _stem(x, filters, strides, convolution, normalization, activation, name):
  x = convolve(convolution, x, filters, 3, f'{name}_conv', strides)
  return blocks.normalize_activate(x, normalization, activation, name, 1)


def _basic_block(
  x, filters, strides, convolution, normalization, activation, name
):
  h = convolve(convolution, x, filters, 3, f'{name}_conv1', strides)
  h = blocks.normalize_activate(h, normalization, activation, name, 1)
  h = convolve(convolution, h, filters, 3, f'{name}_conv2')
  h = normalization(name=f'{name}_norm2')(h)
  if strides > 1 or x.shape[-1] != filters:
    x = convolve(convolution, x, filters, 1, f'{name}_shortcut', strides)
    x = normalization(name=f'{name}_shortcut_norm')(x)
  x = keras.layers.Add(name=f'{name}_add')([x, h])
  return activation(name=f'{name}_act2')(x)
