"""The residual network: separable, pre-activation bottlenecks."""

from typing import Annotated

import gin
import keras
from annotated_types import Ge
from annotated_types import Len

from tinygin.models import blocks
from tinygin.models import heads  # noqa: F401  Registers components.
from tinygin.models import tails  # noqa: F401  Registers components.


@gin.register
def TinyImageNet(
  image_size: Annotated[int, Ge(1)],
  channels: Annotated[int, Ge(1)],
  levels: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1, 3)],
  width: Annotated[int, Ge(1)],
  bottleneck: blocks.WideStage,
  downsample: blocks.WideStage,
  normalization: blocks.LayerFactory,
  activation: blocks.LayerFactory,
  tail: blocks.End | None = None,
  head: blocks.End | None = None,
) -> keras.Model:
  """Builds the residual network.

  Each level has bottlenecks, followed by a downsampling block, which halves
  height and width and doubles the channels.

  Args:
    image_size: height and width of the input, in pixels.
    channels: channels of the input.
    levels: number of bottlenecks in each level.
    width: channels of the first level.
    bottleneck: block that keeps the shape. It is called with `filters`,
      `normalization`, `activation` and `name`.
    downsample: block after each level, called with the same arguments.
    normalization: layer factory.
    activation: layer factory.
    tail: block from the image to `width` channels, or None.
    head: block from features to logits. None: the model returns features.

  Returns:
    A model from normalized float32 images (batch, image_size, image_size,
    channels) to float32 logits (batch, classes), or without a head to features
    (batch, height, width, width · 2^len(levels)).
  """
  inputs = keras.Input((image_size, image_size, channels), name='image')
  layers = {'normalization': normalization, 'activation': activation}
  x = inputs
  if tail is not None:
    x = blocks.nest(tail, x, 'tail')
  count = 0
  for level, repeats in enumerate(levels):
    for _ in range(repeats):
      name = _numbered('bottleneck', count)
      x = blocks.nest(bottleneck, x, name, filters=width << level, **layers)
      count += 1
    name = _numbered('downsample', level)
    x = blocks.nest(downsample, x, name, filters=width << level + 1, **layers)
  x = normalization(name='bn')(x)
  x = activation(name='relu')(x)
  if head is not None:
    x = blocks.nest(head, x, 'head')
  return keras.Model(inputs, x, name='tiny_image_net')


def _numbered(name: str, index: int) -> str:
  return f'{name}_{index}' if index else name
