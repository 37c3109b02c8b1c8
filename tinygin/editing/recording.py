"""Records what modules define, so that nobody has to import them again.

  python -m tinygin.editing.recording FOLDER MODULE MODULE …

`catalogue` starts this program, which writes one pickle for each module to the
folder. Classes become names, so that reading a record imports neither
TensorFlow nor the module.
"""

import importlib
import inspect
import io
import os
import pathlib
import pickle
import sys
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import cloudpickle

from tinygin.config import components
from tinygin.config import environment  # noqa: F401  Before TensorFlow.
from tinygin.config import paths
from tinygin.config import statements
from tinygin.editing import origins

# Importing these takes no time, so that their classes are kept as they are.
_LIGHT = {
  *('abc', 'annotated_types', 'builtins', 'collections', 'collections.abc'),
  *('datetime', 'enum', 'functools', 'inspect', 'numbers', 'pathlib', 're'),
  *('types', 'typing'),
}
# Attributes that protocols and abstract classes ask for.
_SPECIAL = {'__call__', '__contains__', '__getitem__', '__iter__', '__len__'}
# Stands for the place of the import statement in a message.
PLACE = '\0'


class Opaque:
  """Stands for a default that only its module can make."""

  def __init__(self, text: str):
    self._text = text

  def __repr__(self) -> str:
    return self._text


def main(argv: list[str]) -> None:
  """Writes a file for each module."""
  folder, *modules = argv[1:]
  if paths.working_directory() not in sys.path:
    sys.path.append(paths.working_directory())
  closures = {module: origins.closure(module) for module in modules}
  registered: dict[str, list[str]] = {}  # The selectors of each module.
  messages: dict[str, str] = {}
  wanted = [each for name in modules for each in (*closures[name], name)]
  for module in dict.fromkeys(wanted):
    before = {each.selector for each in components.registered()}
    if message := _import(module):
      messages[module] = message
    after = [each.selector for each in components.registered()]
    registered[module] = [each for each in after if each not in before]
  for module in {each for closure in closures.values() for each in closure}:
    if module in sys.modules and not module.startswith('tinygin.config'):
      cloudpickle.register_pickle_by_value(sys.modules[module])
  for module in modules:
    names = [*closures[module], module]
    selectors = [name for each in names for name in registered[each]]
    if module in messages:
      entry = failed(module, messages[module])
    else:
      entry = _Recorder().entry(module, selectors)
    write(pathlib.Path(folder), entry)


def _import(module: str) -> str:
  """Imports a module and returns why that fails, or nothing."""
  statement = statements.Import(module, False, None, PLACE)
  registry = components.Registry([statement])
  return str(registry.faults[0]) if registry.faults else ''


def write(folder: pathlib.Path, entry: dict[str, Any]) -> None:
  """Writes a record at once or not at all."""
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / file_name(entry['module'])
  temporary = path.with_suffix(f'.{os.getpid()}')
  temporary.write_bytes(pickle.dumps(entry))
  temporary.replace(path)


def file_name(module: str) -> str:
  """Returns the name of the file with the record of a module."""
  return f'{module}.pickle'


def failed(module: str, message: str) -> dict[str, Any]:
  """Returns the record of a module that cannot be imported."""
  return {
    'module': module,
    'message': message,
    'registered': {},
    'tree': {},
    'targets': {},
    'classes': {},
    **origins.state(module),
  }


