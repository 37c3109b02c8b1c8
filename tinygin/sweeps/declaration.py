"""The root of a sweep's configuration."""

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
import numpy as np
import optuna
from annotated_types import Ge
from annotated_types import Len
from optuna import distributions

from tinygin.config import constraints
from tinygin.config import errors
from tinygin.config import loading
from tinygin.config import statements
from tinygin.training import run_directory

Positive = Annotated[int, Ge(1)]
# With more combinations than this, each value is checked only once.
_MOST_CHECKED = 1000


Range = distributions.FloatDistribution | distributions.IntDistribution


@gin.register('sweep')
@dataclasses.dataclass(frozen=True)
class Sweep:
  """The declaration of a sweep; each field is bound as `sweep.FIELD`.

  Attributes:
    name: the name of the study. Several machines share it by this name.
    directory: the folder for the runs, the table and the pictures. Each process
      needs its own.
    storage: the URL of an Optuna storage; None for an SQLite file in the
      directory.
    gin_files: the base experiment, like `--gin_file` of train.
    gin_bindings: bindings of all trials, like `--gin_bindings` of train.
    parameters: the parameters that vary. A macro or parameter has a list of
      values or a range (`@optuna.distributions.FloatDistribution()`, …).
      Parameters that change together have a common name and named bindings,
      `{'small': 'WIDTH = 16; EPOCHS = 4', …}`.
    seeds: the values of `train.seed`. Each trial is run with every seed.
    metric: the metric of the validation split by which trials are ranked. It is
      taken at the end of the runs and averaged over the seeds.
    direction: whether to maximize or to minimize the metric.
    sampler: `grid` for every combination of the lists, or an Optuna sampler,
      such as `@optuna.samplers.TPESampler`.
    sampler_seed: the seed of the sampler.
    trials: the number of trials; None for a grid, which has one trial for each
      combination.
    pruner: an Optuna pruner, such as `@optuna.pruners.MedianPruner()`, or None.
      It judges the run of each trial's first seed after every evaluation.
    parallel: the number of runs at the same time.
    devices: the value of CUDA_VISIBLE_DEVICES for each of the runs at the same
      time, such as `['0', '1']`; None: each run sees all GPUs.
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
  devices: Sequence[str] | None

  def __post_init__(self) -> None:
    if not self.parameters or not all(
      isinstance(each, Range) or each for each in self.parameters.values()
    ):
      raise ValueError('parameters and each of its lists must not be empty.')
    ranged = any(isinstance(each, Range) for each in self.parameters.values())
    if (self.sampler == 'grid') != (self.trials is None) or (
      self.sampler == 'grid' and ranged
    ):
      raise ValueError(
        "sampler = 'grid' needs trials = None and parameters without ranges; "
        f'another sampler needs a number of trials. Received: '
        f'trials = {self.trials}.'
      )
    if self.devices is not None and len(self.devices) != self.parallel:
      raise ValueError(
        'devices must name one device for each of the runs at the same time. '
        f'Received: devices = {self.devices!r}, parallel = {self.parallel}.'
      )

  @property
  def domains(self) -> dict[str, dict[str, str] | Range]:
    """Each parameter's range, or the bindings of each of its choices."""
    return {
      name: values
      if isinstance(values, Range)
      else dict(values)
      if isinstance(values, Mapping)
      else {
        choice: f'{name} = {value!r}'
        for choice, value in zip(_choices(values), values, strict=True)
      }
      for name, values in self.parameters.items()
    }

  @property
  def points(self) -> list[dict[str, Any]]:
    """The fixed parameters of each point: all for a grid, otherwise none."""
    if self.trials is not None:
      return [{}] * self.trials
    return [
      dict(zip(self.domains, labels, strict=True))
      for labels in itertools.product(*self.domains.values())
    ]

  def sampler_of(self, point: int) -> optuna.samplers.BaseSampler:
    """Returns a sampler for a point: the grid's, or one seeded by its index."""
    seeds = np.random.SeedSequence([self.sampler_seed, point])
    seed = int(seeds.generate_state(1)[0])
    if self.sampler != 'grid':
      return self.sampler(seed=seed)
    random = optuna.samplers.RandomSampler(seed)
    return optuna.samplers.PartialFixedSampler(self.points[point], random)

  def bindings(
    self, parameters: Mapping[str, Any], seed: int, run_dir: str
  ) -> list[str]:
    """Returns the `--gin_bindings` of a run."""
    # One text, because no name may be bound twice in a text.
    lines = [
      domain[parameters[name]]
      if isinstance(domain, dict)
      else f'{name} = {parameters[name]!r}'
      for name, domain in self.domains.items()
    ]
    lines += [f'train.seed = {seed}', f'train.run_dir = {run_dir!r}']
    return [*self.gin_bindings, '\n'.join(lines)]

  def check(self, place: Callable[[str], statements.Place]) -> None:
    """Checks the configurations of the trials, as train does.

    It checks all combinations of values and of the ends of ranges or, with more
    than 1,000 combinations, each value once.

    Args:
      place: returns the place where a field of the sweep is bound.

    Raises:
      InputError: a trial's configuration is wrong. Each fault is on a line.
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
    """Returns the complete configuration of the first point.

    It changes if and only if someone edits the base experiment.
    """
    return self._load(next(self._checked_points())).text()

  def _load(self, parameters: Mapping[str, Any]) -> loading.Configuration:
    bindings = self.bindings(parameters, self.seeds[0], '')
    return loading.load(self.gin_files, bindings, root='train')

  def _checked_points(self) -> Iterator[dict[str, Any]]:
    """Yields every combination of values, with both ends of a range.

    If there are too many, it yields each value in one combination.
    """
    values = [
      [domain.low, domain.high] if isinstance(domain, Range) else [*domain]
      for domain in self.domains.values()
    ]
    combinations = itertools.product(*values)
    if math.prod(map(len, values)) > _MOST_CHECKED:
      combinations = (
        [each[min(index, len(each) - 1)] for each in values]
        for index in range(max(map(len, values)))
      )
    for chosen in combinations:
      yield dict(zip(self.domains, chosen, strict=True))


def _choices(values: Sequence[Any]) -> Sequence[Any]:
  """Returns names of values that Optuna can store and distinguish."""
  numbers = all(type(each) in (int, float) for each in values)
  unique = numbers and len(set(values)) == len(values)
  # 1, 1.0 and True are equal, but their texts differ.
  return values if unique else [*map(repr, values)]
