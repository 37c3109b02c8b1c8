"""Tests which modules import which, and in what order."""

import ast
import json
import pathlib
import re
from collections.abc import Iterator

from absl.testing import absltest
from absl.testing import parameterized

_PROJECT = pathlib.Path(__file__).parent.parent
_ROOTS = ('beam_pipelines', 'benchmarks', 'docs', 'tinygin')

# The packages of this project that each package may import beside itself. A
# package that is not listed follows the rule of its parent. The entry points in
# `tinygin` may import all of `tinygin`; only benchmarks import them.
_ARROWS = {
  'beam_pipelines': {'tinygin.config'},
  'benchmarks': {
    'beam_pipelines',
    'tinygin',
    'tinygin.config',
    'tinygin.data',
    'tinygin.models',
    'tinygin.reporting',
    'tinygin.training',
  },
  'docs': {
    'tinygin.config',
    'tinygin.data',
    'tinygin.models',
    'tinygin.reporting',
    'tinygin.training',
  },
  'tinygin': {
    'tinygin.config',
    'tinygin.data',
    'tinygin.editing',
    'tinygin.models',
    'tinygin.reporting',
    'tinygin.sweeps',
    'tinygin.training',
  },
  'tinygin.config': set(),
  'tinygin.data': {'tinygin.config'},
  'tinygin.editing': {'tinygin.config'},
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
# Libraries that a package may import inside functions only.
_OPTIONAL = {
  'tinygin.models': {'tensorflow', 'tensorflow_datasets', 'apache_beam'},
}
# The only regular package: TFDS asks for it.
_REGULAR_PACKAGES = {'beam_pipelines/tiny_imagenet/__init__.py'}
# Libraries that read the variables which this module sets.
_ENVIRONMENT = 'tinygin.config.environment'
_READERS = {'keras', 'tensorflow', 'tensorflow_datasets'}


def _is_within(module: str, package: str) -> bool:
  return module == package or module.startswith(package + '.')


def _package_of(module: str, packages: dict[str, set[str]]) -> str | None:
  """Returns the innermost of the packages that contains the module."""
  holders = [package for package in packages if _is_within(module, package)]
  return max(holders, key=len, default=None)


def _imports(
  tree: ast.AST, folder: pathlib.PurePath
) -> Iterator[tuple[str, int, bool]]:
  """Yields each imported name, its line, and whether it is in a function."""
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
  """Returns why `module` must not import `name`, or None if it may."""
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
  return f'{importer} may import from this project: {allowed}'


def _modules(project: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the source file of each module and notebook."""
  return {
    '.'.join(path.relative_to(project).with_suffix('').parts).removesuffix(
      '.__init__'
    ): path
    for root in _ROOTS
    for path in sorted((project / root).rglob('*'))
    if path.suffix in ('.py', '.ipynb')
  }


def _parse(path: pathlib.Path) -> ast.Module:
  """Parses a module, or the code of a notebook without its magics."""
  text = path.read_text(encoding='utf-8')
  if path.suffix == '.ipynb':
    text = '\n'.join(
      ''.join(cell['source'])
      for cell in json.loads(text)['cells']
      if cell['cell_type'] == 'code'
    )
    text = re.sub('^[%!].*$', '', text, flags=re.M)
  return ast.parse(text)


def _is_program(path: pathlib.Path) -> bool:
  return path.suffix == '.ipynb' or "__name__ == '__main__'" in path.read_text(
    encoding='utf-8'
  )


def find_faults(project: pathlib.Path) -> list[str]:
  """Returns a message for each import or file that breaks the rules."""
  modules = _modules(project)
  faults = []
  for module, path in modules.items():
    file = path.relative_to(project)
    if path.name == '__init__.py' and file.as_posix() not in _REGULAR_PACKAGES:
      faults.append(f'{file}: packages are namespaces, without __init__.py')
    for name, line, deferred in _imports(_parse(path), file.parent):
      if fault := _fault(module, name, deferred):
        faults.append(f'{file}:{line}: imports {name}; {fault}')
      elif name.split('.')[0] in _ROOTS and not (
        {name, name.rpartition('.')[0]} & modules.keys()
      ):
        faults.append(f'{file}:{line}: imports {name}; there is no such module')
  return faults


def find_late_environments(project: pathlib.Path) -> list[str]:
  """Returns a message for each program that sets the environment too late."""
  modules = _modules(project)
  faults = []
  for module, path in modules.items():
    if _is_program(path):
      first = next(_loads(module, modules, set()), 'functions run')
      if first != _ENVIRONMENT:
        file = path.relative_to(project)
        faults.append(f'{file}: {first} before {_ENVIRONMENT} is imported')
  return faults


def _loads(
  module: str, modules: dict[str, pathlib.Path], seen: set[str]
) -> Iterator[str]:
  """Yields the environment and its readers in the order of their import."""
  seen.add(module)
  path = modules[module]
  folder = pathlib.PurePath(*module.split('.')).parent
  imports = list(_imports(_parse(path), folder))
  for name, _, deferred in sorted(imports, key=lambda each: each[1]):
    if deferred:
      continue
    if name == _ENVIRONMENT or name.split('.')[0] in _READERS:
      yield name if name == _ENVIRONMENT else f'{name} is imported'
    for found in {name, name.rpartition('.')[0]} & modules.keys() - seen:
      yield from _loads(found, modules, seen)


class ImportsTest(parameterized.TestCase):
  def test_sees_all_modules(self):
    modules = _modules(_PROJECT)
    for module in (
      'beam_pipelines.contact_sheet',
      'beam_pipelines.verification',
      'beam_pipelines.verify_dataset',
      'benchmarks.input',
      'docs.colab',
      'docs.theory',
      'docs.write_reference',
      'tinygin.compare',
      'tinygin.reporting.curves',
    ):
      self.assertIn(module, modules)

  def test_project_follows_the_arrows(self):
    self.assertEmpty(find_faults(_PROJECT))

  def test_programs_set_the_environment_before_they_import_tensorflow(self):
    self.assertEmpty(find_late_environments(_PROJECT))

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
      'tinygin.config may import from this project: nothing',
    ),
    (
      'tinygin/models/heads.py',
      'from tinygin.training import trainer',
      'tinygin.models may import from this project: tinygin.config',
    ),
    (
      'tinygin/models/heads.py',
      'if True:\n  from tensorflow import nn',
      'tinygin.models may do so inside a function only',
    ),
    (
      'tinygin/models/heads.py',
      'from ..training import trainer',
      'tinygin.models may import from this project: tinygin.config',
    ),
    (
      'tinygin/data/order.py',
      'def f():\n  from beam_pipelines import dataset',
      'tinygin.data may import from this project: tinygin.config',
    ),
    (
      'beam_pipelines/dataset.py',
      'from tinygin.data import source',
      'beam_pipelines may import from this project: tinygin.config',
    ),
    (
      'tinygin/training/steps.py',
      'from tinygin import train',
      'tinygin.training may import from this project: tinygin.config,'
      ' tinygin.data, tinygin.models, tinygin.reporting',
    ),
    (
      'tinygin/train.py',
      'from tinygin import evaluate',
      'tinygin may import from this project: tinygin.config, tinygin.data,'
      ' tinygin.editing, tinygin.models, tinygin.reporting, tinygin.sweeps,'
      ' tinygin.training',
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

  @parameterized.parameters(
    ('from tinygin.config import environment\nimport keras', []),
    ('from tinygin.config import entry_point\nimport keras', []),
    ('from tinygin.config import entry_point\nimport tinygin.evaluate', []),
    ('import tinygin.evaluate', ['keras.layers is imported']),
    (
      'import tinygin.evaluate\nfrom tinygin.config import entry_point',
      ['keras.layers is imported'],
    ),
    ('def f():\n  import keras', ['functions run']),
    ('', ['functions run']),
  )
  def test_program_sets_the_environment_first(self, source, faults):
    guard = "\nif __name__ == '__main__':\n  pass"
    project = self._project(
      {
        'tinygin/config/environment.py': '',
        'tinygin/config/entry_point.py': 'import tinygin.config.environment',
        'tinygin/evaluate.py': 'if True:\n  import keras.layers',
        'tinygin/train.py': source + guard,
      }
    )
    self.assertEqual(
      find_late_environments(project),
      [
        f'tinygin/train.py: {fault} before {_ENVIRONMENT} is imported'
        for fault in faults
      ],
    )

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
