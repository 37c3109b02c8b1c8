"""Takes the screenshot of docs/edit.md: a mistake and a hover in Neovim.

  python tools/neovim_screenshot.py docs/images/neovim.png

Needs `nvim` and `tinygin` on the path, msgpack, and the font DejaVu Sans Mono.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any

import msgpack
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

_PROJECT = pathlib.Path(__file__).parent.parent
_FONT = '/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf'
_COLUMNS, _ROWS, _SIZE = 100, 19, 16
_TEXT = """\
include 'quickstart.gin'

EPOCHS = 8
LEARNING_RATE = 0.005
WIDHT = 48

train.precision = 'bfloat61'
train.average_decay = 0.998
"""
# Waits for the mistakes and shows what the parameter in the last line means.
_SETTINGS = """
vim.o.termguicolors = true
vim.cmd('colorscheme desert')
vim.cmd('highlight NormalFloat guibg=#203040')
vim.cmd('highlight SignColumn guibg=NONE')
vim.o.signcolumn = 'yes'
vim.o.swapfile = false
vim.o.ruler = false
local function show()
  vim.wait(120000, function() return #vim.diagnostic.get(0) > 1 end)
  vim.api.nvim_win_set_cursor(0, {8, 8})
  vim.lsp.buf.hover()
  vim.wait(60000, function() return #vim.api.nvim_list_wins() > 1 end)
  vim.rpcnotify(1, 'shown')
end
vim.api.nvim_create_autocmd('VimEnter', {
  callback = function() vim.defer_fn(show, 100) end,
})
"""


class _Screen:
  """What Neovim draws, cell by cell."""

  def __init__(self):
    self.cells = [[(' ', 0)] * _COLUMNS for _ in range(_ROWS)]
    self.styles: dict[int, dict[str, Any]] = {0: {}}
    self.colors = 0xDDDDDD, 0x1E1E1E

  def draw(self, event: str, arguments: list[Any]) -> None:
    """Takes an event of the protocol ext_linegrid."""
    if event == 'default_colors_set':
      found = arguments[:2]
      self.colors = tuple(
        each if each >= 0 else usual
        for each, usual in zip(found, self.colors, strict=True)
      )
    elif event == 'hl_attr_define':
      self.styles[arguments[0]] = arguments[1]
    elif event == 'grid_clear':
      self.cells = [[(' ', 0)] * _COLUMNS for _ in range(_ROWS)]
    elif event == 'grid_line':
      self._line(*arguments[1:4])
    elif event == 'grid_scroll':
      _, top, bottom, _, _, rows, _ = arguments
      moved = {row: self.cells[row] for row in range(top, bottom)}
      for row in range(top, bottom):
        source = row + rows
        blank = [(' ', 0)] * _COLUMNS
        self.cells[row] = [*moved.get(source, blank)]

  def _line(self, row: int, column: int, cells: list[Any]) -> None:
    style = 0
    for text, *others in cells:
      style = others[0] if others else style
      for _ in range(others[1] if len(others) > 1 else 1):
        self.cells[row][column] = text, style
        column += 1

  def picture(self) -> Image.Image:
    """Returns the screen as a picture."""
    font = ImageFont.truetype(_FONT, _SIZE)
    width, height = round(font.getlength('m')), _SIZE + 6
    picture = Image.new('RGB', (width * _COLUMNS, height * _ROWS))
    draw = ImageDraw.Draw(picture)
    for row, cells in enumerate(self.cells):
      for column, (text, number) in enumerate(cells):
        style = self.styles.get(number, {})
        front = style.get('foreground', self.colors[0])
        back = style.get('background', self.colors[1])
        if style.get('reverse'):
          front, back = back, front
        x, y = column * width, row * height
        box = x, y, x + width, y + height
        draw.rectangle(box, fill=f'#{back:06x}')
        draw.text((x, y + 2), text, font=font, fill=f'#{front:06x}')
        if style.get('underline') or style.get('undercurl'):
          line = style.get('special', front)
          below = y + height - 2
          draw.line((x, below, x + width, below), fill=f'#{line:06x}')
    return picture


def main(argv: list[str]) -> None:
  """Starts Neovim, lets it draw, and writes the picture."""
  page = (_PROJECT / 'docs/edit.md').read_text(encoding='utf-8')
  (lines,) = re.findall('^```lua\n(.*?)^```', page, re.M | re.S)
  with tempfile.TemporaryDirectory() as folder:
    mine = pathlib.Path(folder, 'mine.gin')
    mine.write_text(_TEXT, encoding='utf-8')
    settings = pathlib.Path(folder, 'init.lua')
    settings.write_text(lines + _SETTINGS, encoding='utf-8')
    with subprocess.Popen(
      ['nvim', '--embed', '-u', settings, mine.name],
      cwd=folder,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
    ) as neovim:
      screen = _run(neovim)
      screen.picture().save(argv[1], optimize=True)
      neovim.kill()


def _run(neovim: subprocess.Popen) -> _Screen:
  """Runs the script in Neovim and returns what it drew."""
  screen = _Screen()

  def send(number: int, method: str, *arguments: Any) -> None:
    neovim.stdin.write(msgpack.packb([0, number, method, [*arguments]]))
    neovim.stdin.flush()

  options = {'rgb': True, 'ext_linegrid': True}
  send(0, 'nvim_ui_attach', _COLUMNS, _ROWS, options)
  unpacker = msgpack.Unpacker(strict_map_key=False)
  is_done = False
  while data := neovim.stdout.read1(1 << 16):
    unpacker.feed(data)
    for kind, *rest in unpacker:
      if kind == 2 and rest[0] == 'redraw':
        for event, *calls in rest[1]:
          for each in calls:
            screen.draw(event, each)
        if is_done and ['flush', []] in rest[1]:
          return screen
      elif kind == 2 and rest[0] == 'shown':
        is_done = True
        send(1, 'nvim_command', 'redraw!')
  raise RuntimeError('Neovim ended.')


if __name__ == '__main__':
  main(sys.argv)
