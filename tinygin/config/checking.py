"""Finds all faults of a configuration, so that one message can list them."""

from collections.abc import Iterator
from collections.abc import Sequence

from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import resolution
from tinygin.config import statements


def unknown_macros(document: statements.Document) -> Iterator[str]:
  """Reports macros that are used but not set."""
  for macro, binding in _open_macros(document):
    if macro == statements.REQUIRED:
      yield (
        f'{binding.name} must be set: it is %{statements.REQUIRED} at '
        f'{binding.place}.'
      )
    else:
      near = components.nearest(macro, document.macros)
      yield (
        f'Unknown macro {macro} at {binding.place}.'
        f'{near or " Nothing sets it."}'
      )


def _open_macros(
  document: statements.Document,
) -> Iterator[tuple[str, statements.Binding]]:
  for *_, last in document.by_name.values():
    for macro in resolution.macros(last.value):
      if macro not in document.macros:
        yield macro, last


def statement_faults(document: statements.Document) -> Iterator[str]:
  """Reports names that are bound twice, and unused macros."""
  for bindings in document.by_name.values():
    yield from _repeated(bindings)
  yield from _unused_macros(document)


def circular_macros(document: statements.Document) -> Iterator[str]:
  """Reports macros that refer to themselves."""

  def following(name: str) -> list[str]:
    used = resolution.macros(document.macros[name][-1].value)
    return [each for each in used if each in document.macros]

  for name, definitions in document.macros.items():
    if name in resolution.reachable(following(name), following):
      yield f'Macro {name} at {definitions[-1].place} refers to itself.'


def _unused_macros(document: statements.Document) -> Iterator[str]:
  """Reports unused macros, unless a misspelt use probably means them."""
  used = _used_macros(document)
  meant = {
    components.nearest_name(macro, document.macros)
    for macro, _ in _open_macros(document)
    if macro != statements.REQUIRED
  }
  for name, definitions in document.macros.items():
    if name not in used | meant:
      near = components.nearest(name, used)
      for place in dict.fromkeys(each.place for each in definitions):
        if place.is_flag:
          yield f'{place} has no effect: nothing uses macro {name}.{near}'
        else:
          yield f'Macro {name} at {place} is not used.{near}'


def _used_macros(document: statements.Document) -> set[str]:
  return {
    macro
    for binding in document.bindings
    for macro in resolution.macros(binding.value)
  }


def clashes(document: statements.Document) -> Iterator[str]:
  """Reports names that a macro flag and `--gin_bindings` both set."""
  short = {
    name: last.place
    for name, (*_, last) in document.by_name.items()
    if last.place.is_macro_flag
  }
  for name, bindings in document.by_name.items():
    others = [
      each.place
      for each in bindings
      if each.place.is_flag and not each.place.is_macro_flag
    ]
    named = {m for each in bindings for m in resolution.macros(each.value)}
    if others:
      for macro in sorted(short.keys() & {name, *named}):
        yield f'{short[macro]} and {others[-1]} both set {name}: use only one.'


def unknown_components(
  document: statements.Document, registry: components.Registry
) -> Iterator[str]:
  """Reports names that mean no component, or several."""
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
  """Reports wrong names, types and values of all reached components."""
  for bindings in program.bound.values():
    yield from _repeated(bindings)
  # Parameters that misspelt bindings probably mean, so they are not missing.
  meant: dict[components.Component, set[str]] = {}
  for component, binding in program.misspelt:
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
    if not constraints.matches(argument.value, annotation):
      yield constraints.fault(name, argument.value, annotation, argument.where)
  for scope, (use, near) in unknown_scopes.items():
    hint = f' Did you mean {near}?' if near else ' It has no bindings.'
    yield f'Unknown scope {scope} in {use.target} at {use.place}.{hint}'


