"""Finds components by name and knows their true parameters.

A component is a function or class registered with gin, or anything that can be
reached from an `import` line: after `import keras`, `@keras.optimizers.Adam`.
"""

import ast
import dataclasses
import difflib
import functools
import importlib
import importlib.util
import inspect
import sys
import textwrap
import traceback
import typing
from collections import abc
from collections.abc import Callable
from collections.abc import Iterable
from typing import Annotated
from typing import Any

from gin import config as gin_config

from tinygin.config import constraints
from tinygin.config import paths
from tinygin.config import statements

EMPTY = inspect.Parameter.empty
_POSITIONAL = (
  inspect.Parameter.POSITIONAL_ONLY,
  inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclasses.dataclass(frozen=True)
class Parameter:
  """A parameter of a component.

  Attributes:
    annotation: Its type with its constraints; `EMPTY` where nothing is known.
    default: Python's default, or `EMPTY`.
    positional: Whether it can be given by position.
    is_library: Whether it belongs to installed code: Python's or a package's.
  """

  annotation: Any
  default: Any
  positional: bool
  is_library: bool

  @property
  def is_required(self) -> bool:
    """Whether it must be bound.

    A default in code of one's own would be a value that no configuration shows.
    None is no value: it says that something is absent.
    """
    return self.default is EMPTY or not (
      self.is_library or self.default is None
    )


@dataclasses.dataclass(frozen=True)
class Component:
  """A function or class that a configuration can name.

  Attributes:
    name: The shortest name by which every configuration finds it.
    selector: gin's complete name.
    target: The function or class itself, undecorated.
    closed: The parameters that cannot be bound.
  """

  name: str
  selector: str
  target: Callable[..., Any]
  closed: frozenset[str]

  @property
  def parameters(self) -> dict[str, Parameter]:
    """The true parameters, also those that hide behind `**kwargs`."""
    return parameters(self.target)

  @functools.cached_property
  def result(self) -> Any:
    """What a call returns: a class, an annotation, or `EMPTY`."""
    if isinstance(self.target, type):
      return self.target
    return _hints(self.target).get('return', EMPTY)


@functools.cache
def parameters(target: Callable[..., Any]) -> dict[str, Parameter]:
  """Returns the parameters of a function or class, in order.

  A class whose constructor takes `**kwargs` hands them to its base's: those
  are followed up the class's method resolution order, as far as `**kwargs` go.
  """
  if not isinstance(target, type):
    return dict(own_parameters(target))
  found: dict[str, Parameter] = {}
  given: set[str] = set()
  for base in target.__mro__:
    constructor = base.__dict__.get('__init__')
    if constructor is None or base is object:
      continue
    for name, parameter in list(own_parameters(constructor))[1:]:
      if name not in given:
        found.setdefault(name, parameter)
    if not _takes_kwargs(constructor):
      return found
    given |= _given_to_base(constructor)
  return found or dict(own_parameters(target))


def own_parameters(
  target: Callable[..., Any],
) -> Iterable[tuple[str, Parameter]]:
  """Yields the named parameters of a signature, those of `**kwargs` not."""
  try:
    signature = inspect.signature(target)
  except (TypeError, ValueError):  # Built-in functions have none.
    return
  hints = _hints(target)
  is_library = paths.is_library(inspect.unwrap(target).__module__)
  for name, each in signature.parameters.items():
    if each.kind not in _VARIADIC:
      annotation = hints.get(name, EMPTY)
      if annotation is EMPTY:
        annotation = _implied(each.default)
      positional = each.kind in _POSITIONAL
      yield name, Parameter(annotation, each.default, positional, is_library)


def _takes_kwargs(function: Callable[..., Any]) -> bool:
  return any(
    each.kind is inspect.Parameter.VAR_KEYWORD
    for each in inspect.signature(function).parameters.values()
  )


def _given_to_base(constructor: Callable[..., Any]) -> set[str]:
  """Returns the names in `super().__init__(name=…)`: the class's own affair."""
  try:
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(constructor)))
  except (OSError, TypeError):
    return set()
  return {
    keyword.arg
    for call in ast.walk(ast.parse(source))
    if isinstance(call, ast.Call)
    and ast.unparse(call.func).endswith('__init__')
    for keyword in call.keywords
    if keyword.arg
  }


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
  if isinstance(function, type):
    return {}
  try:
    return typing.get_type_hints(inspect.unwrap(function), include_extras=True)
  except (NameError, TypeError, AttributeError):
    # Annotations of other libraries that hold only for type checkers.
    return {}


