"""Finds all faults of a configuration, so that one message can list them."""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import resolution
from tinygin.config import statements
from tinygin.config.statements import Fault


def unknown_macros(document: statements.Document) -> Iterator[Fault]:
  """Reports macros that are used but not set."""
  for *_, last in document.by_name.values():
    for macro in resolution.macros(last.value):
      places = (last.place,)
      if macro == statements.REQUIRED:
        message = f'{last.name} must be set: it is %{macro} at {last.place}.'
        yield Fault('missing', message, places, macro)
      elif macro not in document.macros:
        near = components.nearest_name(macro, document.macros)
        hint = f'Did you mean {near}?' if near else 'Nothing sets it.'
        message = f'Unknown macro {macro} at {last.place}. {hint}'
        yield Fault('macro', message, places, macro, near)


def circular_macros(document: statements.Document) -> Iterator[Fault]:
  """Reports macros that refer to themselves."""

  def following(name: str) -> list[str]:
    used = resolution.macros(document.macros[name][-1].value)
    return [each for each in used if each in document.macros]

  for name, definitions in document.macros.items():
    if name in resolution.reachable(following(name), following):
      place = definitions[-1].place
      message = f'Macro {name} at {place} refers to itself.'
      yield Fault('circular', message, (place,))


def unused_macros(document: statements.Document) -> Iterator[Fault]:
  """Reports macros that nothing uses."""
  used = used_macros(document)
  for name, definitions in document.macros.items():
    if name not in used:
      yield from unused_macro(definitions, used)


def unused_macro(
  definitions: Sequence[statements.Binding], used: set[str]
) -> Iterator[Fault]:
  """Reports the definitions of a macro that is none of those in use."""
  name = definitions[0].name
  near = components.nearest_name(name, used)
  hint = f' Did you mean {near}?' if near else ''
  for place in dict.fromkeys(each.place for each in definitions):
    if place.is_flag:
      message = f'{place} has no effect: nothing uses macro {name}.{hint}'
    else:
      message = f'Macro {name} at {place} is not used.{hint}'
    yield Fault('unused', message, (place,), name, near)


def used_macros(document: statements.Document) -> set[str]:
  """Returns the names of the macros in values."""
  return {
    macro
    for binding in document.bindings
    for macro in resolution.macros(binding.value)
  }


def unknown_components(
  document: statements.Document, registry: components.Registry
) -> Iterator[Fault]:
  """Reports names of components that are unknown or ambiguous."""
  places: dict[str, dict[statements.Place, None]] = {}
  for binding in document.bindings:
    used = resolution.references(binding.value)
    for name in (binding.component, *(each.component for each in used)):
      if name and registry.problem(name):
        places.setdefault(name, {})[binding.place] = None
  for name, each in places.items():
    problem = registry.problem(name)
    kind = 'Ambiguous' if problem.is_ambiguous else 'Unknown'
    message = (
      f'{kind} component {name} at {", ".join(map(str, each))}.{problem}'
    )
    yield Fault('component', message, tuple(each), name, problem.correction)


def faults(program: resolution.Program) -> Iterator[Fault]:
  """Reports wrong names, types and values of all reached components."""
  for bindings in (*program.macros.values(), *program.bound.values()):
    yield from _repeated(bindings)
  # Misspelled bindings probably set these parameters, so they are not missing.
  meant: dict[components.Component, set[str]] = {}
  for component, binding in program.misspelled:
    near = components.nearest_name(binding.parameter, component.parameters)
    meant.setdefault(component, set()).add(near)
    yield _unknown_parameter(component, binding)
  unknown_scopes = _unknown_scopes(program)
  for index, node in enumerate(program.nodes.values()):
    given = meant.get(node.component, set())
    if node.scope in unknown_scopes:
      given = set(node.component.parameters)
    yield from _argument_faults(node)
    yield from _call_faults(node, given)
    yield from _endless_calls(node)
    if index == 0:
      by = f'the program runs {node.name}'
      yield from _missing(node, given, by)
  for name, argument, annotation in program.unreached():
    yield from _value_faults(name, argument, annotation)
  for scope, (use, near) in unknown_scopes.items():
    hint = f'Did you mean {near}?' if near else 'It has no bindings.'
    message = f'Unknown scope {scope} in {use.target} at {use.where}. {hint}'
    yield Fault('scope', message, (use.place,), scope, near)


def _repeated(bindings: list[statements.Binding]) -> Iterator[Fault]:
  """Reports a macro or parameter that one file or flag binds twice."""
  firsts: dict[str, statements.Binding] = {}
  for each in bindings:
    first = firsts.setdefault(each.place.origin, each)
    if first is not each:
      name = f' as {each.name}' if each.name != first.name else ''
      message = (
        f'{first.name} is bound twice: at {first.place} and at {each.place}'
        f'{name}.'
      )
      yield Fault('repeated', message, (each.place,))


def _unknown_parameter(
  component: components.Component, binding: statements.Binding
) -> Fault:
  prefix = binding.name.removesuffix(binding.parameter)
  near = components.nearest_name(binding.parameter, component.parameters)
  known = ', '.join(component.parameters) or 'nothing'
  hint = f'{component.name} takes: {known}.'
  if near:
    hint = f'Did you mean {prefix}{near}?'
  message = f'Unknown parameter {binding.name} at {binding.place}. {hint}'
  return Fault('parameter', message, (binding.place,), binding.parameter, near)


def _argument_faults(node: resolution.Node) -> Iterator[Fault]:
  """Reports values that do not fit the annotations of their parameters."""
  for name, argument in node.arguments.items():
    annotation = node.component.parameters[name].annotation
    yield from _value_faults(f'{node.name}.{name}', argument, annotation)


