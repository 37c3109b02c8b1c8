"""Reads `metrics.jsonl`, even while the run is training."""

import json
import pathlib

from tinygin.config import errors

METRICS = 'metrics.jsonl'


def values(
  directory: pathlib.Path, split: str, name: str
) -> list[tuple[int, float]]:
  """Returns the values of a metric written so far.

  Args:
    directory: the run's directory.
    split: `train` or `validation`.
    name: the metric, such as `top1`.

  Returns:
    Pairs of step and value; none if the file or the metric does not exist.

  Raises:
    InputError: the file is damaged.
  """
  path = directory / METRICS
  # Text after the last line break is still being written.
  lines = (
    path.read_text(encoding='utf-8').split('\n')[:-1] if path.exists() else []
  )
  found = []
  for number, text in enumerate(lines, 1):
    try:
      line = json.loads(text)
      if line['split'] == split and name in line:
        found.append((line['step'], line[name]))
    except (ValueError, KeyError, TypeError) as error:
      raise errors.InputError(
        f'{path} is damaged in line {number}: {text[:80]}'
      ) from error
  return found
