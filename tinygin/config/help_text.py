"""Describes everything that can be configured, from the code itself."""

import glob
import importlib.util
import inspect
import os
import re

from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import errors
from tinygin.config import paths
from tinygin.config import statements

_PAGE_HEADER = """\
# Reference

Everything that gin files can bind. `./bazelw run //docs:write_reference` writes
this page from the code. `--help_config=NAME` shows one component of the project
or of another library."""
# The gin files that bind a parameter, by component and parameter.
_Files = dict[tuple[str, str], dict[str, None]]


def import_components() -> None:
  """Imports the project's modules that register components."""
  root = paths.project_root()
  for package in paths.PROJECT:
    for path in sorted(glob.glob(f'{root}/{package}/**/*.py', recursive=True)):
      with open(path, encoding='utf-8') as file:
        if '\n@gin.' in file.read():
          relative = os.path.relpath(path, root).removesuffix('.py')
          try:
            importlib.import_module(relative.replace(os.sep, '.'))
          except ModuleNotFoundError as error:
            if not errors.missing_extra(error):
              raise


def describe(name: str) -> str:
  """Describes a component in Markdown.

  Args:
    name: a registered component, or one of a library, such as
      `keras.optimizers.Adam`.

  Returns:
    The first line of its docstring; and for each parameter its meaning, its
    type and range, and its default or the gin files that bind it.

  Raises:
    InputError: there is no such component.
  """
  import_components()
  first = name.partition('.')[0]
  imports = []
  if '.' in name and importlib.util.find_spec(first):
    place = statements.Place('--help_config')
    imports = [statements.Import(first, False, None, place)]
  registry = components.Registry(imports)
  if component := registry.find(name):
    return _section(component, _binding_files()) + '\n'
  problem = registry.problem(name) or ''
  raise errors.InputError(f'Unknown component {name}.{problem}')


def page() -> str:
  """Returns a page of Markdown about the project's components, by module."""
  import_components()
  registry = components.Registry([])
  files = _binding_files()
  modules: dict[str, list[str]] = {}
  for name in components.names():
    component = registry.find(name)
    module = component.target.__module__
    if module.partition('.')[0] in paths.PROJECT:
      modules.setdefault(module, []).append(_section(component, files))
  sections = [_PAGE_HEADER]
  for module in sorted(modules):
    sections += [f'## {module}', *modules[module]]
  return '\n\n'.join(sections) + '\n'


def _section(component: components.Component, files: _Files) -> str:
  documentation = inspect.getdoc(component.target) or ''
  meaning_of = meanings(documentation)
  lines = [f'### {component.name}', '', documentation.partition('\n')[0]]
  if component.parameters:
    lines += ['', '| | | expected | bound in |', '|---|---|---|---|']
  for name, parameter in component.parameters.items():
    bound = ' '.join(
      f'`{each}`' for each in files.get((component.name, name), ())
    )
    if not (bound or parameter.is_required or parameter.default is None):
      bound = f'default: `{parameter.default!r}`'
    expected = constraints.describe(parameter.annotation)
    cells = f'`{name}`', meaning_of.get(name, ''), expected, bound
    escaped = (cell.replace('|', '\\|') for cell in cells)
    lines.append(f'| {" | ".join(escaped)} |')
  return '\n'.join(lines)


def meanings(documentation: str) -> dict[str, str]:
  """Returns the description of each parameter in a docstring."""
  _, _, section = re.split(
    r'^(Args|Attributes):\n|\Z', documentation, maxsplit=1, flags=re.M
  )
  entries = re.findall(
    r'^( {2}| {4})(\w+): (.*\n?(?:^\1 .*\n?)*)', section.split('\n\n')[0], re.M
  )
  return {name: ' '.join(text.split()) for _, name, text in entries}


def _binding_files() -> _Files:
  """Returns the project's gin files that bind each parameter."""
  found: _Files = {}
  folder = os.path.join(paths.configurations(), 'gin')
  for path in sorted(glob.glob(f'{folder}/**/*.gin', recursive=True)):
    name = os.path.relpath(path, folder)
    with open(path, encoding='utf-8') as file:
      for each in statements.parse(file.read(), statements.Place(name)):
        if isinstance(each, statements.Binding) and each.component:
          found.setdefault((each.component, each.parameter), {})[name] = None
  return found
