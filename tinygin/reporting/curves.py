"""Draws the curves of several runs in one picture."""

import pathlib
import statistics
import textwrap
from collections.abc import Mapping
from collections.abc import Sequence

from matplotlib import axes
from matplotlib import colormaps
from matplotlib import figure

from tinygin.reporting import drawing
from tinygin.reporting import history

_PANELS = (
  ('validation', 'top1', 'validation top-1'),
  ('train', 'loss', 'training loss'),
)
# Characters of a line of the legend.
_LEGEND_WIDTH = 170


@drawing.plain_text()
def draw(groups: Mapping[str, Sequence[pathlib.Path]], path: str) -> bool:
  """Draws validation top-1 and training loss against the step.

  For a group of runs it draws the mean, and a band from the minimum to the
  maximum, at the steps that all of these runs have.

  Args:
    groups: run directories by their label in the legend.
    path: the picture's file. Its extension gives the format.

  Returns:
    Whether there was anything to draw. If not, nothing is written.

  Raises:
    OSError: the file cannot be written.
    ValueError: the format is unknown.
  """
  picture = figure.Figure((12, 5), layout='constrained')
  panels = picture.subplots(1, 2)
  drawn = [
    _draw_panel(panel, groups, *each)
    for panel, each in zip(panels, _PANELS, strict=True)
  ]
  handles, labels = panels[0].get_legend_handles_labels()
  picture.legend(handles, labels, loc='outside lower center', fontsize='small')
  if any(drawn):
    picture.savefig(path, dpi=120, bbox_inches='tight')
  return any(drawn)


def _draw_panel(
  panel: axes.Axes,
  groups: Mapping[str, Sequence[pathlib.Path]],
  split: str,
  metric: str,
  title: str,
) -> bool:
  """Draws a metric of all groups; returns whether there are any values."""
  few = len(groups) <= 10
  colors = colormaps['tab10' if few else 'turbo']
  panel.set_xlabel('step')
  panel.set_title(title)
  panel.grid(alpha=0.3)
  drawn = False
  for index, (label, directories) in enumerate(groups.items()):
    curves = [dict(history.values(each, split, metric)) for each in directories]
    steps = sorted(set.intersection(*map(set, curves)))
    values = [[curve[step] for curve in curves] for step in steps]
    color = colors(index if few else index / (len(groups) - 1))
    means = [statistics.fmean(each) for each in values]
    wrapped = textwrap.fill(label, _LEGEND_WIDTH, subsequent_indent='  ')
    panel.plot(steps, means, '.-', color=color, label=wrapped)
    if len(curves) > 1 and steps:
      lowest, highest = [*map(min, values)], [*map(max, values)]
      panel.fill_between(steps, lowest, highest, color=color, alpha=0.2)
    drawn = drawn or bool(steps)
  return drawn
