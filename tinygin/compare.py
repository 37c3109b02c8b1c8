"""Compares the configurations, the provenance and the results of runs.

./bazelw run //tinygin:compare -- --picture=curves.png runs/a runs/b
"""

import hashlib
import pathlib
import statistics
from collections.abc import Iterator
from typing import Any

import tabulate
from absl import flags

from tinygin.config import differences
from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import paths
from tinygin.training import run_directory

_RESULTS = (
  ('status', 'status'),
  ('validation top-1', 'validation.top1'),
  ('validation top-5', 'validation.top5'),
  ('validation loss', 'validation.loss'),
  ('best top-1', 'best.top1'),
  ('step', 'step'),
  ('epochs', 'epochs'),
  ('images/s', 'images_per_second'),
  ('seconds', 'seconds'),
)
# The parts of a start's provenance that can change the results.
_PROVENANCE = (
  'git.commit',
  'git.diff',
  'modules',
  'python',
  'versions',
  'devices',
  'computation',
  'data_set.fingerprint',
)

# Characters of a line of a label.
_LABEL_WIDTH = 60
# Runs are averaged even if these differ: the seed, the directory, the hardware.
_MAY_DIFFER = (
  'train.seed',
  'train.run_dir',
  'dataset.data_dir',
  'devices',
  'computation.processor',
  'computation.instructions',
  'computation.gpus',
  'computation.gpu_driver',
  'computation.intra_op_threads',
)

_PICTURE = flags.DEFINE_string(
  'picture', None, 'Draw the curves of the runs to this file, such as a.png.'
)


def main(argv: list[str]) -> None:
  """Prints the differences of the runs, their results and means over seeds."""
  runs = argv[1:]
  if len(runs) < 2:
    raise errors.InputError(
      'compare takes two or more run directories. '
      f'Received: {" ".join(runs) or "none"}.'
    )
  directories = [run_directory.find(run) for run in runs]
  for directory in directories:
    run_directory.check_is_run(directory)
    if directories.count(directory) > 1:
      raise errors.InputError(
        f'compare takes each run once. Received: {directory} twice.'
      )
  names = [directory.name for directory in directories]
  if len(set(names)) == len(names):
    runs = names
  configurations = [run_directory.read_values(each) for each in directories]
  origins = [_origins(run_directory.starts(each)) for each in directories]
  results = [
    run_directory.read_json(each / run_directory.RESULT)
    or {'status': 'unfinished'}
    for each in directories
  ]
  rows = differences.differing(*configurations)
  table = differences.table(rows, ['parameter', *runs])
  print(table if rows else 'The configurations are equal.', end='\n\n')
  if origin_rows := differences.differing(*origins):
    table = differences.table(origin_rows, ['provenance', *runs])
    print(table, end='\n\n')
  print(_results(results, runs))
  seeds = [each.get('train.seed', '') for each in configurations]
  groups = _groups(rows | origin_rows, seeds, runs)
  if any(len(members) > 1 for members in groups.values()):
    print()
    print(_means(groups, results))
  if _PICTURE.value:
    _draw(
      {
        label: [directories[index] for index in members]
        for label, members in groups.items()
      },
      _PICTURE.value,
    )


def _origins(starts: list[dict[str, Any]]) -> dict[str, str]:
  """Returns the provenance of a run by name, with all of its starts."""
  found: dict[str, dict[str, None]] = {}
  for start in starts:
    if start.get('step') and start.get('changes'):
      found.setdefault('changed at step', {})[str(start['step'])] = None
    for path in _PROVENANCE:
      for name, value in _leaves(path, _lookup(start, path)):
        found.setdefault(name, {})[value] = None
  return {name: ', then '.join(values) for name, values in found.items()}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
  """Yields the values within a value; a long text becomes its SHA-256."""
  if isinstance(value, dict):
    for key, each in value.items():
      if key not in ('file', 'text'):  # `sha256` stands for a module.
        yield from _leaves(f'{name}.{key}', each)
  elif isinstance(value, list):
    yield name, ' '.join(map(str, value))
  elif name == 'git.diff' and value:
    yield name, f'sha256 {hashlib.sha256(str(value).encode()).hexdigest()[:12]}'
  elif value is not None:
    digest = name.endswith(('.commit', '.fingerprint', '.sha256'))
    yield name, (str(value)[:12] if digest else str(value)) or 'none'


def _results(results: list[dict[str, Any]], runs: list[str]) -> str:
  rows = {
    title: [differences.cell(_lookup(each, path)) for each in results]
    for title, path in _RESULTS
  }
  return differences.table(rows, ['result', *runs])


def _lookup(record: dict[str, Any], path: str) -> Any:
  value: Any = record
  for part in path.split('.'):
    value = value.get(part) if isinstance(value, dict) else None
  return value


def _groups(
  rows: differences.Rows, seeds: list[str], runs: list[str]
) -> dict[str, list[int]]:
  """Groups the runs that differ only in their seed, by label.

  The label lists the parameters that distinguish the group. If parameters
  change together, as with a macro, it lists only the first.
  """
  distinct = {
    row: name for name, row in reversed(rows.items()) if name not in _MAY_DIFFER
  }
  groups: dict[tuple[str, ...], dict[str, int]] = {}
  for index, seed in enumerate(seeds):
    key = tuple(values[index] for values in distinct)
    # Several runs with the same seed are one sample.
    groups.setdefault(key, {}).setdefault(seed, index)
  names = [*distinct.values()]
  return {
    ', '.join(
      f'{name} = {value}'
      for name, value in reversed([*zip(names, key, strict=True)])
    )
    or runs[min(members.values())]: [*members.values()]
    for key, members in groups.items()
  }


def _means(groups: dict[str, list[int]], results: list[dict[str, Any]]) -> str:
  """Returns a table of means ± sample standard deviations over the seeds."""

  def mean(members: list[int], path: str) -> str:
    values = [_lookup(results[index], path) for index in members]
    known = [each for each in values if each is not None]
    if not known:
      return differences.ABSENT
    spread = f' ± {statistics.stdev(known):.4f}' if len(known) > 1 else ''
    return f'{statistics.fmean(known):.4f}{spread} (n = {len(known)})'

  columns = [each for each in _RESULTS if each[1].startswith('validation.')]
  return tabulate.tabulate(
    [
      (label, *(mean(members, path) for _, path in columns))
      for label, members in groups.items()
    ],
    ['mean over seeds', *(title for title, _ in columns)],
    disable_numparse=True,
    maxcolwidths=[_LABEL_WIDTH, *[None] * len(columns)],
  )


def _draw(groups: dict[str, list[pathlib.Path]], picture: str) -> None:
  from tinygin.reporting import curves  # Imports matplotlib, which is slow.

  path = paths.resolve(picture)
  try:
    drawn = curves.draw(groups, path)
  except (OSError, ValueError) as error:
    raise errors.InputError(
      f'--picture must be a picture file that can be written, such as '
      f'curves.png. Received: --picture={picture} ({error}).'
    ) from error
  if not drawn:
    raise errors.InputError(
      'No curves can be drawn: none of the runs has logged metrics.'
    )
  print(f'\nCurves  {path}')


if __name__ == '__main__':
  entry_point.run(main, takes='arguments')
