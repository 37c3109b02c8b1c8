"""Finds components by name, and their parameters.

A component is a function or class that is registered with gin or that an
imported module contains: after `import keras`, `@keras.optimizers.Adam`.
"""

import ast
import dataclasses
import difflib
import functools
import importlib
import importlib.util
import inspect
import re
import sys
import textwrap
import traceback
import typing
from collections import abc
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Annotated
from typing import Any

from gin import config as gin_config
from gin import selector_map

from tinygin.config import constraints
from tinygin.config import errors
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
    annotation: the type with its constraints; `EMPTY` where it is unknown.
    default: Python's default, or `EMPTY`.
    positional: whether it can be passed by position.
    is_library: whether it belongs to Python or to an installed package.
  """

  annotation: Any
  default: Any
  positional: bool
  is_library: bool

  @property
  def is_required(self) -> bool:
    """Whether it must be bound.

    Only libraries may have defaults, as the configuration shows every value.
    A default of None means that something is absent.
    """
    return self.default is EMPTY or not (
      self.is_library or self.default is None
    )

  @property
  def is_numeric(self) -> bool:
    """Whether its values are numbers, or booleans, or None.

    Without an annotation, the default decides.
    """
    return constraints.is_numeric(self.annotation) or (
      constraints.members(self.annotation)[0][0] is Any
      and isinstance(self.default, int | float)
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Component:
  """A function or class that a configuration can name.

  Attributes:
    name: the shortest name in this configuration, for messages.
    full_name: the name that means the same in every configuration.
    target: the function or class itself.
  """

  name: str
  full_name: str
  target: Callable[..., Any]

  @property
  def parameters(self) -> dict[str, Parameter]:
    """The parameters, including those that a class passes on as `**kwargs`."""
    return parameters(self.target)

  @functools.cached_property
  def result(self) -> Any:
    """The type of a call's result: a class, an annotation, or `EMPTY`."""
    if isinstance(self.target, type):
      return self.target
    return _hints(self.target).get('return', EMPTY)


