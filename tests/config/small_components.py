"""Components for the tests of the configuration; no TensorFlow."""

import dataclasses
from collections.abc import Callable
from typing import Annotated
from typing import Literal
from typing import Protocol

import gin
from annotated_types import Ge
from annotated_types import Gt
from annotated_types import Interval
from annotated_types import Len

from tinygin.config import constraints


@gin.register
@dataclasses.dataclass(frozen=True)
class Adam:
  """An optimizer."""

  learning_rate: Annotated[float, Gt(0)]
  beta: Annotated[float, Interval(ge=0, lt=1)]


@gin.register
@dataclasses.dataclass(frozen=True)
class Momentum:
  """Another optimizer."""

  learning_rate: Annotated[float, Gt(0)]
  decay: float


class LayerBase:
  """A base class, like those of networks in other libraries."""

  def __init__(self, trainable: bool | None = None, dtype=None, **kwargs):
    if kwargs:
      raise ValueError(f'Unrecognized arguments: {kwargs}')
    self.trainable = trainable
    self.dtype = dtype


@gin.register
class Layer(LayerBase):
  """A layer; its name is given by the network."""

  def __init__(self, rate=0.1, **kwargs):
    super().__init__(dtype='float32', **kwargs)
    self.rate = rate


@gin.register
@dataclasses.dataclass(frozen=True)
class Network:
  """A network."""

  levels: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1, 3)]
  width: Annotated[int, Ge(1)]
  padding: Literal['same', 'valid']
  layer: Callable[..., LayerBase] | None = None
  inner: 'Network | None' = None


@gin.register
def text(value: str) -> str:
  """Returns a text."""
  return value


@gin.register
def default(value: int = 3) -> int:
  """Has a default in code."""
  return value


@gin.register
def pair(first: int, second: int) -> int:
  """Adds, unless the sum is too large."""
  if first + second > 100:
    raise ValueError(f'The sum of first={first} and second is too large.')
  return first + second


@gin.register
def scale(x: float, factor: float) -> float:
  """Multiplies."""
  if not factor:
    raise ValueError('The factor must not be zero.')
  return x * factor


@gin.register
def block(x: int, size: int, width: int, name: str) -> tuple:
  """Returns its argument."""
  return x, size, width, name


Named = Annotated[Callable[[int], tuple], constraints.Supplies('name')]


@gin.register('train')
@dataclasses.dataclass(frozen=True)
class Train:
  """The root."""

  epochs: Annotated[int, Ge(1)]
  optimizer: Annotated[
    Callable[..., Adam | Momentum], constraints.Supplies('learning_rate')
  ]
  network: Network | None = None
  scale: Callable[[float], float] | None = None
  rate: float | None = None
  names: list[str] | None = None
  count: int | None = None
  flag: bool | None = None
  options: dict[str, int] | None = None
  label: str | None = None
  log_every: Annotated[int | None, constraints.CONTINUABLE] = None
  block: Annotated[Named, constraints.Supplies('width')] | None = None
  maker: Callable[[], Adam] | None = None
  extra: object = None


class Runner(Protocol):
  """The interface that `Run` needs."""

  def start(self) -> None:
    """Starts."""


@gin.register('run')
@dataclasses.dataclass(frozen=True)
class Run:
  """A root that takes any object with the interface `Runner`."""

  on: Runner


@gin.register('build')
@dataclasses.dataclass(frozen=True)
class Build:
  """The root of another program."""

  shards: int
