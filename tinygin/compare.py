"""Compares runs: what they were configured with, what ran, what came out.

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
# What of a start can make a difference to what comes out.
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

# More runs have lines, not columns.
_MOST_COLUMNS = 5
# Characters of a line of what tells runs apart.
_LABEL_WIDTH = 60
# What may differ in runs whose results are averaged.
_REPEATED = ('train.seed', 'train.run_dir')

_PICTURE = flags.DEFINE_string(
  'picture', None, 'Draw the curves of the runs to this file, such as a.png.'
)


def main(argv: list[str]) -> None:
  """Prints what differs in the runs, results, and means over seeds."""
  runs = argv[1:]
  if len(runs) < 2:
    raise errors.InputError(
      'compare takes two or more run directories. '
      f'Received: {" ".join(runs) or "none"}.'
    )
  directories = [pathlib.Path(paths.find(run)) for run in runs]
  for directory in directories:
    run_directory.check_is_run(directory)
    if directories.count(directory) > 1:
      raise errors.InputError(
        f'compare takes each run once. Received: {directory} twice.'
      )
  names = [directory.name for directory in directories]
  if len(set(names)) == len(names):
    runs = names
  configurations = [run_directory.read_config(each) for each in directories]
  origins = [_origins(run_directory.starts(each)) for each in directories]
  results = [
    run_directory.read_json(each / run_directory.RESULT)
    or {'status': 'unfinished'}
    for each in directories
  ]
  rows = differences.differences(*configurations)
  if rows:
    print(_table('parameter', runs, rows))
  else:
    print('The configurations are equal.')
  print()
  if rows := differences.differing(origins):
    print(_table('provenance', runs, rows), end='\n\n')
  print(_results(results, runs))
  groups = _groups(configurations, runs)
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
  """Returns what ran, from each start of a run on, by name."""
  found: dict[str, dict[str, None]] = {}
  for start in starts:
    if start.get('step') and start.get('changes'):
      found.setdefault('changed at step', {})[str(start['step'])] = None
    for path in _PROVENANCE:
      for name, value in _leaves(path, _lookup(start, path)):
        found.setdefault(name, {})[value] = None
  return {name: ', then '.join(values) for name, values in found.items()}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
  """Yields what stands in a value, long texts by their SHA-256."""
  if isinstance(value, dict):
    for key, each in value.items():
      if key not in ('file', 'text'):  # Of a module, `sha256` says it all.
        yield from _leaves(f'{name}.{key}', each)
  elif isinstance(value, list):
    yield name, ' '.join(map(str, value))
  elif name == 'git.diff' and value:
    yield name, f'sha256 {hashlib.sha256(str(value).encode()).hexdigest()[:12]}'
  elif value is not None:
    digest = name.endswith(('.commit', '.fingerprint', '.sha256'))
    yield name, (str(value)[:12] if digest else str(value)) or 'none'


def _results(results: list[dict[str, Any]], runs: list[str]) -> str:
  rows = [
    differences.Difference(
      title, tuple(differences.cell(_lookup(each, path)) for each in results)
    )
    for title, path in _RESULTS
  ]
  return _table('result', runs, rows)


def _table(
  title: str, runs: list[str], rows: list[differences.Difference]
) -> str:
  """Returns a table with a column, or of many runs a line, for each."""
  lines = [(title, *runs), *((row.name, *row.values) for row in rows)]
  if len(runs) > _MOST_COLUMNS:
    lines = [*zip(*lines, strict=True)]
  return tabulate.tabulate(lines[1:], lines[0], disable_numparse=True)


def _lookup(record: dict[str, Any], path: str) -> Any:
  value: Any = record
  for part in path.split('.'):
    value = value.get(part) if isinstance(value, dict) else None
  return value


def _groups(configurations: list[str], runs: list[str]) -> dict[str, list[int]]:
  """Returns runs that differ in their seed only, by what tells them apart.

  Of parameters that change together, as by a macro, the first is named.
  """
  distinct = {
    row.values: row.name
    for row in reversed(differences.differences(*configurations))
    if row.name not in _REPEATED
  }
  groups: dict[tuple[str, ...], dict[str, int]] = {}
  for index, configuration in enumerate(configurations):
    key = tuple(values[index] for values in distinct)
    # A run that was repeated with its seed says nothing of other seeds.
    seed = differences.values(configuration).get('train.seed', '')
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
  """Returns a table of means ± deviations (of a sample) over the seeds."""

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
  from tinygin.reporting import curves  # With matplotlib, which is slow.

  path = paths.resolve(picture)
  try:
    drawn = curves.draw(groups, path)
  except (OSError, ValueError) as error:
    raise errors.InputError(
      f'--picture must be the file of a picture, such as curves.png. Received: '
      f'--picture={picture} ({error}).'
    ) from error
  if not drawn:
    raise errors.InputError(
      'No curves can be drawn: none of the runs has logged metrics.'
    )
  print(f'\nCurves  {path}')


if __name__ == '__main__':
  entry_point.run(main, arguments='RUN RUN …')