@functools.cache
def parameters(target: Callable[..., Any]) -> dict[str, Parameter]:
  """Returns the parameters of a function or class, in order.

  If a constructor takes `**kwargs`, the parameters of the next constructor in
  the method resolution order are included.
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
  """Yields the named parameters of a signature."""
  try:
    signature = inspect.signature(target)
  except (TypeError, ValueError):  # Built-in functions have none.
    return
  hints = _hints(target)
  # Methods that are written in C have no module.
  module = getattr(inspect.unwrap(target), '__module__', '')
  is_library = paths.is_library(module)
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
  """Returns what a class passes to its base: names in `super().__init__(…)`."""
  try:
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(constructor)))
    tree = ast.parse(source)
  except (OSError, TypeError, SyntaxError):  # No source, or a lambda's.
    return set()
  return {
    keyword.arg
    for call in ast.walk(tree)
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
  except (NameError, TypeError, AttributeError, SyntaxError):
    # Some libraries write annotations for type checkers only.
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
    Any, constraints.Condition(_IsNot(kinds), f'other than {words}')
  ]


@dataclasses.dataclass(frozen=True)
class _IsNot:
  """Whether a value is of none of some types; unlike a lambda, with a hash."""

  kinds: tuple[type, ...]

  def __call__(self, value: Any) -> bool:
    return not isinstance(value, self.kinds)


def nearest(name: str, names: Iterable[str], prefix: str = '') -> str:
  """Returns ` Did you mean X?`, or nothing if no name is similar."""
  near = nearest_name(name, names)
  return f' Did you mean {prefix}{near}?' if near else ''


def nearest_name(
  name: str, names: Iterable[str], similarity: float = 0.6
) -> str:
  """Returns the most similar public name, or nothing.

  Args:
    name: a name that is perhaps misspelt.
    names: the right names.
    similarity: the least one, as in `difflib.get_close_matches`.
  """
  by_lower = {each.lower(): each for each in names if each[:1] != '_'}
  for near in difflib.get_close_matches(name.lower(), by_lower, 1, similarity):
    return by_lower[near]
  return ''


@dataclasses.dataclass(frozen=True)
class Problem:
  """The reason why no component was found for a name.

  Attributes:
    text: the end of a message.
    correction: the name or the import statement that helps; or nothing.
    is_ambiguous: whether the name could mean several components.
  """

  text: str
  correction: str = ''
  is_ambiguous: bool = False

  def __str__(self) -> str:
    return self.text


class Registry:
  """Finds components by the names that a configuration uses.

  Attributes:
    faults: the imports that failed.
  """

  # What is registered with gin.
  configurables = gin_config._REGISTRY
  component_class = Component

  def __init__(self, imports: Sequence[statements.Import], root: str = ''):
    """Imports the modules, in order.

    Args:
      imports: the import statements of the configuration.
      root: the name of the component that the program builds.
    """
    self.faults: list[statements.Fault] = []
    self._root = root
    self._modules = [each.module for each in imports]
    self._imports: dict[str, tuple[Any, str, statements.Import]] = {}
    self._found: dict[str, Component | Problem] = {}
    self._components: dict[int, Component] = {}  # By the id of the target.
    if paths.working_directory() not in sys.path:
      sys.path.append(paths.working_directory())
    for each in imports:
      try:
        module = self.import_module(each.module)
      except (Exception, SystemExit) as error:
        message = self.import_message(error, each)
        self.faults.append(
          statements.Fault('import', message, (each.location,), each.module)
        )
        continue
      self._bind(each, module)

  def _bind(self, statement: statements.Import, module: Any) -> None:
    """Binds the name of an import statement to its module."""
    name, full_name = statement.bound_name(), statement.module
    if not (statement.is_from or statement.alias):  # `import a.b` binds `a`.
      module, full_name = self.import_module(name), name
    bound, _, first = self._imports.setdefault(
      name, (module, full_name, statement)
    )
    if bound is not module:
      message = (
        f'{name} means {first.module} at {first.location} but '
        f'{statement.module} at {statement.location}.'
      )
      fault = statements.Fault('import', message, (statement.location,))
      self.faults.append(fault)

  def import_module(self, name: str) -> Any:
    """Returns the module of that name."""
    return importlib.import_module(name)

  def import_message(
    self, error: BaseException, statement: statements.Import
  ) -> str:
    """Returns the message about an import that failed."""
    return _import_message(error, statement)

  def configurable(self, target: Any) -> gin_config.Configurable | None:
    """Returns what gin knows about a function or class, if registered."""
    return gin_config._inverse_lookup(target)

  def find(self, name: str) -> Component | None:
    """Returns the component of that name, or None."""
    if name not in self._found:
      self._found[name] = self._find(name)
    found = self._found[name]
    return found if isinstance(found, Component) else None

  def problem(self, name: str) -> Problem | None:
    """Returns why `find` does not find a name.

    It is None if a module that could not be imported may define the name.
    """
    maybe = self.faults and name.partition('.')[0] not in self._imports
    return None if maybe or self.find(name) else self._found[name]

  def _find(self, name: str) -> Component | Problem:
    matching = _matching(name, self.configurables)
    if len(matching) > 1:  # Other configurations may have imported some.
      matching = [*filter(self._is_imported, matching)] or matching
    if len(matching) > 1:
      choices = sorted(each.selector for each in matching)
      text = f' It could be {" or ".join(choices)}.'
      return Problem(text, is_ambiguous=True)
    if matching:
      return self._registered(matching[0])
    first, *rest = name.split('.')
    if first not in self._imports:
      return self.suggestion(name)
    target, full_name, _ = self._imports[first]
    for part in rest:
      if not hasattr(target, part):
        near = nearest_name(part, dir(target))
        hint = f' Did you mean {near}?' if near else ''
        correction = re.sub(rf'\b{part}\b', near, name, count=1) if near else ''
        return Problem(f' There is no {part} in it.{hint}', correction)
      target = getattr(target, part)
    if not callable(target) or not hasattr(target, '__qualname__'):
      kind = 'a module' if inspect.ismodule(target) else repr(target)
      return Problem(f' It is {kind}, not a function or class.')
    if existing := self.configurable(target):
      return self._registered(existing)
    return self._component(target, name, '.'.join([full_name, *rest]))

  def _is_imported(self, configurable: gin_config.Configurable) -> bool:
    """Whether an import names the module that registers a component."""
    module = f'{configurable.wrapped.__module__}.'
    return any(module.startswith(f'{each}.') for each in self._modules)

  def _registered(self, configurable: gin_config.Configurable) -> Component:
    name = shortest(configurable, self.configurables)
    full_name = configurable.selector
    # Names of the project's components need no module to be unambiguous.
    if name == self._root or full_name.partition('.')[0] in paths.PROJECT:
      full_name = name
    return self._component(configurable.wrapped, name, full_name)

  def _component(self, target: Any, name: str, full_name: str) -> Component:
    """Returns the component of a target, the same for all of its names."""
    component = self.component_class(name, full_name, target)
    return self._components.setdefault(id(target), component)

  def suggestion(self, name: str) -> Problem:
    """Returns the likely correction of a name that nothing defines."""
    first, dot, _ = name.partition('.')
    if near := nearest_name(name, names(self.configurables)):
      return Problem(f' Did you mean {near}?', near)
    if dot and (first in sys.modules or importlib.util.find_spec(first)):
      return Problem(f' Add the line: import {first}', f'import {first}')
    return Problem(' No import in the configuration defines it.')


def registered(
  configurables: selector_map.SelectorMap = gin_config._REGISTRY,
) -> list[gin_config.Configurable]:
  """Returns everything that is registered with gin, except gin's own."""
  return [each for _, each in configurables.items() if _is_own(each)]


