"""Draws text in pictures literally."""

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
  """Draws text without math formatting, whatever the user's settings are."""
  return style.context(['default', {'text.parse_math': False}])


def drawable(names: Sequence[str], kind: str = 'class') -> list[str]:
  """Returns names; 'KIND N' replaces those that the font cannot draw."""
  return [
    name if _characters().issuperset(map(ord, name)) else f'{kind} {number}'
    for number, name in enumerate(names)
  ]


@functools.cache
def _characters() -> frozenset[int]:
  return frozenset(ft2font.FT2Font(str(DEJAVU_SANS)).get_charmap())
