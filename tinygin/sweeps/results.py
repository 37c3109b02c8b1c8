"""What came of a sweep: a ranked table and pictures."""

import csv
import itertools
import pathlib
import statistics
import warnings
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
import tabulate
from optuna.trial import TrialState

from tinygin.config import differences
from tinygin.sweeps import declaration
from tinygin.sweeps import studies


def write(
  study: optuna.Study, sweep: declaration.Sweep, directory: pathlib.Path
) -> str:
  """Writes `results.md`, `results.csv`, and pictures of completed trials.

  `slices.png` shows the metric against each parameter that has varied. With two
  or more of them there is `importance.png` (PED-ANOVA, Watanabe et al. 2023,
  https://arxiv.org/abs/2304.10255).

  Returns:
    The table of the trials, the completed ones first and of these the best,
    and why others have failed.
  """
  rows = [
    _row(trial, sweep, rank) for rank, trial in enumerate(_ranked(study), 1)
  ]
  with open(directory / 'results.csv', 'w', newline='') as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
  pictures = _draw(study, sweep, directory)
  shown = ''.join(f'\n![{each[:-4]}]({each})\n' for each in pictures)
  (directory / 'results.md').write_text(
    f'# {sweep.name}\n\n{_text(rows, "github")}\n{shown}'
  )
  return _text(rows, 'simple')


def _ranked(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
  sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
  order = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
  order += [TrialState.RUNNING, TrialState.WAITING]  # In other processes.
  return sorted(
    studies.points(study),
    key=lambda each: (order.index(each.state), sign * (each.value or 0.0)),
  )


def _row(
  trial: optuna.trial.FrozenTrial, sweep: declaration.Sweep, rank: int
) -> dict[str, Any]:
  """Returns what is known of a trial; the deviation is that of a sample."""
  completed = trial.state == TrialState.COMPLETE
  row = {
    'rank': rank if completed else None,
    'trial': trial.user_attrs['point'],
  }
  row |= {name: trial.params.get(name) for name in sweep.domains}
  row[sweep.metric] = trial.value
  if len(sweep.seeds) > 1:
    values = trial.user_attrs.get('values', [])
    row['deviation'] = statistics.stdev(values) if completed else None
    row |= {
      f'seed {seed}': value
      for seed, value in itertools.zip_longest(sweep.seeds, values)
    }
  row['status'] = {
    TrialState.COMPLETE: 'completed',
    TrialState.PRUNED: f'pruned at step {trial.last_step}',
    TrialState.FAIL: 'failed',
  }.get(trial.state, 'open')
  return row | {'reason': trial.user_attrs.get('reason')}


def _text(rows: Sequence[Mapping[str, Any]], style: str) -> str:
  """Returns a table in a format of tabulate's, and below it the reasons."""
  table = tabulate.tabulate(
    [
      [differences.cell(row[name]) for name in row if name != 'reason']
      for row in rows
    ],
    [name for name in rows[0] if name != 'reason'],
    tablefmt=style,
    disable_numparse=True,
  )
  reasons = [
    f'\nTrial {row["trial"]} failed, {row["reason"]}\n'
    for row in rows
    if row['reason']
  ]
  return f'{table}\n{"".join(reasons)}'


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
    if varied:
      axes = plots.plot_slice(study, varied, target_name=sweep.metric)
      for each in np.ravel(axes):  # Names of parameters are long.
        each.tick_params('x', which='both', labelsize='small', labelrotation=30)
        each.xaxis.label.set_size('small')
      np.ravel(axes)[0].figure.set_size_inches(4 * len(varied) + 1, 5)
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
