"""Knows the components of modules without importing them.

A module is imported once, by `recording` in another process, which keeps a
record in `~/.cache/tinygin`. A record is valid while the installed packages
have the same versions, and while the sources of the module, and of the modules
that it imports and that belong to no library, are the same.
"""

import atexit
import contextlib
import dataclasses
import functools
import hashlib
import importlib
import io
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from gin import selector_map

from tinygin.config import components
from tinygin.config import paths
from tinygin.config import statements
from tinygin.editing import origins
from tinygin.editing import recording


class Catalogue:
  """What is known of modules.

  Attributes:
    modules: the recorded modules, by name.
    folder: contains the records.
  """

  def __init__(self):
    self.modules: dict[str, Module] = {}
    if paths.working_directory() not in sys.path:
      sys.path.append(paths.working_directory())
    self.folder = _cache_folder()
    self._versions = ''

  def learn(self, modules: Iterable[str]) -> None:
    """Reads the records of modules, and has missing or old ones made."""
    importlib.invalidate_caches()  # A module may have just been written.
    self._versions = origins.versions()
    wanted = dict.fromkeys(modules)
    old = [each for each in wanted if not self._is_known(each)]
    if old:
      self._record(old)
      for each in old:
        self.modules[each] = Module(self._read(each))

  def _is_known(self, module: str) -> bool:
    """Whether there is a valid record of a module, which is then read."""
    known = self.modules.get(module)
    if known and self._is_valid(known.entry):
      return True
    try:
      entry = self._read(module)
    except (OSError, EOFError, pickle.UnpicklingError):
      return False
    if not self._is_valid(entry):
      return False
    self.modules[module] = Module(entry)
    return True

  def _read(self, module: str) -> dict[str, Any]:
    path = self.folder / recording.file_name(module)
    return pickle.loads(path.read_bytes())

  def _is_valid(self, entry: dict[str, Any]) -> bool:
    spec = origins.find(entry['module'])
    return (
      entry['versions'] == self._versions
      and entry['origin'] == (spec.origin if spec else None)
      and all(
        origins.fingerprint(path) == known
        for path, known in entry['sources'].items()
      )
    )

  def _record(self, modules: Sequence[str]) -> None:
    command = [
      *(sys.executable, '-P', '-m', recording.__name__),
      str(self.folder),
    ]
    result = subprocess.run(
      [*command, *modules],
      cwd=paths.working_directory(),
      env={**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
      stdin=subprocess.DEVNULL,
      capture_output=True,
      encoding='utf-8',
      errors='replace',
    )
    if result.returncode and len(modules) > 1:
      for each in modules:
        self._record([each])
    elif result.returncode:
      (module,) = modules
      lines = result.stderr.strip().split('\n')
      message = (
        f'The import of {module} at {recording.PLACE} failed: it ended the '
        f'process with status {result.returncode}. {lines[-1]}'
      ).strip()
      recording.write(self.folder, recording.failed(module, message))

  def registry(
    self, imports: Sequence[statements.Import], root: str = ''
  ) -> 'Registry':
    """Returns the components that a configuration with these imports has."""
    return Registry(self, imports, root)


def _cache_folder() -> pathlib.Path:
  """Returns where records are kept: one folder for each environment.

  Without a writable cache folder, they are kept as long as the process runs.
  """
  cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  place = '\n'.join([sys.prefix, paths.project_root(), *sorted(sys.path)])
  name = hashlib.sha256(place.encode()).hexdigest()[:16]
  folder = pathlib.Path(cache, 'tinygin', name)
  with contextlib.suppress(OSError):
    folder.mkdir(parents=True, exist_ok=True)
  if os.access(folder, os.W_OK):
    return folder
  # Private, because reading a record that another user wrote can run code.
  private = tempfile.mkdtemp(prefix='tinygin-')
  atexit.register(shutil.rmtree, private, ignore_errors=True)
  return pathlib.Path(private)


class Module:
  """A recorded module.

  Attributes:
    entry: the record.
    registered: what the import of the module registers with gin.
  """

  def __init__(self, entry: dict[str, Any]):
    self.entry = entry
    self._classes = _Classes(entry['classes'])
    self._targets: dict[str, Target] = {}
    self.registered = [*map(self.target, entry['registered'].values())]

  def target(self, key: str) -> 'Target':
    """Returns a function or class of the module."""
    if key not in self._targets:
      self._targets[key] = Target(self.entry['targets'][key], self._classes)
    return self._targets[key]


class Target:
  """A recorded function or class; a component's target without its code.

  It also takes the part of what gin knows about a registered component.

  Attributes:
    key: the module and the name in it.
    selector: the name with which it is registered, or nothing.
    line: of the function in its file; None where it is unknown.
    is_class: whether it is a class.
  """

  def __init__(self, summary: dict[str, Any], classes: '_Classes'):
    self.__module__ = summary['module']
    self.__qualname__ = summary['qualname']
    self.__name__ = summary['name']
    self.key = f'{self.__module__}.{self.__qualname__}'
    self.selector = summary['selector']
    self.line = summary['line']
    self.is_class = summary['is_class']
    self._summary = summary
    self._classes = classes

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    """Tells `callable` that it is a function or class."""
    raise NotImplementedError

  @property
  def wrapped(self) -> 'Target':
    """What gin calls the function or class itself."""
    return self

  @functools.cached_property
  def parameters(self) -> dict[str, components.Parameter]:
    """See `components.Component`."""
    return {
      name: components.Parameter(self._classes.load(annotation), *others)
      for name, (annotation, *others) in self._details['parameters'].items()
    }

  @functools.cached_property
  def result(self) -> Any:
    """See `components.Component`."""
    return self._classes.load(self._details['result'])

  @property
  def documentation(self) -> str:
    """The docstring."""
    return self._details['documentation']

  @property
  def file(self) -> str | None:
    """The path of the source file."""
    return self._details['file']

  @functools.cached_property
  def _details(self) -> dict[str, Any]:
    return pickle.loads(self._summary['details'])


class _Classes:
  """Makes classes like recorded ones: the same names, bases and attributes."""

  # Of all records, so that a class of two records is one class.
  _made: dict[str, type] = {}

  def __init__(self, known: dict[str, dict[str, Any]]):
    self._known = known

  def load(self, pickled: bytes) -> Any:
    """Returns an annotation."""
    unpickler = pickle.Unpickler(io.BytesIO(pickled))
    unpickler.persistent_load = self._class
    return unpickler.load()

  def _class(self, key: str) -> type:
    if key not in self._made:
      self._made[key] = self._make(self._known[key])
    return self._made[key]

  def _make(self, known: dict[str, Any]) -> type:
    bases = []
    for each in known['bases']:
      if each[0] is None:
        module = sys.modules.get(each[1]) or __import__(each[1], fromlist=['_'])
        bases.append(getattr(module, each[2], object))
      else:
        bases.append(self._class(each[0]))
    attributes = {name: _attribute for name in known['names']}
    attributes |= {
      '__module__': known['module'],
      '__qualname__': known['qualname'],
      '_is_protocol': known['is_protocol'],
    }
    try:
      return types.new_class(
        known['name'], tuple(bases), {}, lambda body: body.update(attributes)
      )
    except TypeError:  # Bases that only the real class can combine.
      return type(known['name'], (), attributes)


def _attribute(*args: Any) -> None:
  """Is every method of the made classes."""
  del args


class _Namespace(types.ModuleType):
  """A module whose attributes come from records."""

  def __init__(self, name: str, others: 'dict[str, _Namespace]'):
    super().__init__(name)
    self._others = others
    self._owner: Module | None = None
    self._recorded: dict[str, tuple[str, str]] = {}

  def fill(self, owner: Module, recorded: dict[str, tuple[str, str]]) -> None:
    """Adds what a record says about the module."""
    self._owner, self._recorded = owner, recorded

  def __getattr__(self, name: str) -> Any:
    kind, value = self.__dict__.get('_recorded', {}).get(name, ('', ''))
    if kind == 'target':
      return self._owner.target(value)
    if kind == 'module':
      return self._others[value]
    if kind == 'value':
      return recording.Opaque(value)
    raise AttributeError(name)

  def __dir__(self) -> list[str]:
    inside = [
      name
      for name, value in vars(self).items()
      if isinstance(value, types.ModuleType)
    ]
    return [*self._recorded, *inside]


@dataclasses.dataclass(frozen=True, eq=False)
class _Component(components.Component):
  """A recorded component."""

  @property
  def parameters(self) -> dict[str, components.Parameter]:
    return self.target.parameters

  @property
  def result(self) -> Any:
    return self.target.result


class _ImportError(ImportError):
  """A recorded message about an import that fails."""


class Registry(components.Registry):
  """Finds recorded components by the names that a configuration uses."""

  component_class = _Component

  def __init__(
    self,
    catalogue: Catalogue,
    imports: Sequence[statements.Import],
    root: str = '',
  ):
    self._catalogue = catalogue
    self.configurables = selector_map.SelectorMap()
    self._namespaces: dict[str, _Namespace] = {}
    known = [each for each in imports if each.module in catalogue.modules]
    for each in known:
      module = catalogue.modules[each.module]
      for target in module.registered:
        self.configurables[target.selector] = target
      for path, recorded in module.entry['tree'].items():
        self._namespace(path).fill(module, recorded)
    super().__init__(known, root)

  def _namespace(self, path: str) -> _Namespace:
    """Returns the namespace of a module, which those of its packages hold."""
    if path not in self._namespaces:
      own = self._namespaces[path] = _Namespace(path, self._namespaces)
      parent, dot, name = path.rpartition('.')
      if dot:
        setattr(self._namespace(parent), name, own)
    return self._namespaces[path]

  def import_module(self, name: str) -> types.ModuleType:
    """Returns the namespace of a recorded module."""
    module = self._catalogue.modules.get(name)
    if module and module.entry['message']:
      raise _ImportError(module.entry['message'])
    return self._namespaces[name]

  def import_message(
    self, error: BaseException, statement: statements.Import
  ) -> str:
    """Returns the recorded message."""
    return str(error).replace(recording.PLACE, str(statement.location))

  def imported(self) -> list[str]:
    """Returns the names that import statements bind."""
    return [*self._imports]

  def members(self, name: str) -> list[str]:
    """Returns the names in a module that an import statement reaches."""
    first, *rest = name.split('.')
    module = self._imports[first][0] if first in self._imports else None
    for each in rest:
      module = getattr(module, each, None)
    return dir(module) if isinstance(module, types.ModuleType) else []

  def configurable(self, target: Any) -> Target | None:
    """Returns the target if it is registered."""
    selector = getattr(target, 'selector', '')
    return self.configurables.get(selector) if selector else None

  def suggestion(self, name: str) -> components.Problem:
    """Returns the import of a recorded module that registers the name."""
    for module in self._catalogue.modules.values():
      for each in module.registered:
        own = each.__module__ == module.entry['module']
        if own and f'.{each.selector}'.endswith(f'.{name}'):
          line = f'import {each.__module__}'
          return components.Problem(f' Add the line: {line}', line)
    return super().suggestion(name)
