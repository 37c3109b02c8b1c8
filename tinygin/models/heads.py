"""Heads: from features to one float32 logit for each class."""

from typing import Annotated

import gin
import keras
from annotated_types import Ge
from annotated_types import Interval

from tinygin.models.layers import Dropout


@gin.register
def linear_head(
  x: keras.KerasTensor,
  classes: Annotated[int, Ge(2)],
  dropout: Annotated[float, Interval(ge=0, lt=1)],
  l1: Annotated[float, Ge(0)],
  l2: Annotated[float, Ge(0)],
  name: str,
) -> keras.KerasTensor:
  """Global average pooling, dropout, one dense layer.

  Args:
    x: (batch, height, width, channels).
    classes: number of logits.
    dropout: fraction of the pooled features dropped in training.
    l1: weight of the sum of the dense kernel's absolute values in the loss.
    l2: weight of the sum of its squares.
    name: prefix of the layers' names.

  Returns:
    (batch, classes), float32 even if `x` is bfloat16.
  """
  return _head(x, classes, None, dropout, l1, l2, name)


@gin.register
def two_stage_head(
  x: keras.KerasTensor,
  classes: Annotated[int, Ge(2)],
  hidden: Annotated[int, Ge(1)],
  dropout: Annotated[float, Interval(ge=0, lt=1)],
  l1: Annotated[float, Ge(0)],
  l2: Annotated[float, Ge(0)],
  name: str,
) -> keras.KerasTensor:
  """Global average pooling, a hidden dense layer, dropout, a dense layer.

  Args:
    x: (batch, height, width, channels).
    classes: number of logits.
    hidden: units of the hidden layer, which is followed by a ReLU.
    dropout: fraction of the hidden units dropped in training.
    l1: weight of the sum of the kernels' absolute values in the loss.
    l2: weight of the sum of their squares.
    name: prefix of the layers' names.

  Returns:
    (batch, classes), float32 even if `x` is bfloat16.
  """
  return _head(x, classes, hidden, dropout, l1, l2, name)


def _head(x, classes, hidden, dropout, l1, l2, name):
  regularizer = keras.regularizers.L1L2(l1, l2) if l1 or l2 else None

  def dense(units, name, activation=None):
    return keras.layers.Dense(
      units,
      activation=activation,
      kernel_regularizer=regularizer,
      dtype='float32',
      name=name,
    )

  pool = keras.layers.GlobalAveragePooling2D
  x = pool(dtype='float32', name=f'{name}_pool')(x)
  if hidden is not None:
    x = dense(hidden, f'{name}_hidden', 'relu')(x)
  if dropout:
    x = Dropout(dropout, dtype='float32', name=f'{name}_dropout')(x)
  return dense(classes, f'{name}_dense')(x)
