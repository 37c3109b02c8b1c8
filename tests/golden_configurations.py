"""Writes the configuration of each experiment and sweep of the project.

./bazelw run //tests:golden_configurations

The files show what a change of a shared gin file does to each experiment.
"""

import os
import pathlib

from tinygin.config import differences
from tinygin.config import loading
from tinygin.config import native_output
from tinygin.config import paths

_ROOT = pathlib.Path(paths.configurations())
_FOLDER = 'tests/testdata/configurations'
FILES = [
  _ROOT / 'gin/quickstart.gin',
  *sorted(_ROOT.glob('gin/experiments/*.gin')),
  *sorted(_ROOT.glob('gin/sweeps/*.gin')),
]


def golden(path: pathlib.Path, root: pathlib.Path = _ROOT) -> pathlib.Path:
  """Returns the golden file of a gin file."""
  name = path.relative_to(_ROOT / 'gin').as_posix().replace('/', '_')
  return root / _FOLDER / name


def values(path: pathlib.Path) -> dict[str, str]:
  """Returns the value of every parameter, without macros."""
  needs_source = path.stem.startswith('mini') and path.parent.name != 'sweeps'
  bindings = ["stanford.source = 'absent.zip'"] * needs_source
  root = 'sweep' if path.parent.name == 'sweeps' else 'train'
  configuration = loading.load([str(path)], bindings, root=root)
  return differences.values(configuration.text())


def main() -> None:
  """Writes the golden files into the source tree."""
  root = pathlib.Path(os.environ.get('BUILD_WORKSPACE_DIRECTORY', '.'))
  for path in FILES:
    with native_output.hidden():
      lines = [f'{name} = {value}\n' for name, value in values(path).items()]
    golden(path, root).write_text(''.join(lines), encoding='utf-8')


if __name__ == '__main__':
  main()
