"""Resolves which component gets which value, and from where.

The rules, before anything is called:

- The last binding of a parameter wins.
- In scope `a/b`, bindings of `a/b` win over those of `a`, which win over those
  without a scope.
- A macro has its last value wherever it is used.
- A reference without a scope keeps the scope of the component that uses it.
"""

import dataclasses
import typing
from collections import abc
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import TypeVar

from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import statements

Key = tuple[str, components.Component]  # With the scope.
T = TypeVar('T', bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Argument:
  """The value of a parameter, and the statements that set it.

  Attributes:
    value: the value without macros; references are `components.Target`.
    binding: the statement that binds the parameter.
    macros: the definition of the bound macro, then of the macro in that
      definition, and so on.
    overridden: the statements that the setter overrides, latest first, with
      resolved values.
  """

  value: Any
  binding: statements.Binding
  macros: tuple[statements.Binding, ...]
  overridden: tuple[statements.Binding, ...]

  @property
  def setter(self) -> statements.Binding:
    """The statement that contains the value itself."""
    return self.macros[-1] if self.macros else self.binding

  @property
  def where(self) -> str:
    """The place of the setter, for messages."""
    macro = f' ({self.setter.name})' if self.macros else ''
    return f'{self.setter.place}{macro}'


@dataclasses.dataclass(frozen=True)
class Use:
  """A reference to a component.

  Attributes:
    user: the component that has the reference as an argument.
    parameter: the name of that argument.
    target: the reference.
    supplied: the parameters that the program passes when it calls the
      reference; None if that is unknown.
  """

  user: 'Node'
  parameter: str
  target: components.Target
  supplied: frozenset[str] | None

  @property
  def name(self) -> str:
    """The parameter with the reference, such as `train.model`."""
    return f'{self.user.name}.{self.parameter}'

  @property
  def place(self) -> statements.Place:
    """Where the reference is."""
    return self.user.arguments[self.parameter].setter.place

  @property
  def where(self) -> str:
    """The place of the reference, for messages."""
    return self.user.arguments[self.parameter].where


@dataclasses.dataclass(eq=False)
class Node:
  """A component in a scope, with its arguments and the references to it."""

  scope: str
  component: components.Component
  arguments: dict[str, Argument]
  uses: list[Use] = dataclasses.field(default_factory=list)

  @property
  def name(self) -> str:
    """`scope/component`."""
    return f'{self.scope}/{self.component.name}'.removeprefix('/')

  @property
  def supplied(self) -> set[str]:
    """The parameters that the program passes."""
    return {name for use in self.uses for name in use.supplied or ()}


class _Unknown(statements.Macro):
  """The value of an unset macro; the missing macro is reported elsewhere."""

  def fits(self, annotation: Any) -> bool:
    """Whether it fits an annotation: always."""
    del annotation
    return True


class Program:
  """The components that a root component reaches by references.

  Attributes:
    nodes: the reached components, in the order of the references.
    bound: all bindings of parameters of known components, in order.
    misspelled: the bindings of parameters that known components do not have.
    scopes: the scopes of all bindings, and the empty scope.
    macros: all definitions of each macro, in order.
  """

  def __init__(
    self, document: statements.Document, registry: components.Registry
  ):
    self._registry = registry
    self.nodes: dict[Key, Node] = {}
    self.bound: dict[
      tuple[str, components.Component, str], list[statements.Binding]
    ] = {}
    self.misspelled: list[tuple[components.Component, statements.Binding]] = []
    self.scopes = {'', *(each.scope for each in document.bindings)}
    self.macros = document.macros
    self._bindings: dict[components.Component, list[statements.Binding]] = {}
    for binding in document.bindings:
      component = binding.component and registry.find(binding.component)
      if not component:
        continue
      self._bindings.setdefault(component, []).append(binding)
      if binding.parameter in component.parameters:
        key = binding.scope, component, binding.parameter
        self.bound.setdefault(key, []).append(binding)
      else:
        self.misspelled.append((component, binding))

  def follow(self, scope: str, component: components.Component) -> Node:
    """Adds a component and those that its arguments refer to."""
    key = scope, component
    if key in self.nodes:
      return self.nodes[key]
    node = self.nodes[key] = Node(scope, component, {})
    for name in component.parameters:
      if argument := self._argument(scope, component, name):
        node.arguments[name] = argument
    for name, argument in node.arguments.items():
      annotation = component.parameters[name].annotation
      # A wrong reference is one fault; its arguments are not reported too.
      fits = constraints.matches(argument.value, annotation)
      for target, wanted in _targets(argument.value, annotation):
        reached = self.follow(target.scope, target.component)
        if fits:
          use = Use(node, name, target, _supplied(target, wanted))
          reached.uses.append(use)
    return node

  def _argument(
    self, scope: str, component: components.Component, parameter: str
  ) -> Argument | None:
    for outer in reversed(list(prefixes(scope))):
      bindings = self.bound.get((outer, component, parameter))
      if bindings:
        break
    else:
      return None
    history, through = bindings, []
    while (
      isinstance(macro := history[-1].value, statements.Macro)
      and macro.name in self.macros
    ):
      history = self.macros[macro.name]
      through.append(history[-1])
    overridden = [*reversed(history[:-1])]
    if through:
      overridden += reversed(bindings[:-1])
    value = self.resolve(bindings[-1].value, scope)
    resolved = tuple(
      dataclasses.replace(each, value=self.resolve(each.value, scope))
      for each in overridden
      if each.value != statements.Macro(statements.REQUIRED)
    )
    return Argument(value, bindings[-1], tuple(through), resolved)

  def resolve(self, value: Any, scope: str) -> Any:
    """Replaces macros by their values, and references by targets."""
    if isinstance(value, statements.Macro):
      if value.name not in self.macros:
        return _Unknown(value.name)
      return self.resolve(self.macros[value.name][-1].value, scope)
    if isinstance(value, statements.Reference):
      component = self._registry.find(value.component)
      return components.Target(value, component, value.scope or scope)
    return transform(value, lambda each: self.resolve(each, scope))

  def with_full_names(self, value: Any) -> Any:
    """Replaces the names of components in a value by their full names."""
    if isinstance(value, statements.Reference):
      component = self._registry.find(value.component)
      scope = f'{value.scope}/' if value.scope else ''
      return statements.Reference(scope + component.full_name, value.called)
    return transform(value, self.with_full_names)

  def unreached(self) -> Iterator[tuple[str, Argument, Any]]:
    """Yields the name, argument and annotation of each unused binding.

    Bindings with macros are left out, because the macro's value may be meant
    for another component.
    """
    used = {
      argument.binding
      for node in self.nodes.values()
      for argument in node.arguments.values()
    }
    for (scope, component, parameter), (*_, last) in self.bound.items():
      if last not in used and not [*macros(last.value)]:
        argument = self._argument(scope, component, parameter)
        yield last.name, argument, component.parameters[parameter].annotation

  def touched(self, roots: Iterable[components.Component]) -> set[Key]:
    """Returns what roots reach by all bindings, including overridden ones."""

    def following(key: Key) -> Iterator[Key]:
      scope, used = key
      for binding in self._bindings.get(used, ()):
        if binding.scope in prefixes(scope):
          for each in self.definitions(binding, overridden=True):
            for reference in references(each.value):
              if component := self._registry.find(reference.component):
                yield reference.scope or scope, component

    return {*reachable([('', root) for root in roots], following)}

  def definitions(
    self, binding: statements.Binding, overridden: bool = False
  ) -> list[statements.Binding]:
    """Returns the binding and the macro definitions that its value uses.

    Args:
      binding: a binding or a macro definition.
      overridden: whether overridden definitions count too.
    """
    first = 0 if overridden else -1
    return reachable(
      [binding],
      lambda each: (
        definition
        for name in macros(each.value)
        for definition in self.macros.get(name, [])[first:]
      ),
    )


def reachable(
  starts: Iterable[T], following: Callable[[T], Iterable[T]]
) -> list[T]:
  """Returns the starts and everything reachable from them, once each."""
  found = dict.fromkeys(starts)
  ahead = [*found]
  while ahead:
    new = [each for each in following(ahead.pop()) if each not in found]
    found |= dict.fromkeys(new)
    ahead += new
  return [*found]


def prefixes(scope: str) -> Iterator[str]:
  """Yields the scopes whose bindings apply in a scope, outermost first."""
  yield ''
  parts = scope.split('/') if scope else []
  for count in range(1, len(parts) + 1):
    yield '/'.join(parts[:count])


def transform(value: Any, function: Any) -> Any:
  """Applies a function to the elements of a list, tuple or dictionary."""
  if isinstance(value, list | tuple):
    return type(value)(function(each) for each in value)
  if isinstance(value, dict):
    return {key: function(item) for key, item in value.items()}
  return value


def leaves(value: Any) -> Iterator[Any]:
  """Yields the innermost elements of a value."""
  if isinstance(value, dict):
    value = [*value.values()]
  if isinstance(value, list | tuple):
    for each in value:
      yield from leaves(each)
  else:
    yield value


def references(value: Any) -> Iterator[statements.Reference]:
  """Yields the references in a value."""
  return (x for x in leaves(value) if isinstance(x, statements.Reference))


def macros(value: Any) -> Iterator[str]:
  """Yields the names of the macros in a value."""
  return (x.name for x in leaves(value) if isinstance(x, statements.Macro))


def _targets(
  value: Any, annotation: Any
) -> Iterator[tuple[components.Target, Any]]:
  """Yields the references in a value, each with its annotation."""
  if isinstance(value, components.Target):
    if value.component:
      yield value, annotation
  elif isinstance(value, list | tuple):
    for index, each in enumerate(value):
      yield from _targets(each, constraints.element(annotation, index))
  elif isinstance(value, dict):
    for each in value.values():
      yield from _targets(each, constraints.element(annotation, 1))


def _supplied(target: components.Target, wanted: Any) -> frozenset[str] | None:
  """Returns the parameters that calls of a reference pass, as declared."""
  if target.reference.called:
    return frozenset()
  known = target.component.parameters
  by_position = [name for name, each in known.items() if each.positional]
  declared: list[list[str]] = []
  for base, metadata in constraints.members(wanted):
    for each in metadata:
      if isinstance(each, constraints.Supplies):
        declared.append([*each.names])
    given = typing.get_args(base)[:1]
    if typing.get_origin(base) is abc.Callable and given != (Ellipsis,):
      declared.append(by_position[: len(given[0])])
  return frozenset().union(*declared) if declared else None
