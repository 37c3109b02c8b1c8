"""A root that takes Keras classes."""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence
from typing import Annotated

import gin
import keras

from tinygin.config import constraints


@gin.register('train_keras')
@dataclasses.dataclass(frozen=True)
class TrainKeras:
  """The root."""

  optimizer: Annotated[
    Callable[..., keras.optimizers.Optimizer],
    constraints.Supplies('learning_rate'),
  ]
  layers: Sequence[keras.Layer]
