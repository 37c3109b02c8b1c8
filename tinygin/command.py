"""The command `tinygin`, whose subcommands are the programs of the project."""

import ast
import importlib.util
import pathlib
import runpy
import sys
from importlib import metadata

from tinygin.config import components

_PROGRAMS = {
  'train': 'tinygin.train',
  'evaluate': 'tinygin.evaluate',
  'predict': 'tinygin.predict',
  'export': 'tinygin.export',
  'sweep': 'tinygin.sweep',
  'compare': 'tinygin.compare',
  'lint': 'tinygin.lint',
  'language-server': 'tinygin.language_server',
  'tensorboard': 'tinygin.show_tensorboard',
  'build': 'beam_pipelines.build_dataset',
  'verify': 'beam_pipelines.verify_dataset',
}


def main() -> None:
  """Runs the program named by the first argument, with the other arguments."""
  name = sys.argv[1] if len(sys.argv) > 1 else '--help'
  if name == '--help':
    print('Usage: tinygin PROGRAM [FLAGS]\n')
    for each, module in _PROGRAMS.items():
      print(f'  {each:16} {_first_line(module)}')
    print('\ntinygin PROGRAM --help lists the flags of a program.')
  elif name == '--version':
    print(metadata.version('tinygin'))
  elif name in _PROGRAMS:
    del sys.argv[1]
    runpy.run_module(_PROGRAMS[name], run_name='__main__', alter_sys=True)
  else:
    near = components.nearest(name, _PROGRAMS)
    print(
      f'Unknown program {name}.{near} tinygin --help lists the programs.',
      file=sys.stderr,
    )
    sys.exit(2)


def _first_line(module: str) -> str:
  """Returns the first line of a module's docstring, without importing it."""
  source = pathlib.Path(importlib.util.find_spec(module).origin)
  tree = ast.parse(source.read_text(encoding='utf-8'))
  return ast.get_docstring(tree).partition('\n')[0]