def _implied(default: Any) -> Any:
  """Returns the annotation that a default implies where there is none."""
  if isinstance(default, bool):
    return bool
  if isinstance(default, int | float):
    return _other_than('a string, True, False or None', str, bool, type(None))
  if isinstance(default, str):
    return _other_than('a number, True or False', int, float)
  return EMPTY


def _other_than(words: str, *kinds: type) -> Any:
  return Annotated[
    Any,
    constraints.Condition(
      lambda value: not isinstance(value, kinds), f'other than {words}'
    ),
  ]


def nearest(name: str, names: Iterable[str], prefix: str = '') -> str:
  """Returns ` Did you mean X?`, or nothing when no name is near."""
  near = nearest_name(name, names)
  return f' Did you mean {prefix}{near}?' if near else ''


def nearest_name(name: str, names: Iterable[str]) -> str:
  """Returns the public name that is nearest, or nothing."""
  by_lower = {each.lower(): each for each in names if each[:1] != '_'}
  for near in difflib.get_close_matches(name.lower(), by_lower, 1):
    return by_lower[near]
  return ''


class Registry:
  """Resolves the names of components, given the import lines.

  Attributes:
    faults: What is wrong with the imports.
  """

  def __init__(self, imports: Iterable[statements.Import]):
    self.faults: list[str] = []
    self._symbols: dict[str, tuple[Any, statements.Import]] = {}
    self._found: dict[str, Component | str] = {}
    if paths.working_directory() not in sys.path:
      sys.path.append(paths.working_directory())
    for each in imports:
      try:
        module = importlib.import_module(each.module)
      except Exception as error:
        self.faults.append(_import_fault(error, each))
        continue
      name = each.bound_name()
      if not (each.is_from or each.alias):  # `import a.b` binds `a`.
        module = sys.modules[name]
      bound, first = self._symbols.setdefault(name, (module, each))
      if bound is not module:
        self.faults.append(
          f'{name} stands for {first.module} at {first.location} and for '
          f'{each.module} at {each.location}.'
        )

  def find(self, name: str) -> Component | None:
    """Returns the component of that name; None when there is none."""
    if name not in self._found:
      self._found[name] = self._find(name)
    found = self._found[name]
    return found if isinstance(found, Component) else None

  def problem(self, name: str) -> str:
    """Returns the end of a message on a name that `find` has not found.

    It is empty where a module that could not be imported may have it.
    """
    maybe = self.faults and name.partition('.')[0] not in self._symbols
    return '' if maybe or self.find(name) else self._found[name]

  def _find(self, name: str) -> Component | str:
    matching = _matching(name)
    if len(matching) > 1:
      choices = sorted(each.selector for each in matching)
      return f' It could be {" or ".join(choices)}.'
    if matching:
      return _component(matching[0], _shortest(matching[0]))
    first, *rest = name.split('.')
    if first not in self._symbols:
      return _suggestion(name)
    target, _ = self._symbols[first]
    for part in rest:
      if not hasattr(target, part):
        return f' There is no {part} in it.{nearest(part, dir(target))}'
      target = getattr(target, part)
    if not callable(target) or not hasattr(target, '__qualname__'):
      kind = 'a module' if inspect.ismodule(target) else repr(target)
      return f' It is {kind}, not a function or class.'
    return _component(_register(target), name)


def _suggestion(name: str) -> str:
  first, dot, _ = name.partition('.')
  if near := nearest(name, names()):
    return near
  if dot and (first in sys.modules or importlib.util.find_spec(first)):
    return f' Add the line: import {first}'
  return ' No import line of the configuration brings it.'


# Marks in gin's registry what only an import line has brought. Such a thing has
# no short name (`Adam`), lest another file's imports change what a name means.
_IMPORTED = ('import line', '')


def registered() -> list[gin_config.Configurable]:
  """Returns what is registered with gin, but for gin's own builtins."""
  return [each for _, each in gin_config._REGISTRY.items() if _is_own(each)]


def _is_own(configurable: gin_config.Configurable) -> bool:
  return (
    configurable.import_source != _IMPORTED
    and not configurable.selector.startswith('gin.')
  )


def names() -> list[str]:
  """Returns the shortest names of all registered components, sorted."""
  return sorted(map(_shortest, registered()), key=str.lower)


