"""Opens a gin file with two mistakes in Neovim."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from absl.testing import absltest

from tests.config.config_case import COMPLETE
from tinygin.config import paths

_SCRIPT = """
local function fail(text)
  io.stderr:write(text .. '\\n')
  vim.cmd('cquit')
end

vim.cmd('edit mine.gin')
if not vim.wait(120000, function() return #vim.diagnostic.get(0) > 0 end) then
  fail('No diagnostics arrived.')
end
local found = {diagnostics = {}}
for _, each in ipairs(vim.diagnostic.get(0)) do
  table.insert(found.diagnostics, {
    line = each.lnum, column = each.col, finish = each.end_col,
    code = each.user_data.lsp.code,
  })
end

local function ask(method, line, column)
  vim.api.nvim_win_set_cursor(0, {line, column})
  local params = vim.lsp.util.make_position_params(0, 'utf-16')
  local answers = vim.lsp.buf_request_sync(0, method, params, 60000)
  for _, answer in pairs(answers) do
    return answer.result
  end
end

found.labels = {}
for _, each in ipairs(ask('textDocument/completion', 5, 9).items) do
  table.insert(found.labels, each.label)
end
found.hover = ask('textDocument/hover', 3, 8).contents.value
-- Jumps to the include.
vim.api.nvim_win_set_cursor(0, {1, 11})
vim.lsp.buf.definition()
vim.wait(60000, function() return vim.fn.expand('%:t') == 'base.gin' end)
found.file = vim.fn.expand('%:t')
print(vim.fn.json_encode(found))
vim.cmd('qall!')
"""
_MINE = """include 'base.gin'
train.count = 3
train.label = 4
train.labl = 'a'
train.net
"""


def _documented_lines():
  """Returns the lines of configuration in the docs."""
  page = pathlib.Path(paths.project_root(), 'docs/edit.md')
  (lines,) = re.findall(
    '^```lua\n(.*?)^```', page.read_text(encoding='utf-8'), re.M | re.S
  )
  return lines


class NeovimTest(absltest.TestCase):
  def test_session(self):
    neovim = shutil.which('nvim')
    if not neovim:
      self.skipTest('Neovim is not installed.')
    folder = pathlib.Path(self.create_tempdir().full_path)
    (folder / 'base.gin').write_text(COMPLETE, encoding='utf-8')
    (folder / 'mine.gin').write_text(_MINE, encoding='utf-8')
    (folder / 'session.lua').write_text(_SCRIPT, encoding='utf-8')
    (folder / 'init.lua').write_text(_documented_lines(), encoding='utf-8')
    command = folder / 'bin/tinygin'
    command.parent.mkdir()
    command.write_text(
      f'#!/bin/sh\nexec {sys.executable} -c '
      '"from tinygin import command; command.main()" "$@"\n'
    )
    command.chmod(0o755)
    environment = {
      **os.environ,
      'PATH': f'{command.parent}:{os.environ["PATH"]}',
      'PYTHONPATH': os.pathsep.join(sys.path),
      'XDG_CACHE_HOME': os.path.join(absltest.TEST_TMPDIR.value, 'cache'),
    }
    environment.pop('BUILD_WORKING_DIRECTORY', None)
    done = subprocess.run(
      [
        *(neovim, '--headless', '-n', '-u', 'init.lua'),
        *('-c', 'luafile session.lua'),
      ],
      cwd=folder,
      env=environment,
      capture_output=True,
      text=True,
    )
    self.assertEqual(done.returncode, 0, done.stderr)
    found = json.loads(done.stderr.strip().split('\n')[-1])
    places = [
      (each['line'], each['column'], each['finish'], each['code'])
      for each in found['diagnostics']
    ]
    self.assertIn((2, 14, 15, 'value'), places)
    self.assertIn((3, 6, 10, 'parameter'), places)
    self.assertIn('network', found['labels'])
    self.assertIn('a string or None', found['hover'])
    self.assertEqual(found['file'], 'base.gin')


if __name__ == '__main__':
  absltest.main()
