"""Finds the source files behind a module, without importing anything."""

import ast
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from tinygin.config import components
from tinygin.config import paths


def find(module: str) -> importlib.machinery.ModuleSpec | None:
  """Returns where a module is, or None; its packages are not imported."""
  first, *rest = module.split('.')
  try:
    found = importlib.util.find_spec(first)
  except ValueError:  # As of __main__.
    return None
  name = first
  for part in rest:
    if found is None:
      return None
    name = f'{name}.{part}'
    found = _find_in(name, found.submodule_search_locations or ())
  return found


def _find_in(
  name: str, folders: Iterable[str]
) -> importlib.machinery.ModuleSpec | None:
  """Returns where a module is in the folders of its package."""
  namespace = importlib.machinery.ModuleSpec(name, None, is_package=True)
  for folder in folders:
    finder = pkgutil.get_importer(folder)
    found = finder.find_spec(name) if finder else None
    if found and found.loader:
      return found
    if found:
      namespace.submodule_search_locations += found.submodule_search_locations
  return namespace if namespace.submodule_search_locations else None


def nearest(module: str) -> str:
  """Returns the name of a similar module in the same package, or nothing."""
  package, dot, name = module.rpartition('.')
  near = components.nearest_name(name, inside(package) if dot else ())
  return f'{package}.{near}' if near else ''


def inside(package: str) -> list[str]:
  """Returns the names of the modules and packages in a package."""
  spec = find(package)
  folders = (spec and spec.submodule_search_locations) or ()
  names = [each.name for each in pkgutil.iter_modules(folders)]
  for folder in filter(os.path.isdir, folders):
    # Packages without __init__.py.
    with os.scandir(folder) as entries:
      names += [
        each.name
        for each in entries
        if each.is_dir()
        and each.name.isidentifier()
        and any(name.endswith('.py') for name in os.listdir(each.path))
      ]
  return [*dict.fromkeys(names)]


def closure(module: str) -> dict[str, str]:
  """Returns a module and all that it imports, except for libraries.

  Only imports that run when a module is imported count.

  Returns:
    The path of the source of each module; imported ones come first.
  """
  found: dict[str, str] = {}
  open_: set[str] = set()

  def visit(name: str) -> None:
    spec = find(name)
    path = spec and spec.origin
    if name in open_ or not path or is_library(name, path):
      return
    open_.add(name)
    for each in _imports(name, path):
      visit(each)
    found[name] = path

  parts = module.split('.')
  for count in range(1, len(parts) + 1):
    visit('.'.join(parts[:count]))
  return found


def is_library(module: str, path: str) -> bool:
  """Whether a module belongs to Python or to an installed package."""
  first = module.partition('.')[0]
  if first in paths.PROJECT:
    return False
  return (
    not path.endswith('.py')
    or first in sys.stdlib_module_names
    or f'{os.sep}site-packages{os.sep}' in path
    or f'{os.sep}dist-packages{os.sep}' in path
  )


def _imports(module: str, path: str) -> Iterator[str]:
  """Yields the names of modules that a module may import."""
  try:
    with open(path, 'rb') as file:
      tree = ast.parse(file.read())
  except (OSError, SyntaxError, ValueError):  # Importing it tells more.
    return
  package = (
    module if path.endswith('__init__.py') else module.rpartition('.')[0]
  )
  for node in _executed(tree):
    if isinstance(node, ast.Import):
      names = [each.name for each in node.names]
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ''
      if node.level:
        parents = package.split('.')
        kept = parents[: len(parents) - node.level + 1]
        base = '.'.join([*kept, base] if base else kept)
      names = [base, *(f'{base}.{each.name}' for each in node.names)]
    else:
      continue
    for name in names:
      parts = name.split('.')
      for count in range(1, len(parts) + 1):
        yield '.'.join(parts[:count])


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
  """Yields the nodes outside functions."""
  for node in ast.iter_child_nodes(tree):
    if not isinstance(
      node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    ):
      yield node
      yield from _executed(node)


def state(module: str) -> dict[str, Any]:
  """Returns all that a record of a module depends on."""
  spec = find(module)
  files = closure(module).values()
  return {
    'versions': versions(),
    'origin': spec.origin if spec else None,
    'sources': {path: fingerprint(path) for path in files},
  }


def fingerprint(path: str) -> str:
  """Returns the SHA-256 of a file; empty where there is none."""
  try:
    status = os.stat(path)
  except OSError:
    return ''
  return _fingerprint(path, status.st_ino, status.st_ctime_ns, status.st_size)


@functools.cache
def _fingerprint(path: str, inode: int, changed_ns: int, size: int) -> str:
  del inode, changed_ns, size  # The file is read again when they change.
  with open(path, 'rb') as file:
    return hashlib.sha256(file.read()).hexdigest()


def versions() -> str:
  """Returns a fingerprint of Python, all installed packages and this one."""
  folder = os.path.dirname(os.path.abspath(__file__))
  own = [
    *(os.path.join(folder, each) for each in ('recording.py', 'origins.py')),
    *(
      os.path.join(os.path.dirname(folder), 'config', each)
      for each in ('components.py', 'constraints.py')
    ),
  ]
  installed = sorted(
    os.path.join(place, name)
    for place in sys.path
    if os.path.isdir(place)
    for name in os.listdir(place)
    if name.endswith(('.dist-info', '.egg-info'))
  )
  words = [sys.version, sys.executable, *installed, *map(fingerprint, own)]
  return hashlib.sha256('\n'.join(words).encode()).hexdigest()
