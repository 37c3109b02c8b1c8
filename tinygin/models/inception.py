"""The inception network: residual inception blocks, depthwise branches."""

from typing import Annotated

import gin
import keras
from annotated_types import Ge
from annotated_types import Len

from tinygin.models import blocks
from tinygin.models import heads  # noqa: F401  Registers components.
from tinygin.models.blocks import convolve
from tinygin.models.blocks import normalize_activate


@gin.register
def TinyInceptionNet(
  image_size: Annotated[int, Ge(1)],
  channels: Annotated[int, Ge(1)],
  levels: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1, 3)],
  incept_a: blocks.Stage,
  reduct_a: blocks.Stage,
  incept_b: blocks.Stage,
  reduct_b: blocks.Stage,
  incept_c: blocks.Stage,
  normalization: blocks.LayerFactory,
  activation: blocks.LayerFactory,
  tail: blocks.End | None = None,
  head: blocks.End | None = None,
) -> keras.Model:
  """Builds the inception network.

  The design follows Inception-ResNet (Szegedy et al., 2016,
  https://arxiv.org/abs/1602.07261), with pre-activation, and with depthwise
  factors instead of full convolutions.

  Args:
    image_size: height and width of the input, in pixels.
    channels: channels of the input.
    levels: number of blocks A, B and C. Reductions follow A and B.
    incept_a: block of the first level. This and the next four are called with
      `normalization`, `activation` and `name`.
    reduct_a: reduction after the first level.
    incept_b: block of the second level.
    reduct_b: reduction after the second level.
    incept_c: block of the third level.
    normalization: layer factory.
    activation: layer factory.
    tail: block before the first level, or None.
    head: block from features to logits. None: the model returns features.

  Returns:
    A model from normalized float32 images (batch, image_size, image_size,
    channels) to float32 logits (batch, classes), or without a head to features
    (batch, height, width, features).
  """
  inputs = keras.Input((image_size, image_size, channels), name='image')
  layers = {'normalization': normalization, 'activation': activation}
  x = inputs
  if tail is not None:
    x = blocks.nest(tail, x, 'inception_tail')
  design = (
    ('A', incept_a, reduct_a),
    ('B', incept_b, reduct_b),
    ('C', incept_c, None),
  )
  for level, (repeats, (letter, incept, reduct)) in enumerate(
    zip(levels, design, strict=False), 1
  ):
    for index in range(1, repeats + 1):
      x = blocks.nest(incept, x, f'incept_{letter}_{index}', **layers)
    if reduct is not None:
      x = blocks.nest(reduct, x, f'reduct_{letter}_{level}', **layers)
  x = normalization(name='bn')(x)
  x = activation(name='relu')(x)
  if head is not None:
    x = blocks.nest(head, x, 'head')
  return keras.Model(inputs, x, name='tiny_inception_net')


