"""Drawing of pictures: texts as they are, and failures that stop nothing."""

import contextlib
import functools
import pathlib
from collections.abc import Iterator
from collections.abc import Sequence

import matplotlib
from absl import logging
from matplotlib import ft2font
from matplotlib import style

from tinygin.config import errors

# Matplotlib's own font has Latin, Greek, Cyrillic and more, but no Chinese,
# Japanese or Korean.
DEJAVU_SANS = pathlib.Path(
  matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'
)


def plain_text() -> contextlib.AbstractContextManager[None]:
  """Draws texts without mathematics, whatever the user's settings are."""
  return style.context(['default', {'text.parse_math': False}])


@contextlib.contextmanager
def optional(name: str) -> Iterator[None]:
  """Logs a warning if a picture cannot be drawn, and continues without it.

  Args:
    name: the picture's name, for the warning.

  Raises:
    RunError: the picture cannot be written.
  """
  try:
    yield
  except errors.RunError:
    raise
  except Exception as error:
    logging.warning('The picture %s cannot be drawn: %s', name, error)


def drawable(names: Sequence[str]) -> list[str]:
  """Returns names of classes, but 'class N' for those that the font lacks."""
  return [
    name if _characters().issuperset(map(ord, name)) else f'class {number}'
    for number, name in enumerate(names)
  ]


@functools.cache
def _characters() -> frozenset[int]:
  return frozenset(ft2font.FT2Font(str(DEJAVU_SANS)).get_charmap())
