"""Counts what a network's layers cost, from the built network itself."""

import math
from collections.abc import Iterator

import keras


def leaves(model: keras.Model) -> Iterator[keras.Layer]:
  """Yields the layers of `model`, those of nested models in their place."""
  for layer in model.layers:
    if isinstance(layer, keras.Model):
      yield from leaves(layer)
    else:
      yield layer


def multiply_accumulates(layer: keras.Layer) -> int:
  """Returns the multiply-accumulate operations of one image's forward pass.

  Counted as the layer is declared, whatever is composed when it runs. Only
  convolutions and dense layers count; what works value by value is left out,
  as is usual.

  Args:
    layer: a layer or a nested model, called on images of known size.

  Returns:
    Operations for one image.

  Raises:
    TypeError: the layer has a kernel of a kind that is not known here.
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
      'Only dense, plain, depthwise and separable convolutional layers can be '
      f'counted. Received: {type(layer).__name__} {layer.name}.'
    )
  positions = math.prod(layer.output.shape[1:3]) if kernels else 0
  return sum(positions * math.prod(kernel.shape) for kernel in kernels)
