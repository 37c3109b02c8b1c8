"""A root in place of train's that needs no TensorFlow."""

import dataclasses
from typing import Annotated
from typing import Literal

import gin
from annotated_types import Ge
from annotated_types import Gt


@gin.register('train')
@dataclasses.dataclass(frozen=True)
class Train:
  """The root."""

  run_dir: str
  seed: int
  rate: Annotated[float, Gt(0)]
  width: Annotated[int, Ge(1)]
  levels: tuple[int, ...]
  mark: bool | int | float
  behaviour: Literal[
    'train',
    'fail once',
    'crash',
    'stop the sweep once',
    'diverge',
    'ignore SIGTERM',
    'write no result',
  ]
