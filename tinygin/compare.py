"""Compares runs: what they were configured with, what came out.

bazel run //tinygin:compare -- runs/a runs/b
"""

import json
import os
from typing import Any

import tabulate

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


def main(argv: list[str]) -> None:
  """Prints two tables: differing parameters, and results."""
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
  print(_results([_result(each) for each in directories], runs))


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


def _lookup(result: dict[str, Any], path: str) -> str:
  value: Any = result
  for part in path.split('.'):
    value = value.get(part) if isinstance(value, dict) else None
  if isinstance(value, float):
    return f'{value:.4g}'
  return differences.ABSENT if value is None else str(value)


if __name__ == '__main__':
  entry_point.run(main, arguments='RUN RUN …')
