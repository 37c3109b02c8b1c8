"""Pictures of confusion matrices."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colors
from matplotlib import figure

from tinygin.reporting import drawing

_DOTS_PER_INCH = 120
# A name of this size fits beside each row, and a count into each cell.
_FONT_POINTS = 6.5
_ROW_INCHES, _COUNTED_ROW_INCHES = 0.11, 0.32
_MOST_COUNTED, _MOST_NAMED = 30, 300
_LEAST_INCHES = 2.0
_NAME_LENGTH = 24
_NAME_INCHES, _TITLE_INCHES = 1.8, 0.4


@drawing.plain_text()
def draw(
  counts: np.ndarray, class_names: Sequence[str], title: str
) -> figure.Figure:
  """Draws a confusion matrix; darker cells have a larger share of their class.

  With up to 30 classes each cell shows its count. With up to 300 classes each
  is named, by the part of its name before the first comma.

  Args:
    counts: integers (classes, classes) by true and predicted class.
    class_names: the names of the classes.
    title: the title.
  """
  classes = len(class_names)
  counted = classes <= _MOST_COUNTED
  row_inches = _COUNTED_ROW_INCHES if counted else _ROW_INCHES
  side = max(row_inches * min(classes, _MOST_NAMED), _LEAST_INCHES)
  whole = side + _NAME_INCHES + _TITLE_INCHES
  drawn = figure.Figure((whole, whole), _DOTS_PER_INCH)
  start = _NAME_INCHES / whole
  axes = drawn.add_axes((start, start, side / whole, side / whole))
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  # The square root makes rare confusions visible beside the diagonal.
  axes.imshow(shares, 'Blues', norm=colors.PowerNorm(0.5, 0, 1))
  # Aligned at the right, because it may extend over the names.
  axes.set_title(title, fontsize=1.3 * _FONT_POINTS, loc='right')
  axes.set_xlabel('predicted', fontsize=_FONT_POINTS)
  axes.set_ylabel('true', fontsize=_FONT_POINTS)
  if classes <= _MOST_NAMED:
    names = drawing.drawable([*map(_short, class_names)])
    axes.set_xticks(range(classes), names, rotation=90, fontsize=_FONT_POINTS)
    axes.set_yticks(range(classes), names, fontsize=_FONT_POINTS)
  if counted:
    for (row, column), count in np.ndenumerate(counts):
      if count:
        color = 'white' if shares[row, column] > 0.4 else 'black'
        style = {'color': color, 'fontsize': _FONT_POINTS}
        axes.text(column, row, str(count), ha='center', va='center', **style)
  return drawn


@drawing.plain_text()
def png(drawn: figure.Figure) -> bytes:
  """Returns a picture as a PNG file."""
  buffer = io.BytesIO()
  drawn.savefig(buffer, format='png')
  return buffer.getvalue()


def _short(name: str) -> str:
  first = name.split(',')[0]
  long = len(first) > _NAME_LENGTH
  return f'{first[: _NAME_LENGTH - 1]}…' if long else first
