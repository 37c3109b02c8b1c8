"""Reads `metrics.jsonl`, also while the run goes on."""

import json
import pathlib

METRICS = 'metrics.jsonl'


def values(
  directory: pathlib.Path, split: str, name: str
) -> list[tuple[int, float]]:
  """Returns a metric by step, as far as it is written.

  Args:
    directory: the run's directory.
    split: `train` or `validation`.
    name: the metric, such as `top1`.

  Returns:
    Pairs of step and value; none when there is no file, or no such metric.
  """
  path = directory / METRICS
  # What follows the last line break is being written.
  lines = path.read_text().split('\n')[:-1] if path.exists() else []
  return [
    (line['step'], line[name])
    for line in map(json.loads, lines)
    if line['split'] == split and name in line
  ]
