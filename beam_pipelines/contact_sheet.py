"""Writes a picture of a data set's images and a table of its classes."""

import io

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from beam_pipelines import verification
from tinygin.config import files

_GAP = 2
_LABEL_WIDTH = 220
_LABEL_LENGTH = 30
_FONT_SIZE = 13
_ROWS = 50


def write(result: verification.Result, path: str) -> None:
  """Writes a PNG with a row of images for each class, 50 rows in a column."""
  shapes = [images[0].shape for images in result.samples.values() if images]
  if not shapes:
    return
  cell_height, cell_width = (side + _GAP for side in shapes[0][:2])
  most = max(map(len, result.samples.values()))
  column_width = _LABEL_WIDTH + most * cell_width + 10 * _GAP
  columns = -(-len(result.class_names) // _ROWS)
  rows = min(len(result.class_names), _ROWS)
  sheet = Image.new(
    'RGB', (columns * column_width, rows * cell_height), 'white'
  )
  draw = ImageDraw.Draw(sheet)
  font = ImageFont.load_default(_FONT_SIZE)
  for label, name in enumerate(result.class_names):
    column, row = divmod(label, _ROWS)
    left, top = column * column_width, row * cell_height
    if len(name) > _LABEL_LENGTH:
      name = name[: _LABEL_LENGTH - 1] + '…'
    middle = top + cell_height // 2
    draw.text(
      (left + _GAP, middle), f'{label}  {name}', 'black', font, anchor='lm'
    )
    for i, image in enumerate(result.samples.get(label, ())):
      x = left + _LABEL_WIDTH + i * cell_width
      sheet.paste(Image.fromarray(np.asarray(image)), (x, top))
  content = io.BytesIO()
  sheet.save(content, 'PNG')
  files.write_bytes(path, content.getvalue())


def write_table(result: verification.Result, path: str) -> None:
  """Writes a tab-separated table: label, WordNet ids, name, examples."""
  splits = list(result.class_counts)
  lines = [['label', 'wordnet_ids', 'name', *splits]]
  for label, name in enumerate(result.class_names):
    ids = result.wordnet_ids[label : label + 1] or ['']
    counts = [str(result.class_counts[split][label]) for split in splits]
    lines.append([str(label), *ids, name, *counts])
  text = ''.join('\t'.join(line) + '\n' for line in lines)
  files.write_bytes(path, text.encode())
