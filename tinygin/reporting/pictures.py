"""Pictures of images with captions."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from tinygin.reporting import drawing

_SIDE = 128
_GAP = 6
_FONT_SIZE = 11
_LINE = 15


def grid(
  images: Sequence[np.ndarray], captions: Sequence[str], columns: int
) -> Image.Image:
  """Returns a white sheet with a caption below each image.

  Args:
    images: uint8 (height, width, 3), all of one size. Small images are enlarged
      by a whole factor, so that their pixels stay sharp.
    captions: one for each image, with equally many lines. Lines that are wider
      than the image are cut.
    columns: the number of columns of the sheet.
  """
  height, width = images[0].shape[:2]
  factor = max(_SIDE // width, 1)
  size = (width * factor, height * factor)
  lines = captions[0].count('\n') + 1
  cell = (size[0] + _GAP, size[1] + lines * _LINE + _GAP)
  rows = -(-len(images) // columns)
  sheet = Image.new(
    'RGB', (columns * cell[0] + _GAP, rows * cell[1] + _GAP), 'white'
  )
  draw = ImageDraw.Draw(sheet)
  font = ImageFont.truetype(drawing.DEJAVU_SANS, _FONT_SIZE)
  for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
    row, column = divmod(number, columns)
    left, top = column * cell[0] + _GAP, row * cell[1] + _GAP
    enlarged = Image.fromarray(image).resize(size, Image.Resampling.NEAREST)
    sheet.paste(enlarged, (left, top))
    for index, line in enumerate(caption.split('\n')):
      text = _cut(line, font, size[0])
      draw.text((left, top + size[1] + index * _LINE), text, 'black', font)
  return sheet


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
  if font.getlength(text) <= width:
    return text
  while text and font.getlength(f'{text}…') > width:
    text = text[:-1]
  return f'{text}…'
