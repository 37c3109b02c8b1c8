"""Imports follow the arrows of the design, and packages are namespaces."""

import ast
import pathlib
from collections.abc import Iterator

from absl.testing import absltest
from absl.testing import parameterized

_PROJECT = pathlib.Path(__file__).parent.parent
_ROOTS = ('beam_pipelines', 'tinygin')

# What each package may import of this project beside itself. A package that is
# not listed takes the rule of the folder around it; the entry points in
# `tinygin` itself may import all of it, and are imported by nothing.
_ARROWS = {
  'beam_pipelines': {'tinygin.config'},
  'tinygin': {
    'tinygin.config',
    'tinygin.data',
    'tinygin.models',
    'tinygin.reporting',
    'tinygin.sweeps',
    'tinygin.training',
  },
  'tinygin.config': set(),
  'tinygin.data': {'tinygin.config'},
  'tinygin.models': {'tinygin.config'},
  'tinygin.reporting': {'tinygin.config'},
  'tinygin.sweeps': {
    'tinygin.config',
    'tinygin.reporting',
    'tinygin.training',
  },
  'tinygin.training': {
    'tinygin.config',
    'tinygin.data',
    'tinygin.models',
    'tinygin.reporting',
  },
}
# What must not be needed for importing a package: inside a function only.
_OPTIONAL = {
  'tinygin.models': {'tensorflow', 'tensorflow_datasets', 'apache_beam'},
}
# The only regular package: TFDS asks for it.
_REGULAR_PACKAGES = {'beam_pipelines/tiny_imagenet/__init__.py'}


def _is_within(module: str, package: str) -> bool:
  return module == package or module.startswith(package + '.')


def _package_of(module: str, packages: dict[str, set[str]]) -> str | None:
  """Returns the innermost of the packages that holds the module."""
  holders = [package for package in packages if _is_within(module, package)]
  return max(holders, key=len, default=None)


def _imports(
  tree: ast.AST, folder: pathlib.PurePath
) -> Iterator[tuple[str, int, bool]]:
  """Yields each imported name, its line, and whether a function holds it."""
  deferred = {
    id(node)
    for function in ast.walk(tree)
    if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    for node in ast.walk(function)
  }
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ''
      if node.level:
        parents = folder.parts[: len(folder.parts) - node.level + 1]
        base = '.'.join([*parents, base] if base else parents)
      names = [f'{base}.{alias.name}' for alias in node.names]
    else:
      continue
    for name in names:
      yield name, node.lineno, id(node) in deferred


def _fault(module: str, name: str, deferred: bool) -> str | None:
  """Says what is wrong with `module` importing `name`, if anything."""
  for package, optional in _OPTIONAL.items():
    needed = name.split('.')[0] in optional and not deferred
    if needed and _is_within(module, package):
      return f'{package} may do so inside a function only'
  if name.split('.')[0] not in _ROOTS:
    return None
  importer = _package_of(module, _ARROWS)
  imported = _package_of(name, _ARROWS)
  if importer == imported and importer != 'tinygin':
    return None
  if imported in _ARROWS[importer]:
    return None
  allowed = ', '.join(sorted(_ARROWS[importer])) or 'nothing'
  return f'{importer} may import of this project: {allowed}'