def _is_own(configurable: gin_config.Configurable) -> bool:
  return not configurable.selector.startswith('gin.')


def names(
  configurables: selector_map.SelectorMap = gin_config._REGISTRY,
) -> list[str]:
  """Returns the shortest names of all registered components, sorted."""
  own = registered(configurables)
  shortest_names = (shortest(each, configurables) for each in own)
  return sorted(shortest_names, key=str.lower)


def _matching(
  name: str, configurables: selector_map.SelectorMap
) -> list[gin_config.Configurable]:
  """Returns the registered components whose complete names end in a name."""
  return [*filter(_is_own, configurables.get_all_matches(name))]


def shortest(
  configurable: gin_config.Configurable,
  configurables: selector_map.SelectorMap = gin_config._REGISTRY,
) -> str:
  """Returns the shortest unambiguous name of a registered component."""
  parts = configurable.selector.split('.')
  names = ('.'.join(parts[start:]) for start in reversed(range(len(parts))))
  return next(
    name for name in names if _matching(name, configurables) == [configurable]
  )


def _import_message(error: BaseException, each: statements.Import) -> str:
  """Returns a message with the line of the module that failed."""
  if extra := errors.missing_extra(error):
    return f'{extra} Imported as {each.module} at {each.location}.'
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
  """A reference and the component that it names.

  Attributes:
    reference: as written.
    component: None where no component has that name.
    scope: the scope in which the component gets its parameters.
  """

  reference: statements.Reference
  component: Component | None
  scope: str

  def __repr__(self) -> str:
    return repr(self.reference)

  def fits(self, annotation: Any) -> bool:
    """Whether a parameter with that annotation can take this reference."""
    if self.component is None:
      return True
    wanted = typing.get_origin(annotation) or annotation
    arguments = typing.get_args(annotation)
    result = self.component.result
    if self.reference.called:
      # @Model() does not fit where a function that returns a Model is wanted.
      made = constraints.members(arguments[-1]) if arguments else []
      is_made = isinstance(result, type) and any(
        constraints.is_nominal(each) and issubclass(result, each)
        for each, _ in made
      )
      return _is_a(result, wanted) and not (wanted is abc.Callable and is_made)
    if wanted is abc.Callable:
      return not arguments or _is_a(result, arguments[-1])
    return not constraints.is_nominal(wanted)


def _is_a(result: Any, wanted: Any) -> bool:
  """Whether a result can have the wanted type; True if unknown."""
  alternatives = constraints.members(wanted)
  if len(alternatives) > 1:
    return any(_is_a(result, each) for each, _ in alternatives)
  result = typing.get_origin(result) or result
  wanted = typing.get_origin(wanted) or wanted
  if wanted in (None, type(None)) or result in (None, type(None)):
    return {wanted, result} <= {None, type(None)}
  if result is EMPTY or not isinstance(result, type):
    return True
  if wanted is abc.Callable:
    return issubclass(result, abc.Callable)
  if constraints.is_protocol(wanted):
    return constraints.provides(result, wanted)
  if not constraints.is_nominal(wanted):
    return True
  return issubclass(result, wanted) or (wanted is float and result is int)
