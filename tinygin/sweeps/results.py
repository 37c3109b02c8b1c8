"""What came of a sweep: a ranked table and pictures."""

import csv
import pathlib
import statistics
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
import tabulate
from optuna.trial import TrialState

from tinygin.sweeps import declaration
from tinygin.sweeps import studies


def write(
  study: optuna.Study, sweep: declaration.Sweep, directory: pathlib.Path
) -> str:
  """Writes `results.md`, `results.csv`, and pictures of completed trials.

  `slices.png` shows the metric against each parameter. `importance.png` (PED-
  ANOVA, Watanabe et al. 2023, https://arxiv.org/abs/2304.10255) is drawn when
  at least two parameters have varied.

  Returns:
    The table of the trials: the completed ones, the best first, then the rest.
  """
  headings, rows = _table(study, sweep)
  pictures = _draw(study, sweep, directory)
  shown = ''.join(f'\n![{each[:-4]}]({each})\n' for each in pictures)
  (directory / 'results.md').write_text(
    f'# {sweep.name}\n\n{_text(headings, rows, "github")}\n{shown}'
  )
  with open(directory / 'results.csv', 'w', newline='') as file:
    csv.writer(file).writerows([headings, *rows])
  return _text(headings, rows, 'simple')


def _table(
  study: optuna.Study, sweep: declaration.Sweep
) -> tuple[list[str], list[list[Any]]]:
  """Returns headings and rows: a row for each trial.

  The deviation is that of a sample, over the seeds. What is unknown is None.
  """
  several = len(sweep.seeds) > 1
  headings = ['rank', 'trial', *sweep.domains, sweep.metric]
  headings += ['deviation', 'seeds'] if several else []
  rows = []
  for rank, trial in enumerate(_ranked(study), 1):
    completed = trial.state == TrialState.COMPLETE
    values = trial.user_attrs.get('values', [])
    row = [rank if completed else None, trial.user_attrs['point']]
    row += [trial.params.get(name) for name in sweep.domains]
    row.append(trial.value)
    if several:
      row += [statistics.stdev(values) if completed else None, len(values)]
    rows.append([*row, _status(trial)])
  return [*headings, 'status'], rows


def _ranked(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
  sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
  groups = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
  order = {state: index for index, state in enumerate(groups)}
  return sorted(
    studies.points(study),
    key=lambda trial: (
      order.get(trial.state, len(groups)),
      sign * (trial.value or 0.0),
    ),
  )


def _status(trial: optuna.trial.FrozenTrial) -> str:
  if trial.state == TrialState.PRUNED:
    return f'pruned at step {trial.last_step:,}'
  if trial.state == TrialState.FAIL:
    return f'failed, {trial.user_attrs.get("reason", "by another process")}'
  return {
    TrialState.COMPLETE: 'completed',
    TrialState.RUNNING: 'running',
    TrialState.WAITING: 'waiting',
  }[trial.state]


def _text(
  headings: Sequence[str], rows: Sequence[Sequence[Any]], style: str
) -> str:
  cells = [[_cell(each) for each in row] for row in rows]
  return tabulate.tabulate(
    cells, headings, tablefmt=style, disable_numparse=True
  )


def _cell(value: Any) -> str:
  if isinstance(value, float):
    return f'{value:.4g}'
  return '—' if value is None else str(value)


def _draw(
  study: optuna.Study, sweep: declaration.Sweep, directory: pathlib.Path
) -> list[str]:
  """Draws what the completed trials suffice for; returns the files' names."""
  completed = study.get_trials(False, [TrialState.COMPLETE])
  varied = [
    name
    for name in sweep.domains
    if len({trial.params[name] for trial in completed}) > 1
  ]
  drawn = []
  plots = optuna.visualization.matplotlib
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
    if completed:
      axes = plots.plot_slice(study, target_name=sweep.metric)
      drawn.append(_save(axes, directory / 'slices.png'))
    if len(varied) > 1:
      axes = plots.plot_param_importances(
        study, params=varied, target_name=sweep.metric
      )
      drawn.append(_save(axes, directory / 'importance.png'))
  return drawn


def _save(axes: object, path: pathlib.Path) -> str:
  figure = np.ravel(axes)[0].figure
  figure.savefig(path, dpi=120, bbox_inches='tight')
  plt.close(figure)
  return path.name
