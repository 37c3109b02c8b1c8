"""Draws texts in pictures as they are."""

import contextlib
import functools
import pathlib
from collections.abc import Sequence

import matplotlib
from matplotlib import ft2font
from matplotlib import style

# Matplotlib's own font has Latin, Greek, Cyrillic and more, but no Chinese,
# Japanese or Korean.
DEJAVU_SANS = pathlib.Path(
  matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'
)


def plain_text() -> contextlib.AbstractContextManager[None]:
  """Draws texts without mathematics, whatever the user's settings are."""
  return style.context(['default', {'text.parse_math': False}])


def drawable(names: Sequence[str]) -> list[str]:
  """Returns names of classes, but 'class N' for those that the font lacks."""
  return [
    name if _characters().issuperset(map(ord, name)) else f'class {number}'
    for number, name in enumerate(names)
  ]


@functools.cache
def _characters() -> frozenset[int]:
  return frozenset(ft2font.FT2Font(str(DEJAVU_SANS)).get_charmap())