def _repeated(bindings: list[statements.Binding]) -> Iterator[str]:
  """Reports a parameter that one file or flag binds twice."""
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
  """Reports values that do not fit the annotations of their parameters."""
  for name, argument in node.arguments.items():
    annotation = node.component.parameters[name].annotation
    if not constraints.matches(argument.value, annotation):
      yield constraints.fault(
        f'{node.name}.{name}', argument.value, annotation, argument.where
      )


def _call_faults(node: resolution.Node, given: set[str]) -> Iterator[str]:
  """Reports missing and superfluous arguments of the calls of a component."""
  supplied_by: dict[str, str] = {}
  for use in node.uses:
    for name in sorted(use.supplied or ()):
      if name not in node.component.parameters:
        yield (
          f'{use.target} at {use.place} must have a parameter {name}: the '
          f'program passes it to {use.name}.'
        )
      supplied_by.setdefault(name, use.name)
  for name, user in supplied_by.items():
    if name in node.arguments:
      yield (
        f'{node.name}.{name} at {node.arguments[name].binding.place} cannot '
        f'be bound: the program passes it to {user}.'
      )
  reported: set[str] = set()
  for use in node.uses:
    by = f'{use.target} at {use.place} needs it'
    supplied = use.supplied
    if supplied is None:  # Unknown: assume all parameters without default.
      supplied = {
        name
        for name, each in node.component.parameters.items()
        if each.default is components.EMPTY
      }
    yield from _missing(node, given | reported | supplied, by)
    reported |= set(node.component.parameters) - supplied


def _missing(node: resolution.Node, given: set[str], by: str) -> Iterator[str]:
  """Reports required parameters that are neither bound nor given otherwise."""
  given = given | set(node.arguments)
  for name, parameter in node.component.parameters.items():
    if parameter.is_required and name not in given:
      expected = constraints.describe(parameter.annotation)
      fault = f'{node.name}.{name} is not set: {by}. Expected: {expected}.'
      default = parameter.default
      if default is not components.EMPTY and statements.is_writable(default):
        fault += (
          ' A default in code does not count; add the line: '
          f'{node.name}.{name} = {default!r}'
        )
      yield fault


def _endless_calls(node: resolution.Node) -> Iterator[str]:
  """Reports called references that form a circle."""

  def callers(of: resolution.Node) -> list[resolution.Node]:
    return [each.user for each in of.uses if each.target.reference.called]

  for reached in resolution.reachable([node], callers):
    for use in reached.uses:
      if use.target.reference.called and use.user is node:
        yield (
          f'Circular reference: {use.name} at {use.place} calls {node.name} '
          'again.'
        )


def unused(
  document: statements.Document,
  program: resolution.Program,
  root: components.Component,
  other_roots: Sequence[components.Component],
) -> Iterator[str]:
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
      if scope not in scopes:
        near = components.nearest(scope, scopes - {''})
        yield (
          f'Unknown scope {scope} in {binding.name} at {binding.place}.'
          f'{near or " No reference has it."}'
        )
      else:
        inside = f' in scope {scope}' if scope else ''
        yield (
          f'{binding.name} at {binding.place} is not used: no reference '
          f'leads from {root.name} to @{binding.component}{inside}.'
        )
  if program.misspelt:
    return  # Their values would cause false reports.
  effective = {
    statement
    for node in program.nodes.values()
    for argument in node.arguments.values()
    for statement in program.definitions(argument.binding)
  }
  in_reach = [all_ for key, all_ in program.bound.items() if key[:2] in reached]
  used = _used_macros(document)
  in_reach += [all_ for name, all_ in document.macros.items() if name in used]
  for *_, last in in_reach:
    if last.place.is_flag and last not in effective:
      yield f'{last.place} has no effect: the program does not use {last.name}.'


def _unknown_scopes(
  program: resolution.Program,
) -> dict[str, tuple[resolution.Use, str]]:
  """Returns scopes without bindings: a use of each, and a similar scope."""
  return {
    use.target.reference.scope: (
      use,
      components.nearest_name(use.target.reference.scope, program.scopes),
    )
    for node in program.nodes.values()
    for use in node.uses
    if use.target.reference.scope not in program.scopes
  }
