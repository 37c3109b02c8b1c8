"""Draws the curves of runs on one picture."""

import pathlib
import statistics
import textwrap
from collections.abc import Mapping
from collections.abc import Sequence

import matplotlib.pyplot as plt

from tinygin.reporting import history

_PANELS = (
  ('validation', 'top1', 'validation top-1'),
  ('train', 'loss', 'training loss'),
)

# Characters of the legend that the picture is wide.
_LEGEND_WIDTH = 170


def draw(groups: Mapping[str, Sequence[pathlib.Path]], path: str) -> bool:
  """Draws validation top-1 and training loss against the step.

  Of a group of runs the mean is drawn, in a band from the least to the most, at
  the steps that all of them have.

  Args:
    groups: run directories by what stands in the legend.
    path: the picture's file; its ending says in what format.

  Returns:
    Whether there was anything to draw; else nothing is written.

  Raises:
    OSError: the file cannot be written.
    ValueError: there is no such format.
  """
  figure, panels = plt.subplots(1, 2, figsize=(12, 5), layout='constrained')
  colors = plt.colormaps['tab10' if len(groups) <= 10 else 'turbo']
  drawn = False
  for panel, (split, metric, title) in zip(panels, _PANELS, strict=True):
    panel.set_xlabel('step')
    panel.set_title(title)
    panel.grid(alpha=0.3)
    for index, (label, directories) in enumerate(groups.items()):
      curves = [
        dict(history.values(each, split, metric)) for each in directories
      ]
      steps = sorted(set.intersection(*map(set, curves)))
      values = [[curve[step] for curve in curves] for step in steps]
      color = colors(index if len(groups) <= 10 else index / (len(groups) - 1))
      means = [statistics.fmean(each) for each in values]
      wrapped = textwrap.fill(label, _LEGEND_WIDTH, subsequent_indent='  ')
      panel.plot(steps, means, '.-', color=color, label=wrapped)
      if len(curves) > 1 and steps:
        lowest, highest = [*map(min, values)], [*map(max, values)]
        panel.fill_between(steps, lowest, highest, color=color, alpha=0.2)
      drawn = drawn or bool(steps)
  handles, labels = panels[0].get_legend_handles_labels()
  figure.legend(handles, labels, loc='outside lower center', fontsize='small')
  if drawn:
    figure.savefig(path, dpi=120, bbox_inches='tight')
  plt.close(figure)
  return drawn
