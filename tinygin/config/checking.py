"""Finds everything that is wrong with a configuration, at once."""

from collections.abc import Iterator
from collections.abc import Sequence

from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import resolution
from tinygin.config import statements


def language_faults(
  document: statements.Document, short_flags: Sequence[str]
) -> Iterator[str]:
  """Yields the faults of bindings and macros, whatever they are bound to."""
  macros = resolution.macro_definitions(document)
  by_name: dict[str, list[statements.Binding]] = {}
  for binding in document.bindings:
    by_name.setdefault(binding.name, []).append(binding)
  for bindings in by_name.values():
    yield from _repeated(bindings)
    binding = bindings[-1]
    for macro in resolution.macros(binding.value):
      if macro.name == statements.REQUIRED:
        yield (
          f'{binding.name} must be set: {binding.place} leaves it open '
          f'(%{statements.REQUIRED}).'
        )
      elif macro.name not in macros:
        near = components.nearest(macro.name, macros)
        yield (
          f'Unknown macro {macro.name} at {binding.place}.'
          f'{near or " Nothing sets it."}'
        )
  yield from _unused_macros(document, macros)
  yield from _clashes(by_name, short_flags)


def circular_macros(document: statements.Document) -> Iterator[str]:
  """Yields the macros that have no value, as they refer to themselves."""
  macros = resolution.macro_definitions(document)
  for start, definitions in macros.items():
    seen, ahead = set(), [start]
    while ahead:
      name = ahead.pop()
      for macro in resolution.macros(macros[name][-1].value):
        if macro.name == start:
          yield f'Macro {start} at {definitions[-1].place} refers to itself.'
          ahead = []
          break
        if macro.name in macros and macro.name not in seen:
          seen.add(macro.name)
          ahead.append(macro.name)


def _unused_macros(
  document: statements.Document, macros: dict[str, list[statements.Binding]]
) -> Iterator[str]:
  used = {
    macro.name
    for binding in document.bindings
    for macro in resolution.macros(binding.value)
  }
  for name, definitions in macros.items():
    if name not in used:
      # The nearest of those that lack a value, else of all.
      near = components.nearest(name, used - set(macros))
      near = near or components.nearest(name, used)
      for place in dict.fromkeys(each.place for each in definitions):
        if place.is_flag:
          yield f'{place} has no effect: nothing uses macro {name}.{near}'
        else:
          yield f'Macro {name} at {place} is used nowhere.{near}'


def _clashes(
  by_name: dict[str, list[statements.Binding]], short_flags: Sequence[str]
) -> Iterator[str]:
  """Yields what a short flag and `--gin_bindings` both set."""
  flags = {
    name: bindings[-1].place
    for name, bindings in by_name.items()
    if bindings[-1].place.source in short_flags
  }
  for name, bindings in by_name.items():
    others = [
      each.place
      for each in bindings
      if each.place.is_flag and each.place.source not in short_flags
    ]
    named = {m.name for each in bindings for m in resolution.macros(each.value)}
    if others:
      for macro in sorted(flags.keys() & {name, *named}):
        yield f'{flags[macro]} and {others[-1]} both set {name}: give one.'


def unknown_components(
  document: statements.Document, registry: components.Registry
) -> Iterator[str]:
  """Yields the names that no component has."""
  places: dict[str, dict[statements.Place, None]] = {}
  for binding in document.bindings:
    used = resolution.references(binding.value)
    for name in (binding.component, *(each.component for each in used)):
      if name and registry.problem(name):
        places.setdefault(name, {})[binding.place] = None
  for name, each in places.items():
    problem = registry.problem(name)
    kind = 'Ambiguous' if problem.startswith(' It could') else 'Unknown'
    yield f'{kind} component {name} at {", ".join(map(str, each))}.{problem}'


def faults(program: resolution.Program) -> Iterator[str]:
  """Yields what is wrong with the values, once references are followed."""
  for (_, selector, parameter), bindings in program.bound.items():
    yield from _repeated(bindings)
    component = program.components[selector]
    if parameter not in component.parameters:
      for binding in bindings:
        yield _unknown_parameter(component, binding)
  for index, node in enumerate(program.nodes.values()):
    yield from _argument_faults(node)
    yield from _call_faults(node)
    yield from _endless_calls(node)
    if index == 0:
      by = f'{node.name} is what the program runs'
      yield from _missing(node, set(), by)
  yield from _scopes_without_bindings(program)


def _repeated(bindings: list[statements.Binding]) -> Iterator[str]:
  """Yields one parameter bound twice in a file or flag."""
  firsts: dict[str, statements.Binding] = {}
  for each in bindings:
    first = firsts.setdefault(each.place.origin, each)
    if first is not each:
      name = f' as {each.name}' if each.name != first.name else ''
      yield (
        f'{first.name} is bound twice: at {first.place} and at {each.place}'
        f'{name}.'
      )


