"""Describes everything that can be configured, from the code itself."""

import glob
import importlib.util
import inspect
import os
import re
from collections.abc import Iterator

import tabulate

from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import errors
from tinygin.config import paths
from tinygin.config import statements

_PACKAGES = ('tinygin', 'beam_pipelines')
# Where each component's parameter is bound.
Places = dict[tuple[str, str], list[str]]


def import_components() -> None:
  """Imports the project's modules that register components."""
  for package in _PACKAGES:
    pattern = os.path.join(paths.project_root(), package, '**', '*.py')
    for path in sorted(glob.glob(pattern, recursive=True)):
      with open(path, encoding='utf-8') as file:
        if '\n@gin.' in file.read():
          relative = os.path.relpath(path, paths.project_root())
          importlib.import_module(
            relative.removesuffix('.py').replace(os.sep, '.')
          )


def describe(name: str = '') -> str:
  """Describes all registered components of the project, or one.

  Args:
    name: A component, also one that only an import brings, such as
      `keras.optimizers.Adam`; nothing: all.

  Returns:
    For each its signature, the first line of its docstring, and a table of
    types and ranges, defaults, and the gin files that bind the parameters.

  Raises:
    InputError: There is no such component.
  """
  import_components()
  first = name.partition('.')[0]
  imports = []
  if '.' in name and importlib.util.find_spec(first):
    place = statements.Place('--help_config')
    imports = [statements.Import(first, False, None, place)]
  registry = components.Registry(imports)
  if name and registry.problem(name):
    raise errors.InputError(
      f'Unknown component {name}.{registry.problem(name)}'
    )
  bound = _binding_files()
  names = [name] if name else components.names()
  return '\n'.join(_section(registry.find(each), bound) for each in names)


def page() -> str:
  """Returns the project's components as a page of Markdown, by module."""
  import_components()
  registry = components.Registry([])
  bound = _binding_files()
  modules: dict[str, list[str]] = {}
  for name in components.names():
    component = registry.find(name)
    module = component.target.__module__
    if module.partition('.')[0] in _PACKAGES:
      modules.setdefault(module, []).append(_markdown(component, bound))
  sections = [_PAGE_HEADER]
  for module in sorted(modules):
    sections += [f'## {module}', *modules[module]]
  return '\n\n'.join(sections) + '\n'


_PAGE_HEADER = """\
# Reference

All that gin files can bind, from the code itself: written by
`./bazelw run //docs:write_reference`. `--help_config=NAME` shows the same, and
the parameters of other libraries' components."""


def _markdown(component: components.Component, bound: Places) -> str:
  documentation = inspect.getdoc(component.target) or ''
  meanings = _meanings(documentation)
  lines = [f'### {component.name}', '', documentation.partition('\n')[0]]
  rows = [*_rows(component, bound)]
  if rows:
    lines += ['', '| | | expected | bound in |', '|---|---|---|---|']
  for name, parameter, places in rows:
    files = dict.fromkeys(
      f'`{place.partition(":")[0].removeprefix("gin/")}`' for place in places
    )
    expected = constraints.describe(parameter.annotation)
    cells = f'`{name}`', meanings.get(name, ''), expected, ' '.join(files)
    escaped = (cell.replace('|', '\\|') for cell in cells)
    lines.append(f'| {" | ".join(escaped)} |')
  return '\n'.join(lines)


def _meanings(documentation: str) -> dict[str, str]:
  """Returns what a docstring says of each parameter."""
  _, _, section = re.split(
    r'^(Args|Attributes):\n|\Z', documentation, maxsplit=1, flags=re.M
  )
  entries = re.findall(
    r'^  (\w+): (.*\n?(?:^    .*\n?)*)', section.split('\n\n')[0], re.M
  )
  return {name: ' '.join(text.split()) for name, text in entries}


def _rows(
  component: components.Component, bound: Places
) -> Iterator[tuple[str, components.Parameter, list[str]]]:
  """Yields each parameter that can be bound, and where that is done."""
  for name, parameter in component.parameters.items():
    yield name, parameter, bound.get((component.name, name), [])


def _section(component: components.Component, bound: Places) -> str:
  rows = [
    (
      f'  {name}',
      constraints.describe(parameter.annotation),
      'required' if parameter.is_required else repr(parameter.default),
      ' '.join(places),
    )
    for name, parameter, places in _rows(component, bound)
  ]
  documentation = inspect.getdoc(component.target) or ''
  names = ', '.join(name.strip() for name, *_ in rows)
  lines = [
    f'{component.name}({names})',
    f'  {documentation.partition(chr(10))[0]}',
    f'  {component.target.__module__}',
  ]
  if rows:
    table = tabulate.tabulate(
      rows, tablefmt='plain', disable_numparse=True, preserve_whitespace=True
    )
    lines += ['', *table.split('\n')]
  return ''.join(f'{line.rstrip()}\n' for line in lines)


def _binding_files() -> Places:
  """Returns which of the project's gin files bind a component's parameter."""
  found: Places = {}
  folder = os.path.join(paths.project_root(), 'gin')
  for path in sorted(glob.glob(f'{folder}/**/*.gin', recursive=True)):
    name = paths.display(path)
    with open(path, encoding='utf-8') as file:
      parsed = list(statements.parse(file.read(), statements.Place(name)))
    for each in parsed:
      if isinstance(each, statements.Binding) and each.component:
        files = found.setdefault((each.component, each.parameter), [])
        files.append(str(each.place))
  return found
