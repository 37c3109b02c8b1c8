"""Compares runs: what they were configured with, what came out.

bazel run //tinygin:compare -- --picture=curves.png runs/a runs/b
"""

import json
import os
import statistics
from typing import Any

import tabulate
from absl import flags

from tinygin.config import differences
from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import paths

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

# What may differ in runs whose results are averaged.
_REPEATED = ('train.seed', 'train.run_dir')

_PICTURE = flags.DEFINE_string(
  'picture', None, 'Draw the curves of the runs to this file, such as a.png.'
)


def main(argv: list[str]) -> None:
  """Prints tables of differing parameters, results, and means over seeds."""
  runs = argv[1:]
  if len(runs) < 2:
    raise errors.InputError(
      'compare takes two or more run directories. '
      f'Received: {" ".join(runs) or "none"}.'
    )
  directories = [paths.find(run) for run in runs]
  configurations = [_read(each, 'config.gin') for each in directories]
  rows = differences.differences(*configurations)
  if rows:
    print(differences.table(rows, runs))
  else:
    print('The configurations are equal.')
  print()
  results = [_result(each) for each in directories]
  print(_results(results, runs))
  groups = _groups(configurations, runs)
  if len(groups) < len(runs):
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


def _read(directory: str, name: str) -> str:
  path = os.path.join(directory, name)
  try:
    with open(path, encoding='utf-8') as file:
      return file.read()
  except (OSError, UnicodeError) as error:
    reason = getattr(error, 'strerror', None) or 'it is not UTF-8 text'
    raise errors.InputError(
      f'{paths.display(directory)} must be the directory of a run. '
      f'Received: one in which {name} cannot be read ({reason}).'
    ) from error


def _result(directory: str) -> dict[str, Any]:
  if not os.path.exists(os.path.join(directory, 'result.json')):
    return {'status': 'unfinished'}
  text = _read(directory, 'result.json')
  try:
    result = json.loads(text)
  except json.JSONDecodeError as error:
    raise errors.InputError(
      f'{paths.display(directory)}/result.json:{error.lineno} must be JSON: '
      f'{error.msg}.'
    ) from error
  return result


def _results(results: list[dict[str, Any]], runs: list[str]) -> str:
  rows = [
    (title, *(_lookup(each, path) for each in results))
    for title, path in _RESULTS
  ]
  return tabulate.tabulate(rows, ['result', *runs], disable_numparse=True)


def _value(result: dict[str, Any], path: str) -> Any:
  value: Any = result
  for part in path.split('.'):
    value = value.get(part) if isinstance(value, dict) else None
  return value


def _lookup(result: dict[str, Any], path: str) -> str:
  value = _value(result, path)
  if isinstance(value, float):
    return f'{value:.4g}'
  return differences.ABSENT if value is None else str(value)


def _groups(configurations: list[str], runs: list[str]) -> dict[str, list[int]]:
  """Returns the runs that differ in their seed only, by what tells them apart.

  Of parameters that change together, as by a macro, the first is named.
  """
  distinct = {
    row.values: row.name
    for row in reversed(differences.differences(*configurations))
    if row.name not in _REPEATED
  }
  groups: dict[tuple[str, ...], list[int]] = {}
  for index in range(len(runs)):
    key = tuple(values[index] for values in distinct)
    groups.setdefault(key, []).append(index)
  names = [*distinct.values()]
  return {
    ', '.join(
      f'{name} = {value}'
      for name, value in reversed([*zip(names, key, strict=True)])
    )
    or runs[members[0]]: members
    for key, members in groups.items()
  }


def _means(groups: dict[str, list[int]], results: list[dict[str, Any]]) -> str:
  """Returns a table of means ± deviations (of a sample) over the seeds."""

  def mean(members: list[int], path: str) -> str:
    values = [_value(results[index], path) for index in members]
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
  )


def _draw(groups: dict[str, list[str]], picture: str) -> None:
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