def _matching(name: str) -> list[gin_config.Configurable]:
  """Returns what is registered under a name, or under one that ends in it."""
  return [*filter(_is_own, gin_config._REGISTRY.get_all_matches(name))]


def _shortest(configurable: gin_config.Configurable) -> str:
  parts = configurable.selector.split('.')
  names = ('.'.join(parts[start:]) for start in reversed(range(len(parts))))
  return next(name for name in names if _matching(name) == [configurable])


def _register(target: Any) -> gin_config.Configurable:
  if existing := gin_config._inverse_lookup(target):
    return existing
  selector = f'{target.__module__}.{target.__qualname__}'
  gin_config._make_configurable(
    target, selector, avoid_class_mutation=True, import_source=_IMPORTED
  )
  return gin_config._REGISTRY[selector]


def _component(configurable: gin_config.Configurable, name: str) -> Component:
  target, allowed = configurable.wrapped, configurable.allowlist
  closed = set(configurable.denylist or ())
  closed |= set(parameters(target)) - set(allowed) if allowed else set()
  return Component(name, configurable.selector, target, frozenset(closed))


def _import_fault(error: Exception, each: statements.Import) -> str:
  """Says which line of which module failed, in one line."""
  missing = getattr(error, 'name', None)
  if isinstance(error, ModuleNotFoundError) and (
    f'{each.module}.'.startswith(f'{missing}.')
  ):
    return (
      f'Unknown module {each.module} at {each.location}. '
      f'Looked in {paths.working_directory()} and the Python path.'
    )
  if isinstance(error, SyntaxError) and error.filename:
    place = f'{paths.display(error.filename)}:{error.lineno}'
  else:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if 'importlib' not in frame.filename]
    inside = [frame for frame in own if 'site-packages' not in frame.filename]
    frame = (inside or own or frames)[-1]
    place = f'{paths.display(frame.filename)}:{frame.lineno}'
  reason = str(getattr(error, 'msg', error)).split('\n')[0].rstrip('.')
  return (
    f'The import of {each.module} at {each.location} failed: '
    f'{type(error).__name__}: {reason} at {place}.'
  )


@dataclasses.dataclass(frozen=True)
class Target:
  """A reference and what it leads to.

  Attributes:
    reference: As it is written.
    component: None where no component has that name.
    scope: In which the component gets its parameters.
  """

  reference: statements.Reference
  component: Component | None
  scope: str

  def __repr__(self) -> str:
    return repr(self.reference)

  def fits(self, annotation: Any) -> bool:
    """Whether a parameter of that annotation can take this reference."""
    if self.component is None:
      return True
    wanted = typing.get_origin(annotation) or annotation
    arguments = typing.get_args(annotation)
    result = self.component.result
    if self.reference.called:
      # @Model() where something is wanted that makes a Model: a call too many.
      made = constraints.members(arguments[-1]) if arguments else []
      is_made = isinstance(result, type) and any(
        constraints.is_nominal(each) and issubclass(result, each)
        for each, _ in made
      )
      return _is_a(result, wanted) and not (wanted is abc.Callable and is_made)
    if wanted is abc.Callable:
      return not arguments or _is_a(result, arguments[-1])
    if wanted is type:
      return isinstance(self.component.target, type) and (
        not arguments or _is_a(self.component.target, arguments[0])
      )
    return not constraints.is_nominal(wanted)

  def gin_reference(self) -> gin_config.ConfigurableReference:
    """Returns what gin itself makes of the reference, its scope spelt out."""
    scope = f'{self.scope}/' if self.scope else ''
    return gin_config.ConfigurableReference(
      scope + self.component.selector, self.reference.called
    )


def _is_a(result: Any, wanted: Any) -> bool:
  """Whether a result can be what is wanted; True where nothing is known."""
  alternatives = constraints.members(wanted)
  if len(alternatives) > 1:
    return any(_is_a(result, each) for each, _ in alternatives)
  result = typing.get_origin(result) or result
  wanted = typing.get_origin(wanted) or wanted
  if wanted is type(None) or wanted is None:
    return result in (None, type(None))
  if result in (None, type(None)):
    return False
  if wanted is abc.Callable and isinstance(result, type):
    return issubclass(result, abc.Callable)
  if constraints.is_protocol(wanted) and isinstance(result, type):
    return result is EMPTY or constraints.provides(result, wanted)
  if not constraints.is_nominal(wanted):
    return True
  if result is EMPTY or not isinstance(result, type):
    return True
  return issubclass(result, wanted) or (wanted is float and result is int)
