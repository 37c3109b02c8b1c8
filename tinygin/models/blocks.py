"""Building blocks of the residual network.

A block is a function from tensor to tensor. The names of its layers begin with
its `name` argument. `nest` turns a block into a nested model, which is one row
of the summary.

A layer factory, such as `normalization` or `activation`, is a callable that
takes a `name` and returns a Keras layer. A convolution factory also takes
`filters`, `kernel_size`, `strides`, `padding` and `use_bias`.
"""

from collections.abc import Callable
from typing import Annotated
from typing import Any

import gin
import keras
from annotated_types import Ge

from tinygin.config.constraints import Supplies
from tinygin.models import layers  # noqa: F401  Registers the gin names.

LayerFactory = Annotated[Callable[..., keras.Layer], Supplies('name')]
Convolution = Annotated[
  Callable[..., keras.Layer],
  Supplies('filters', 'kernel_size', 'strides', 'padding', 'use_bias', 'name'),
]
DepthwiseConvolution = Annotated[
  Callable[..., keras.Layer],
  Supplies('kernel_size', 'strides', 'padding', 'use_bias', 'name'),
]
Block = Callable[[keras.KerasTensor], keras.KerasTensor]
End = Annotated[Block, Supplies('name')]
Stage = Annotated[Block, Supplies('normalization', 'activation', 'name')]
WideStage = Annotated[Stage, Supplies('filters')]


def nest(
  block: Block, x: keras.KerasTensor, name: str, **arguments: Any
) -> keras.KerasTensor:
  """Applies `block` to `x` as a nested model called `name`.

  Args:
    block: called with a tensor like `x`, `name` and `arguments`.
    x: the input, (batch, ...).
    name: name of the nested model, and prefix of the names of its layers.
    **arguments: further arguments of `block`.

  Returns:
    The block's output.

  Raises:
    ValueError: the name of a layer with variables does not begin with `name`,
      so checkpoints could not be restored.
  """
  inputs = keras.Input(x.shape[1:], dtype=x.dtype, name=f'{name}_input')
  model = keras.Model(inputs, block(inputs, name=name, **arguments), name=name)
  for variable in model.variables:
    layer = variable.path.partition('/')[0]
    if layer != name and not layer.startswith(f'{name}_'):
      raise ValueError(
        f"Layers of the block {name} must be called '{name}' or '{name}_...'. "
        f"Received: '{layer}'. Names that Keras generates change from build to "
        'build. Instead of keras.layers.Dropout, whose random state has such a '
        'name, use tinygin.models.layers.Dropout.'
      )
  return model(x)


@gin.register
def bottleneck(
  x: keras.KerasTensor,
  filters: Annotated[int, Ge(1)],
  factor: Annotated[int, Ge(1)],
  squeeze: Convolution,
  expand: Convolution,
  normalization: LayerFactory,
  activation: LayerFactory,
  name: str,
) -> keras.KerasTensor:
  """Pre-activation residual bottleneck that keeps the shape.

  Source: He et al., 2016, https://arxiv.org/abs/1603.05027.

  Args:
    x: (batch, height, width, filters).
    filters: channels in and out.
    factor: ratio of `filters` to the channels between the convolutions.
    squeeze: convolution factory, 1×1 to filters / factor.
    expand: convolution factory, 3×3 to filters.
    normalization: layer factory.
    activation: layer factory.
    name: prefix of the layers' names.

  Returns:
    (batch, height, width, filters).

  Raises:
    ValueError: x does not have `filters` channels, or factor does not divide
      filters.
  """
  if x.shape[-1] != filters:
    raise ValueError(
      f'The input of the bottleneck {name} must have {filters} channels, like '
      f'its output. Received: {x.shape[-1]}. Without a tail, width must equal '
      'the number of channels of the images.'
    )
  h = normalize_activate(x, normalization, activation, name, 1)
  h = _residual(
    h, filters, factor, 1, squeeze, expand, normalization, activation, name
  )
  return keras.layers.Add(name=f'{name}_add')([x, h])


@gin.register
def downsample(
  x: keras.KerasTensor,
  filters: Annotated[int, Ge(1)],
  factor: Annotated[int, Ge(1)],
  squeeze: Convolution,
  expand: Convolution,
  main: Convolution,
  normalization: LayerFactory,
  activation: LayerFactory,
  name: str,
) -> keras.KerasTensor:
  """Pre-activation residual block that halves height and width.

  Args:
    x: (batch, height, width, channels).
    filters: channels out.
    factor: ratio of `filters` to the channels between the residual
      convolutions.
    squeeze: convolution factory, 1×1 to filters / factor.
    expand: convolution factory, 3×3, stride 2, to filters.
    main: convolution factory of the main path, 3×3, stride 2, to filters.
    normalization: layer factory.
    activation: layer factory.
    name: prefix of the layers' names.

  Returns:
    (batch, ceil(height / 2), ceil(width / 2), filters).

  Raises:
    ValueError: factor does not divide filters.
  """
  x = normalize_activate(x, normalization, activation, name, 1)
  h = _residual(
    x, filters, factor, 2, squeeze, expand, normalization, activation, name
  )
  x = convolve(main, x, filters, 3, strides=2, name=f'{name}_main')
  return keras.layers.Add(name=f'{name}_add')([x, h])


def convolve(
  convolution: Convolution,
  x: keras.KerasTensor,
  filters: int,
  kernel_size: int,
  name: str,
  strides: int = 1,
) -> keras.KerasTensor:
  """Convolves `x` without bias; with stride 1, height and width stay."""
  return convolution(
    filters=filters,
    kernel_size=kernel_size,
    strides=strides,
    padding='same',
    use_bias=False,
    name=name,
  )(x)


def normalize_activate(
  x: keras.KerasTensor,
  normalization: LayerFactory,
  activation: LayerFactory,
  name: str,
  number: int,
) -> keras.KerasTensor:
  """Applies both layers; `number` distinguishes them within the block."""
  x = normalization(name=f'{name}_norm{number}')(x)
  return activation(name=f'{name}_act{number}')(x)


def _residual(
  h, filters, factor, strides, squeeze, expand, normalization, activation, name
):
  """The residual path: squeeze, normalize, activate, expand."""
  if filters % factor:
    raise ValueError(
      'The bottleneck factor must divide the number of filters. '
      f'Received: factor={factor}, filters={filters}, in {name}.'
    )
  h = convolve(squeeze, h, filters // factor, 1, name=f'{name}_squeeze')
  h = normalize_activate(h, normalization, activation, name, 2)
  return convolve(expand, h, filters, 3, strides=strides, name=f'{name}_expand')
