"""Compares runs: what they were configured with, what ran, what came out.

bazel run //tinygin:compare -- runs/a runs/b
"""

import hashlib
import pathlib
from collections.abc import Iterator
from typing import Any

import tabulate

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
  'intra_op_threads',
  'data_set.fingerprint',
)


def main(argv: list[str]) -> None:
  """Prints what differs in the runs' parameters and origins, and results."""
  runs = argv[1:]
  if len(runs) < 2:
    raise errors.InputError(
      'compare takes two or more run directories. '
      f'Received: {" ".join(runs) or "none"}.'
    )
  directories = [pathlib.Path(paths.find(run)) for run in runs]
  configurations = [run_directory.read_config(each) for each in directories]
  origins = [_origins(run_directory.starts(each)) for each in directories]
  results = [
    run_directory.read_json(each / run_directory.RESULT)
    or {'status': 'unfinished'}
    for each in directories
  ]
  rows = differences.differences(*configurations)
  if rows:
    print(differences.table(rows, ['parameter', *runs]))
  else:
    print('The configurations are equal.')
  print()
  if rows := differences.differing(origins):
    print(differences.table(rows, ['provenance', *runs]), end='\n\n')
  print(_results(results, runs))


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
    yield name, str(value)[:12] or 'none'


def _results(results: list[dict[str, Any]], runs: list[str]) -> str:
  rows = [
    (title, *(_shown(_lookup(each, path)) for each in results))
    for title, path in _RESULTS
  ]
  return tabulate.tabulate(rows, ['result', *runs], disable_numparse=True)


def _lookup(record: dict[str, Any], path: str) -> Any:
  value: Any = record
  for part in path.split('.'):
    value = value.get(part) if isinstance(value, dict) else None
  return value


def _shown(value: Any) -> str:
  if isinstance(value, float):
    return f'{value:.4g}'
  return differences.ABSENT if value is None else str(value)


if __name__ == '__main__':
  entry_point.run(main, arguments='RUN RUN …')