def _value_faults(
  name: str, argument: resolution.Argument, annotation: Any
) -> Iterator[Fault]:
  value = argument.value
  if not constraints.matches(value, annotation):
    message = constraints.fault(name, value, annotation, argument.where)
    near = components.nearest_name(str(value), constraints.choices(annotation))
    places = (argument.setter.place,)
    yield Fault('value', message, places, correction=near and repr(near))


def _call_faults(node: resolution.Node, given: set[str]) -> Iterator[Fault]:
  """Reports missing and unexpected arguments in calls of a component."""
  supplied_by: dict[str, str] = {}
  for use in node.uses:
    for name in sorted(use.supplied or ()):
      if name not in node.component.parameters:
        message = (
          f'{use.target} at {use.where} must have a parameter {name}: the '
          f'program passes it to {use.name}.'
        )
        yield Fault('value', message, (use.place,))
      supplied_by.setdefault(name, use.name)
  for name, user in supplied_by.items():
    if name in node.arguments:
      place = node.arguments[name].binding.place
      message = (
        f'{node.name}.{name} at {place} cannot be bound: the program passes it '
        f'to {user}.'
      )
      yield Fault('passed', message, (place,), name)
  reported: set[str] = set()
  for use in node.uses:
    by = f'{use.target} at {use.where} needs it'
    supplied = use.supplied
    if supplied is None:  # Unknown: assume all parameters without default.
      supplied = {
        name
        for name, each in node.component.parameters.items()
        if each.default is components.EMPTY
      }
    yield from _missing(node, given | reported | supplied, by, use)
    reported |= set(node.component.parameters) - supplied


def _missing(
  node: resolution.Node,
  given: set[str],
  by: str,
  use: resolution.Use | None = None,
) -> Iterator[Fault]:
  """Reports required parameters that are neither bound nor passed."""
  places, used = (), ''
  if use:
    places, used = (use.place,), use.target.reference.component
  given = given | set(node.arguments)
  for name, parameter in node.component.parameters.items():
    if parameter.is_required and name not in given:
      expected = constraints.describe(parameter.annotation)
      message = f'{node.name}.{name} is not set: {by}. Expected: {expected}.'
      default = parameter.default
      if default is not components.EMPTY and statements.is_writable(default):
        message += (
          ' A default in code does not count; add the line: '
          f'{node.name}.{name} = {default!r}'
        )
      yield Fault('missing', message, places, used)


def _endless_calls(node: resolution.Node) -> Iterator[Fault]:
  """Reports called references that form a cycle."""

  def callers(of: resolution.Node) -> list[resolution.Node]:
    return [each.user for each in of.uses if each.target.reference.called]

  for reached in resolution.reachable([node], callers):
    for use in reached.uses:
      if use.target.reference.called and use.user is node:
        message = (
          f'Circular reference: {use.name} at {use.where} calls {node.name} '
          'again.'
        )
        yield Fault('circular', message, (use.place,))


def unused(
  document: statements.Document,
  program: resolution.Program,
  root: components.Component,
  other_roots: Sequence[components.Component],
) -> Iterator[Fault]:
  """Reports bindings of components that no reference leads to.

  Bindings in files may belong to components that an override has replaced.
  Bindings in flags must have an effect.
  """
  reached = {
    (outer, component)
    for scope, component in program.touched([root, *other_roots])
    for outer in resolution.prefixes(scope)
  }
  scopes = {scope for scope, _ in reached}
  meant = {near for _, near in _unknown_scopes(program).values()}
  for (scope, component, _), bindings in program.bound.items():
    if (scope, component) in reached or scope in meant:
      continue
    for binding in bindings:
      places = (binding.place,)
      if scope not in scopes:
        near = components.nearest_name(scope, scopes - {''})
        hint = f'Did you mean {near}?' if near else 'No reference has it.'
        message = (
          f'Unknown scope {scope} in {binding.name} at {binding.place}. {hint}'
        )
        yield Fault('scope', message, places, scope, near)
      else:
        inside = f' in scope {scope}' if scope else ''
        message = (
          f'{binding.name} at {binding.place} is not used: no reference '
          f'leads from {root.name} to @{binding.component}{inside}.'
        )
        yield Fault('unused', message, places)
  if program.misspelled:
    return  # Their values would cause false reports.
  effective = {
    statement
    for node in program.nodes.values()
    for argument in node.arguments.values()
    for statement in program.definitions(argument.binding)
  }
  in_reach = [all_ for key, all_ in program.bound.items() if key[:2] in reached]
  used = used_macros(document)
  in_reach += [all_ for name, all_ in document.macros.items() if name in used]
  for *earlier, last in in_reach:
    for each in earlier if last.place.is_macro_flag else ():
      if each.place.is_flag:
        reason = f'{last.place} sets {last.name} too'
        message = f'{each.place} has no effect: {reason}.'
        yield Fault('unused', message, (each.place,))
    if last.place.is_flag and last not in effective:
      reason = f'the program does not use {last.name}'
      message = f'{last.place} has no effect: {reason}.'
      yield Fault('unused', message, (last.place,))


def _unknown_scopes(
  program: resolution.Program,
) -> dict[str, tuple[resolution.Use, str]]:
  """Returns scopes without bindings, each with a use and a similar scope."""
  return {
    use.target.reference.scope: (
      use,
      components.nearest_name(use.target.reference.scope, program.scopes),
    )
    for node in program.nodes.values()
    for use in node.uses
    if use.target.reference.scope not in program.scopes
  }
