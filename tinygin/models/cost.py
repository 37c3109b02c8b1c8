"""Counts the multiply-accumulate operations of a built network."""

import math
from collections.abc import Iterator

import keras


def leaves(model: keras.Model) -> Iterator[keras.Layer]:
  """Yields the layers of `model`, replacing nested models by their layers."""
  for layer in model.layers:
    if isinstance(layer, keras.Model):
      yield from leaves(layer)
    else:
      yield layer


def multiply_accumulates(layer: keras.Layer) -> int:
  """Returns the multiply-accumulate operations of one image's forward pass.

  Counts the layer as declared, even if it merges kernels when it runs. As
  usual, only convolutions and dense layers count, not elementwise operations.

  Args:
    layer: a layer or a nested model, called on images of known size.

  Returns:
    Operations for one image.

  Raises:
    TypeError: the layer has a kernel but is of an unsupported type.
  """
  if isinstance(layer, keras.Model):
    return sum(map(multiply_accumulates, leaves(layer)))
  if isinstance(layer, keras.layers.Dense):
    return math.prod(layer.kernel.shape)
  kernels = [weight for weight in layer.weights if 'kernel' in weight.name]
  if kernels and not isinstance(
    layer,
    keras.layers.Conv2D
    | keras.layers.DepthwiseConv2D
    | keras.layers.SeparableConv2D,
  ):
    raise TypeError(
      'Only dense layers and plain, depthwise or separable convolutions can be '
      f'counted. Received: {layer.name}, a {type(layer).__name__}.'
    )
  positions = math.prod(layer.output.shape[1:3]) if kernels else 0
  return sum(positions * math.prod(kernel.shape) for kernel in kernels)