@gin.register
def inception_tail(
  x: keras.KerasTensor,
  filters: Annotated[int, Ge(4)],
  kernel_size: Annotated[int, Ge(1)],
  strides: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(3, 3)],
  convolution: blocks.Convolution,
  depthwise: blocks.DepthwiseConvolution,
  separable: blocks.Convolution,
  normalization: blocks.LayerFactory,
  name: str,
) -> keras.KerasTensor:
  """The stem: parallel convolutions, poolings and a factored convolution.

  Args:
    x: (batch, height, width, channels).
    filters: channels out, a multiple of 4.
    kernel_size: kernel size of the factored branch.
    strides: strides of the first convolution, the first pair of branches and
      the last pair.
    convolution: factory of 1×1 convolutions.
    depthwise: factory of depthwise convolutions.
    separable: factory of separable 3×3 convolutions.
    normalization: layer factory.
    name: prefix of the layers' names.

  Returns:
    (batch, height / s, width / s, filters) with s the product of `strides`.
  """
  _check_multiple('filters', filters, 4, name)
  first, second, third = strides
  factories = {
    'convolution': convolution,
    'depthwise': depthwise,
    'normalization': normalization,
  }
  x = convolve(separable, x, filters // 4, 3, f'{name}_conv1', first)
  convolved = convolve(separable, x, filters // 4, 3, f'{name}_conv2', second)
  x = _concatenate([convolved, _pool(x, second, f'{name}_pool1')], 1, name)
  factored = _mini(
    x, filters // 4, 1, kernel_size, f'{name}_conv3', **factories
  )
  convolved = convolve(separable, x, filters // 4, 3, f'{name}_conv4')
  x = _concatenate([factored, convolved], 2, name)
  convolved = convolve(separable, x, filters // 2, 3, f'{name}_conv5', third)
  return _concatenate([convolved, _pool(x, third, f'{name}_pool2')], 3, name)


@gin.register
def incept(
  x: keras.KerasTensor,
  kernel_size: Annotated[int, Ge(1)],
  depths: tuple[Annotated[int, Ge(1)], ...],
  factor: Annotated[int, Ge(1)],
  convolution: blocks.Convolution,
  depthwise: blocks.DepthwiseConvolution,
  normalization: blocks.LayerFactory,
  activation: blocks.LayerFactory,
  name: str,
) -> keras.KerasTensor:
  """Residual inception block that keeps the shape.

  The branches are one factored branch for each of `depths`, and a 1×1
  convolution. Their result is added to the activated input, not to the input.

  Args:
    x: (batch, height, width, channels).
    kernel_size: k of the depthwise factors, k×1 and 1×k.
    depths: pairs of factors in each branch.
    factor: ratio of `channels` to the channels of a branch.
    convolution: factory of 1×1 convolutions.
    depthwise: factory of depthwise convolutions.
    normalization: layer factory.
    activation: layer factory.
    name: prefix of the layers' names.

  Returns:
    (batch, height, width, channels).

  Raises:
    ValueError: factor does not divide channels.
  """
  channels = x.shape[-1]
  _check_multiple('The number of channels', channels, factor, name)
  h = normalize_activate(x, normalization, activation, name, 1)
  factories = {
    'convolution': convolution,
    'depthwise': depthwise,
    'normalization': normalization,
  }
  paths = [
    _mini(h, channels // factor, n, kernel_size, f'{name}_path{i}', **factories)
    for i, n in enumerate(depths, 1)
  ]
  last = f'{name}_path{len(depths) + 1}'
  paths.append(convolve(convolution, h, channels // factor, 1, last))
  y = _concatenate(paths, 1, name)
  y = normalization(name=f'{name}_norm2')(y)
  y = convolve(convolution, y, channels, 1, f'{name}_up')
  return keras.layers.Add(name=f'{name}_add')([h, y])


@gin.register
def reduct_a(
  x: keras.KerasTensor,
  convolution: blocks.Convolution,
  depthwise: blocks.DepthwiseConvolution,
  separable: blocks.Convolution,
  normalization: blocks.LayerFactory,
  activation: blocks.LayerFactory,
  name: str,
) -> keras.KerasTensor:
  """Halves height and width and triples the channels.

  Args:
    x: (batch, height, width, channels), an even number of channels.
    convolution: factory of 1×1 convolutions.
    depthwise: factory of depthwise convolutions.
    separable: factory of separable 3×3 convolutions.
    normalization: layer factory.
    activation: layer factory.
    name: prefix of the layers' names.

  Returns:
    (batch, ceil(height / 2), ceil(width / 2), 3 · channels).
  """
  channels = x.shape[-1]
  _check_multiple('The number of channels', channels, 2, name)
  x = normalize_activate(x, normalization, activation, name, 1)
  paths = [
    convolve(separable, x, channels, 3, f'{name}_path1', 2),
    _deep_path(x, channels, convolution, depthwise, separable, f'{name}_path2'),
    _pool(x, 2, f'{name}_pool'),
  ]
  return _concatenate(paths, 1, name)


@gin.register
def reduct_b(
  x: keras.KerasTensor,
  convolution: blocks.Convolution,
  depthwise: blocks.DepthwiseConvolution,
  separable: blocks.Convolution,
  normalization: blocks.LayerFactory,
  activation: blocks.LayerFactory,
  name: str,
) -> keras.KerasTensor:
  """Halves height and width and quadruples the channels.

  Args:
    x: (batch, height, width, channels), an even number of channels.
    convolution: factory of 1×1 convolutions.
    depthwise: factory of depthwise convolutions.
    separable: factory of separable 3×3 convolutions.
    normalization: layer factory.
    activation: layer factory.
    name: prefix of the layers' names.

  Returns:
    (batch, ceil(height / 2), ceil(width / 2), 4 · channels).
  """
  channels = x.shape[-1]
  _check_multiple('The number of channels', channels, 2, name)
  x = normalize_activate(x, normalization, activation, name, 1)

  def shallow_path(path):
    h = convolve(separable, x, channels // 2, 3, f'{path}_conv1')
    return convolve(separable, h, channels, 3, f'{path}_conv2', 2)

  paths = [
    shallow_path(f'{name}_path1'),
    _deep_path(x, channels, convolution, depthwise, separable, f'{name}_path2'),
    _pool(x, 2, f'{name}_pool'),
    shallow_path(f'{name}_path4'),
  ]
  return _concatenate(paths, 1, name)


def _mini(
  x, filters, depth, kernel_size, name, convolution, depthwise, normalization
):
  """1×1 convolution, then `depth` times: normalize, k×1 and 1×k depthwise."""
  x = convolve(convolution, x, filters, 1, f'{name}_conv1')
  for index in range(1, depth + 1):
    x = normalization(name=f'{name}_norm{index}')(x)
    for part, size in enumerate([(kernel_size, 1), (1, kernel_size)]):
      x = _depthwise(
        depthwise, x, size, f'{name}_depthwise{2 * index - 1 + part}'
      )
  return x


def _deep_path(x, channels, convolution, depthwise, separable, name):
  x = convolve(convolution, x, channels // 2, 1, f'{name}_conv1')
  x = _depthwise(depthwise, x, 3, f'{name}_conv2')
  return convolve(separable, x, channels, 3, f'{name}_conv3', 2)


def _depthwise(depthwise, x, size, name):
  return depthwise(
    kernel_size=size, strides=1, padding='same', use_bias=False, name=name
  )(x)


def _pool(x, strides, name):
  return keras.layers.MaxPooling2D(3, strides, padding='same', name=name)(x)


def _concatenate(tensors, index, name):
  return keras.layers.Concatenate(name=f'{name}_concat{index}')(tensors)


def _check_multiple(what, number, divisor, name):
  if number % divisor:
    raise ValueError(
      f'{what} must be a multiple of {divisor}. Received: {number}, in {name}.'
    )