def _unknown_parameter(
  component: components.Component, binding: statements.Binding
) -> str:
  prefix = binding.name.removesuffix(binding.parameter)
  near = components.nearest(binding.parameter, component.parameters, prefix)
  known = ', '.join(component.parameters) or 'nothing'
  return (
    f'Unknown parameter {binding.name} at {binding.place}.'
    f'{near or f" {component.name} takes: {known}."}'
  )


def _argument_faults(node: resolution.Node) -> Iterator[str]:
  """Yields values that do not fit and bindings of what is not for binding."""
  for name, argument in node.arguments.items():
    annotation = node.component.parameters[name].annotation
    if not constraints.matches(argument.value, annotation):
      yield constraints.fault(name, argument.value, annotation, argument.where)
    if name in node.component.closed:
      yield (
        f'{node.name}.{name} at {argument.binding.place} cannot be bound: '
        'the program supplies it.'
      )


def _call_faults(node: resolution.Node) -> Iterator[str]:
  """Yields what the references to a component lack or should not have."""
  known = node.component.parameters
  supplied_by: dict[str, str] = {}
  for use in node.uses:
    for name in sorted(use.supplied or ()):
      if name not in known:
        yield (
          f'{use.target} at {use.place} must take {name}: {use.name} is '
          'called with it.'
        )
      supplied_by.setdefault(name, use.name)
  for name, user in supplied_by.items():
    if name in node.arguments:
      yield (
        f'{node.name}.{name} at {node.arguments[name].binding.place} cannot '
        f'be bound: {user} is called with it.'
      )
  reported: set[str] = set()
  for use in node.uses:
    if use.supplied is not None:
      by = f'{use.target} at {use.place} needs it'
      yield from _missing(node, reported | use.supplied, by)
      reported |= set(known) - use.supplied


def _missing(
  node: resolution.Node, supplied: set[str], by: str
) -> Iterator[str]:
  for name, parameter in node.component.parameters.items():
    given = supplied | node.component.closed | set(node.arguments)
    if parameter.default is components.EMPTY and name not in given:
      expected = constraints.describe(parameter.annotation)
      yield f'{node.name}.{name} is not set: {by}. Expected: {expected}.'


def _endless_calls(node: resolution.Node) -> Iterator[str]:
  """Yields the called references through which a component needs itself."""
  ahead, seen = [node], []
  while ahead:
    for use in ahead.pop().uses:
      if use.target.reference.called and use.user not in seen:
        seen.append(use.user)
        ahead.append(use.user)
        if use.user is node:
          yield f'{use.name} at {use.place} leads back to {node.name}.'


def unused(
  program: resolution.Program,
  root: components.Component,
  other_roots: Sequence[components.Component],
) -> Iterator[str]:
  """Yields bindings of components to which no reference leads.

  In a file a binding may stand whose component an override has replaced; what
  a flag sets must have an effect.
  """
  reached = {
    (outer, selector)
    for scope, selector in program.touched([root, *other_roots])
    for outer in resolution.prefixes(scope)
  }
  scopes = {scope for scope, _ in reached}
  for (scope, selector, _), bindings in program.bound.items():
    if (scope, selector) in reached:
      continue
    for binding in bindings:
      if scope not in scopes:
        near = components.nearest(scope, scopes - {''})
        yield (
          f'Unknown scope {scope} in {binding.name} at {binding.place}.'
          f'{near or " No reference names it."}'
        )
      else:
        inside = f' in scope {scope}' if scope else ''
        yield (
          f'{binding.name} at {binding.place} is used nowhere: no reference '
          f'leads from {root.name} to @{binding.component}{inside}.'
        )
  effective = {
    id(statement)
    for node in program.nodes.values()
    for argument in node.arguments.values()
    for statement in (argument.binding, *program.definitions(argument.binding))
  }
  in_reach = [all_ for key, all_ in program.bound.items() if key[:2] in reached]
  for *_, last in (*in_reach, *program.macros.values()):
    if last.place.is_flag and id(last) not in effective:
      yield (f'{last.place} has no effect: nothing that runs uses {last.name}.')


def _scopes_without_bindings(program: resolution.Program) -> Iterator[str]:
  bound = {scope for scope, _, _ in program.bound}
  for node in program.nodes.values():
    for use in node.uses:
      scope = use.target.reference.scope
      if scope and scope not in bound:
        near = components.nearest(scope, bound - {''})
        yield (
          f'Unknown scope {scope} in {use.target} at {use.place}.'
          f'{near or " Nothing is bound in it."}'
        )