def _modules(project: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the source file of each module."""
  return {
    '.'.join(path.relative_to(project).with_suffix('').parts).removesuffix(
      '.__init__'
    ): path
    for root in _ROOTS
    for path in sorted((project / root).rglob('*.py'))
  }


def find_faults(project: pathlib.Path) -> list[str]:
  """Returns a message for each import or file that breaks the rules."""
  modules = _modules(project)
  faults = []
  for module, path in modules.items():
    file = path.relative_to(project)
    if path.name == '__init__.py' and file.as_posix() not in _REGULAR_PACKAGES:
      faults.append(f'{file}: packages are namespaces, without __init__.py')
    tree = ast.parse(path.read_text())
    for name, line, deferred in _imports(tree, file.parent):
      if fault := _fault(module, name, deferred):
        faults.append(f'{file}:{line}: imports {name}; {fault}')
      elif name.split('.')[0] in _ROOTS and not (
        {name, name.rpartition('.')[0]} & modules.keys()
      ):
        faults.append(f'{file}:{line}: imports {name}; there is no such module')
  return faults


class ImportsTest(parameterized.TestCase):
  def test_project_follows_the_arrows(self):
    self.assertNotEmpty(_modules(_PROJECT))
    self.assertEmpty(find_faults(_PROJECT))

  @parameterized.parameters(
    ('tinygin/train.py', 'from tinygin.training import trainer'),
    ('tinygin/training/steps.py', 'from tinygin.models import resnet'),
    ('tinygin/data/records.py', 'import tinygin.config.errors'),
    ('beam_pipelines/dataset.py', 'from tinygin.config import errors'),
    ('tinygin/models/heads.py', 'import keras'),
    ('tinygin/models/heads.py', 'def f():\n  import tensorflow as tf'),
    ('tinygin/models/heads.py', 'from . import resnet'),
  )
  def test_arrow_is_allowed(self, file, source):
    self.assertEmpty(find_faults(self._project({file: source})))

  @parameterized.parameters(
    (
      'tinygin/config/loading.py',
      'import tinygin.training.trainer',
      'tinygin.config may import of this project: nothing',
    ),
    (
      'tinygin/models/heads.py',
      'from tinygin.training import trainer',
      'tinygin.models may import of this project: tinygin.config',
    ),
    (
      'tinygin/models/heads.py',
      'if True:\n  from tensorflow import nn',
      'tinygin.models may do so inside a function only',
    ),
    (
      'tinygin/models/heads.py',
      'from ..training import trainer',
      'tinygin.models may import of this project: tinygin.config',
    ),
    (
      'tinygin/data/order.py',
      'def f():\n  from beam_pipelines import dataset',
      'tinygin.data may import of this project: tinygin.config',
    ),
    (
      'beam_pipelines/dataset.py',
      'from tinygin.data import source',
      'beam_pipelines may import of this project: tinygin.config',
    ),
    (
      'tinygin/training/steps.py',
      'from tinygin import train',
      'tinygin.training may import of this project: tinygin.config,'
      ' tinygin.data, tinygin.models, tinygin.reporting',
    ),
    (
      'tinygin/train.py',
      'from tinygin import evaluate',
      'tinygin may import of this project: tinygin.config, tinygin.data,'
      ' tinygin.models, tinygin.reporting, tinygin.sweeps, tinygin.training',
    ),
    (
      'tinygin/train.py',
      'from tinygin.config import absent',
      'there is no such module',
    ),
  )
  def test_arrow_is_refused(self, file, source, message):
    (fault,) = find_faults(self._project({file: source}))
    self.assertStartsWith(fault, f'{file}:{source.count(chr(10)) + 1}: ')
    self.assertEndsWith(fault, f'; {message}')

  def test_init_is_refused_but_where_tfds_asks_for_it(self):
    project = self._project(
      {
        'beam_pipelines/tiny_imagenet/__init__.py': 'from .. import dataset',
        'tinygin/data/__init__.py': '',
      }
    )
    self.assertEqual(
      find_faults(project),
      [
        'tinygin/data/__init__.py: packages are namespaces, without __init__.py'
      ],
    )

  def _project(self, sources: dict[str, str]) -> pathlib.Path:
    """Writes a project with some plain modules and the sources given."""
    project = pathlib.Path(self.create_tempdir().full_path)
    plain = [
      'beam_pipelines/dataset.py',
      'tinygin/config/errors.py',
      'tinygin/data/source.py',
      'tinygin/evaluate.py',
      'tinygin/models/resnet.py',
      'tinygin/train.py',
      'tinygin/training/trainer.py',
    ]
    for file, source in ({file: '' for file in plain} | sources).items():
      path = project / file
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(source)
    return project


if __name__ == '__main__':
  absltest.main()
