"""The results of a sweep: a ranked table and pictures."""

import csv
import io
import itertools
import pathlib
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
import tabulate
from matplotlib import ticker
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from tinygin.config import differences
from tinygin.config import errors
from tinygin.reporting import drawing
from tinygin.sweeps import declaration
from tinygin.sweeps import studies
from tinygin.training import run_directory


def write(
  study: optuna.Study, sweep: declaration.Sweep, directory: pathlib.Path
) -> str:
  """Writes `results.md`, `results.csv`, and pictures of the completed trials.

  `slices.png` shows the metric against each parameter that varied. If there are
  two or more, `importance.png` shows their importance by PED-ANOVA (Watanabe et
  al. 2023, https://arxiv.org/abs/2304.10255). A picture that cannot be drawn
  causes a warning.

  Returns:
    The table of the trials, the best completed ones first, and the reasons of
    those that failed.
  """
  rows = _rows(study, sweep)
  content = io.StringIO()
  writer = csv.DictWriter(content, rows[0], lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  run_directory.write(directory / 'results.csv', content.getvalue().encode())
  pictures = _draw(study, sweep, directory)
  shown = ''.join(f'\n![{each[:-4]}]({each})\n' for each in pictures)
  text = f'# {sweep.name}\n\n{_text(rows, "github")}\n{shown}'
  run_directory.write(directory / 'results.md', text.encode())
  return _text(rows, 'simple')


def _rows(
  study: optuna.Study, sweep: declaration.Sweep
) -> list[dict[str, Any]]:
  """Returns the trials: the completed ones ranked, then the others."""
  order = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
  order += [TrialState.RUNNING, TrialState.WAITING]  # Rerun elsewhere.
  sign = -1 if sweep.direction == 'maximize' else 1
  ranked = sorted(
    enumerate(studies.points(study, sweep)),
    key=lambda each: (order.index(each[1].state), sign * (each[1].value or 0)),
  )
  return [
    _row(trial, sweep, point, rank)
    for rank, (point, trial) in enumerate(ranked, 1)
  ]


def _row(
  trial: FrozenTrial, sweep: declaration.Sweep, point: int, rank: int
) -> dict[str, Any]:
  """Returns a line of the table, with the sample deviation."""
  completed = trial.state == TrialState.COMPLETE
  row = {'rank': rank if completed else None, 'trial': point}
  row |= {name: trial.params.get(name) for name in sweep.domains}
  row[sweep.metric] = trial.value
  if len(sweep.seeds) > 1:
    values = trial.user_attrs['values'] if completed else []
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
  return row | {'reason': trial.user_attrs.get(studies.REASON)}


def _text(rows: Sequence[Mapping[str, Any]], style: str) -> str:
  """Returns a table in a format of tabulate, followed by the reasons."""
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
  """Draws the parameters that varied; returns the names of the pictures."""
  completed = study.get_trials(states=[TrialState.COMPLETE])
  varied = [
    name
    for name in sweep.domains
    if len({trial.params[name] for trial in completed}) > 1
  ]
  plots = optuna.visualization.matplotlib
  drawn = []
  for name, plot, least in (
    ('slices.png', plots.plot_slice, 1),
    ('importance.png', plots.plot_param_importances, 2),
  ):
    if len(varied) < least:
      continue
    with errors.optional(f'the picture {name}'), drawing.plain_text():
      axes = np.ravel(plot(study, params=varied, target_name=sweep.metric))
      for each in axes:  # Parameter names are long.
        each.tick_params('x', which='both', labelsize='small', labelrotation=30)
        each.xaxis.label.set_size('small')
        if each.get_xscale() == 'log':  # Without mathematics.
          each.xaxis.set_major_formatter(ticker.LogFormatter())
          each.xaxis.set_minor_formatter(ticker.LogFormatter())
      figure = axes[0].figure
      figure.set_size_inches(4 * len(varied) + 1, 5)
      figure.savefig(directory / name, dpi=120, bbox_inches='tight')
      plt.close(figure)
      drawn.append(name)
  return drawn