class _Recorder:
  """Makes the record of one module."""

  def __init__(self):
    self._targets: dict[str, dict[str, Any]] = {}
    self._classes: dict[str, Any] = {}

  def entry(self, module: str, selectors: list[str]) -> dict[str, Any]:
    """Returns the record.

    Args:
      module: the name of the module.
      selectors: the names that the import of the module registers with gin.
    """
    configurables = components.Registry.configurables
    registered = {
      each: self._target(configurables[each].wrapped) for each in selectors
    }
    return {
      'module': module,
      'message': '',
      'registered': registered,
      'tree': dict(self._tree(module)),
      'targets': self._targets,
      'classes': self._classes,
      **origins.state(module),
    }

  def _tree(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the public names in a module and in the modules within it."""
    root = name.partition('.')[0]
    ahead = {name: importlib.import_module(name)}
    seen = {*ahead}
    while ahead:
      path, module = ahead.popitem()
      found = {}
      for attribute in dir(module):
        value = getattr(module, attribute, None)
        if attribute[0] == '_':
          continue
        if inspect.ismodule(value):
          inside = value.__name__.partition('.')[0] == root
          if inside and attribute != 'src':
            found[attribute] = 'module', value.__name__
            if value.__name__ not in seen:
              ahead[value.__name__] = value
              seen.add(value.__name__)
        elif callable(value) and hasattr(value, '__qualname__'):
          if str(value.__module__).partition('.')[0] == root:
            found[attribute] = 'target', self._target(value)
        else:
          found[attribute] = 'value', repr(type(value))
      yield path, found

  def _target(self, target: Callable[..., Any]) -> str:
    """Records a function or class and returns its key."""
    key = f'{target.__module__}.{target.__qualname__}'
    if key not in self._targets:
      existing = components.gin_config._inverse_lookup(target)
      code = getattr(inspect.unwrap(target), '__code__', None)
      self._targets[key] = {
        'module': target.__module__,
        'qualname': target.__qualname__,
        'name': target.__name__,
        'selector': existing.selector if existing else '',
        'line': code.co_firstlineno if code else None,
        'is_class': isinstance(target, type),
        'details': self._details(target),
      }
    return key

  def _details(self, target: Callable[..., Any]) -> bytes:
    """Returns what only few components are asked for."""
    component = components.Component('', '', target)
    try:
      file = inspect.getsourcefile(inspect.unwrap(target))
    except TypeError:  # Built-in.
      file = None
    parameters = {
      name: (
        self._dump(each.annotation),
        each.default if _is_plain(each.default) else Opaque(repr(each.default)),
        each.positional,
        each.is_library,
      )
      for name, each in component.parameters.items()
    }
    return pickle.dumps(
      {
        'parameters': parameters,
        'result': self._dump(component.result),
        'documentation': inspect.getdoc(target) or '',
        'file': file,
      }
    )

  def _dump(self, annotation: Any) -> bytes:
    buffer = io.BytesIO()
    try:
      _Pickler(buffer, self._reference).dump(annotation)
    except Exception:  # Nothing is known of what cannot be pickled.
      return pickle.dumps(components.EMPTY)
    return buffer.getvalue()

  def _reference(self, value: type) -> str:
    """Records a class and returns its key."""
    key = f'{value.__module__}.{value.__qualname__}'
    if key not in self._classes:
      self._classes[key] = None  # Bases can refer to it.
      fields = getattr(value, '__dataclass_fields__', ())
      names = [
        each
        for each in {*vars(value), *fields}
        if each[0] != '_' or each in _SPECIAL
      ]
      is_protocol = getattr(value, '_is_protocol', False)
      bases = [] if is_protocol else value.__bases__
      self._classes[key] = {
        'module': value.__module__,
        'qualname': value.__qualname__,
        'name': value.__name__,
        'names': sorted(names),
        'is_protocol': is_protocol,
        'bases': [
          (None, each.__module__, each.__qualname__)
          if _is_light(each)
          else (self._reference(each),)
          for each in bases
        ],
      }
    return key


class _Pickler(cloudpickle.Pickler):
  """Pickles functions by value, and most classes as references to records."""

  def __init__(self, file: Any, reference: Callable[[type], str]):
    super().__init__(file)
    self._reference = reference

  def persistent_id(self, obj: Any) -> Any:
    """Returns the key of a class, or None for what is pickled."""
    if isinstance(obj, type) and not _is_light(obj):
      return self._reference(obj)
    return None


def _is_light(value: type) -> bool:
  module = value.__module__
  return module in _LIGHT or module.startswith('tinygin.config.')


def _is_plain(value: Any) -> bool:
  if isinstance(value, list | tuple | set | frozenset):
    return type(value).__module__ == 'builtins' and all(map(_is_plain, value))
  if isinstance(value, dict):
    return all(map(_is_plain, [*value, *value.values()]))
  return value is components.EMPTY or type(value) in (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
  )


if __name__ == '__main__':
  # Readers of the records find `Opaque` in this module, not in `__main__`.
  from tinygin.editing import recording

  recording.main(sys.argv)
