"""What a sweep is: the root of a sweep's configuration."""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Annotated
from typing import Any
from typing import Literal

import gin
import optuna
from annotated_types import Ge
from annotated_types import Gt
from annotated_types import Len
from optuna import distributions

from tinygin.config import constraints
from tinygin.config import errors
from tinygin.config import loading
from tinygin.config import statements
from tinygin.training import run_directory

Positive = Annotated[int, Ge(1)]
# Beyond so many combinations, each value is checked once only.
_MOST_CHECKED = 1000


@gin.register
def uniform(low: float, high: float) -> distributions.FloatDistribution:
  """Numbers from low to high, all equally likely."""
  return distributions.FloatDistribution(low, high)


@gin.register
def log_uniform(
  low: Annotated[float, Gt(0)],
  high: Annotated[float, Gt(0)],
) -> distributions.FloatDistribution:
  """Numbers from low to high whose logarithms are equally likely."""
  return distributions.FloatDistribution(low, high, log=True)


@gin.register
def uniform_integer(
  low: int, high: int, step: Positive
) -> distributions.IntDistribution:
  """The integers low, low + step, … up to high, all equally likely."""
  return distributions.IntDistribution(low, high, step=step)


Range = distributions.FloatDistribution | distributions.IntDistribution


@gin.register('sweep')
@dataclasses.dataclass(frozen=True)
class Sweep:
  """Everything that defines a sweep; each field is bound as `sweep.FIELD`.

  Attributes:
    name: the study's name, by which several machines share it.
    directory: where runs, results and pictures go; one for each process.
    storage: URL of an Optuna storage; None: a SQLite file in the directory.
    gin_files: the base experiment, as `--gin_file` of train.
    gin_bindings: what all trials bind, as `--gin_bindings` of train.
    parameters: what varies. From a macro or parameter to the list of its values
      or a range (`@log_uniform()`, …); or from a word to what changes together:
      named bindings, `{'small': 'WIDTH = 16; EPOCHS = 4', …}`.
    seeds: each trial is run with each of them as `train.seed`.
    metric: what trials are ranked by, at the end of the run, on the validation
      split; the mean over the seeds.
    direction: whether much or little of it is good.
    sampler: `grid` for every combination of the lists, or Optuna's, such as
      `@optuna.samplers.TPESampler`.
    sampler_seed: what the sampler draws from.
    trials: how many trials the study has; None for a grid, which has as many as
      there are combinations.
    pruner: Optuna's, such as `@optuna.pruners.MedianPruner()`, which judges the
      run of each trial's first seed after every evaluation; None: none.
    parallel: how many runs go on at the same time.
  """

  name: str
  directory: Annotated[str, run_directory.TIMED_PATH]
  storage: str | None
  gin_files: Annotated[Sequence[str], Len(1)]
  gin_bindings: Sequence[str]
  parameters: Mapping[str, Sequence[Any] | Mapping[str, str] | Range]
  seeds: Annotated[Sequence[Annotated[int, Ge(0)]], Len(1)]
  metric: Literal['top1', 'top5', 'loss']
  direction: Literal['maximize', 'minimize']
  sampler: (
    Literal['grid']
    | Annotated[
      Callable[..., optuna.samplers.BaseSampler], constraints.Supplies('seed')
    ]
  )
  sampler_seed: Annotated[int, Ge(0)]
  trials: Positive | None
  pruner: optuna.pruners.BasePruner | None
  parallel: Positive

  def __post_init__(self) -> None:
    if not self.parameters or not all(
      isinstance(each, Range) or each for each in self.parameters.values()
    ):
      raise ValueError('parameters must hold a value for each of one or more.')
    if (self.sampler == 'grid') != (self.trials is None):
      raise ValueError(
        "trials must be None for sampler = 'grid', and a positive integer for "
        f'others. Received: trials={self.trials}.'
      )
    for name, domain in self.domains.items():
      if self.sampler == 'grid' and isinstance(domain, Range):
        raise ValueError(
          f"parameters must be lists for sampler = 'grid'. Received: a range "
          f'for {name}.'
        )

  @property
  def domains(self) -> dict[str, dict[str, str] | Range]:
    """Each parameter's range, or its choices with what they bind."""
    return {
      name: values
      if isinstance(values, Range)
      else dict(values)
      if isinstance(values, Mapping)
      else {_choice(value): f'{name} = {value!r}' for value in values}
      for name, values in self.parameters.items()
    }

  @property
  def points(self) -> list[dict[str, Any]]:
    """The parameters of each trial: of a grid all, else to be sampled."""
    if self.trials is not None:
      return [{}] * self.trials
    return [
      *_combinations({name: [*each] for name, each in self.domains.items()})
    ]

  def bindings(
    self, parameters: Mapping[str, Any], seed: int, run_dir: str
  ) -> list[str]:
    """Returns what a run is started with, as `--gin_bindings` of train."""
    # In one text, in which nothing may be bound twice.
    lines = [
      domain[parameters[name]]
      if isinstance(domain, dict)
      else f'{name} = {parameters[name]!r}'
      for name, domain in self.domains.items()
    ]
    lines += [f'train.seed = {seed}', f'train.run_dir = {run_dir!r}']
    return [*self.gin_bindings, '\n'.join(lines)]

  def check(self, place: Callable[[str], statements.Place]) -> None:
    """Checks what trials will be configured with, as train does.

    Of ranges both ends are checked. Of more than 1,000 combinations each value
    is checked once.

    Args:
      place: tells where a field of the sweep is bound.

    Raises:
      InputError: with each fault of any trial on a line.
    """
    faults: dict[str, None] = {}
    for parameters in self._checked_points():
      try:
        self._load(parameters)
      except errors.InputError as error:
        faults |= dict.fromkeys(str(error).split('\n'))
    if faults:
      named = [place('gin_bindings')] * len(self.gin_bindings)
      named.append(place('parameters'))
      raise errors.InputError(
        re.sub(
          r'--gin_bindings\[(\d+)\]',
          lambda found: str(named[int(found[1])]),
          '\n'.join(faults),
        )
      )

  def base(self) -> str:
    """Returns the complete configuration of the first trial checked.

    It changes if, and only if, someone has edited the base experiment.
    """
    return self._load(next(self._checked_points())).text()

  def _load(self, parameters: Mapping[str, Any]) -> loading.Configuration:
    bindings = self.bindings(parameters, self.seeds[0], '')
    return loading.load(self.gin_files, bindings, root='train')

  def _checked_points(self) -> Iterator[dict[str, Any]]:
    values = {
      name: [*domain] if isinstance(domain, dict) else [domain.low, domain.high]
      for name, domain in self.domains.items()
    }
    if math.prod(map(len, values.values())) <= _MOST_CHECKED:
      yield from _combinations(values)
      return
    first = {name: each[0] for name, each in values.items()}
    yield first
    for name, each in values.items():
      for value in each[1:]:
        yield {**first, name: value}


def _choice(value: Any) -> bool | int | float | str | None:
  """Returns what stands for a value in a storage, which keeps no sequences."""
  return value if isinstance(value, int | float | str | None) else repr(value)


def _combinations(
  values: Mapping[str, Sequence[Any]],
) -> Iterator[dict[str, Any]]:
  for chosen in itertools.product(*values.values()):
    yield dict(zip(values, chosen, strict=True))
