"""Answers what an editor asks about a place in a gin file."""

import dataclasses
import os
import pkgutil
import re
import typing
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any
from typing import Literal

from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import help_text
from tinygin.config import paths
from tinygin.config import statements
from tinygin.editing import linting
from tinygin.editing import origins
from tinygin.editing import syntax

_WORD = re.compile(r'[\w./]*$')


@dataclasses.dataclass(frozen=True)
class Completion:
  """Something that can be written at a place.

  Attributes:
    text: what replaces the range.
    kind: `component`, `parameter`, `macro`, `choice`, `file`, `module` or
      `keyword`.
    detail: what it means, in a line.
    start: the offset at which the range begins; it ends at the place.
  """

  text: str
  kind: str
  detail: str
  start: int


@dataclasses.dataclass(frozen=True)
class Location:
  """Characters in a file; `range` is None where only a line is known."""

  path: str
  range: syntax.Range | None
  line: int = 1


class Answers:
  """Answers questions about one file."""

  def __init__(self, workspace: linting.Workspace, path: str):
    """Takes the file.

    Args:
      workspace: has read the file.
      path: the absolute path of the file.
    """
    self._workspace = workspace
    self._path = path
    self._text = workspace.text(path)
    self._document = workspace.documents[path]
    self._registry = workspace.registry(path)

  def completions(self, offset: int) -> list[Completion]:
    """Returns what can be written at an offset, in the order of usefulness."""
    line, _ = self._text.position(offset)
    begin, _ = self._text.line(line)
    before = self._text.text[begin:offset]
    start = offset - len(_WORD.search(before)[0])
    sign = self._text.text[start - 1 : start] if start > begin else ''
    if found := re.match(r'\s*include\s+[\'"]([^\'"]*)$', before):
      return self._files(offset - len(found[1]))
    if re.match(r'(import|from)\s+[\w.]*$', before):
      return self._modules(start, self._text.text[start:offset])
    if '#' in before and self._is_comment(offset):
      return []
    if sign == '@':
      return self._references(start, offset)
    if sign == '%':
      return self._macros(start)
    statement = self._statement(offset)
    if statement and statement.kind == 'binding':
      equals = statement.tokens[1]
      if equals.end <= offset:
        return self._values(statement, offset)
    return self._beginnings(statement, begin, start, offset)

  def _is_comment(self, offset: int) -> bool:
    return any(
      each.kind == 'comment' and each.start < offset <= each.end
      for each in self._text.tokens
    )

  def _statement(self, offset: int) -> syntax.Statement | None:
    """Returns the statement at an offset, or the one before in its line."""
    line, _ = self._text.position(offset)
    found = self._text.at_line(line)
    if found is None:
      return None
    last, _ = self._text.position(found.end)
    return found if last >= line or found.kind == 'block' else None

  def _files(self, start: int) -> list[Completion]:
    folders = [os.path.dirname(self._path), *self._workspace.include_folders()]
    names: dict[str, None] = {}
    for folder in folders:
      for path in linting.gin_files(folder):
        if path != self._path:
          names.setdefault(os.path.relpath(path, folder))
    return [Completion(each, 'file', '', start) for each in sorted(names)]

  def _modules(self, start: int, word: str) -> list[Completion]:
    package, dot, _ = word.rpartition('.')
    names = [
      name
      for name, known in self._workspace.catalogue.modules.items()
      if not known.entry['message']
    ]
    if dot:
      names += [f'{package}.{each}' for each in origins.inside(package)]
    else:
      names += [each.name for each in pkgutil.iter_modules()]
    return [
      Completion(each, 'module', '', start)
      for each in dict.fromkeys(names)
      if each.startswith(word)
    ]

  def _macros(self, start: int) -> list[Completion]:
    own = {
      name: repr(definitions[-1].value)
      for name, definitions in self._document.macros.items()
    }
    others = {
      name: ''
      for document in self._workspace.documents.values()
      for name in document.macros
      if name not in own
    }
    known = own | others | {statements.REQUIRED: 'the including file sets it'}
    return [Completion(each, 'macro', known[each], start) for each in known]

  def _references(self, start: int, offset: int) -> list[Completion]:
    word = self._text.text[start:offset]
    scope, slash, name = word.rpartition('/')
    return [
      Completion(scope + slash + each, 'component', self._summary(each), start)
      for each in self._component_names(name)
    ]

  def _component_names(self, word: str) -> list[str]:
    """Returns the names of registered components, and of those in a module."""
    names = components.names(self._registry.configurables)
    inside, dot, _ = word.rpartition('.')
    if dot:
      names += [f'{inside}.{each}' for each in self._registry.members(inside)]
    else:
      names += self._registry.imported()
    return [*dict.fromkeys(each for each in names if each[:1] != '_')]

  def _summary(self, name: str) -> str:
    component = self._registry.find(name)
    return _first_line(component.target.documentation) if component else ''

  def _values(
    self, statement: syntax.Statement, offset: int
  ) -> list[Completion]:
    parameter = self._parameter(statement)
    if parameter is None:
      return []
    inside = re.search(r'[\'"]([^\'"]*)$', self._text.text[:offset])
    value = statement.value
    if value and inside and inside.start() >= value.start:
      choices = constraints.choices(parameter.annotation)
      start = offset - len(inside[1])
      return [Completion(each, 'choice', '', start) for each in choices]
    start = offset - len(_WORD.search(self._text.text[:offset])[0])
    return [
      Completion(each, 'choice', '', start)
      for each in _literals(parameter.annotation)
    ]

  def _parameter(
    self, statement: syntax.Statement
  ) -> components.Parameter | None:
    component, name = statement.part('component'), statement.part('parameter')
    found = component and self._registry.find(component.text)
    return found.parameters.get(name.text) if found and name else None

  def _beginnings(
    self,
    statement: syntax.Statement | None,
    begin: int,
    start: int,
    offset: int,
  ) -> list[Completion]:
    """Returns what a statement can begin with."""
    word = self._text.text[start:offset]
    header = statement and (
      statement if statement.kind == 'block' else statement.block
    )
    if header and start > begin:
      part = header.part('component')
      return self._parameters(part.text if part else '', start)
    scope, slash, name = word.rpartition('/')
    component, dot, _ = name.rpartition('.')
    found = self._parameters(
      component, start + len(scope + slash + component) + 1
    )
    if found and dot:
      return found
    words = ['include', 'import'] if not word else []
    names = self._component_names(name)
    return [
      *(Completion(each, 'keyword', '', start) for each in words),
      *(
        Completion(
          scope + slash + each, 'component', self._summary(each), start
        )
        for each in names
      ),
      *(each for each in self._macros(start) if each.text.isupper()),
    ]

  def _parameters(self, name: str, start: int) -> list[Completion]:
    component = self._registry.find(name) if name else None
    if component is None:
      return []
    return [
      Completion(
        each, 'parameter', constraints.describe(parameter.annotation), start
      )
      for each, parameter in component.parameters.items()
    ]

  def part(self, offset: int) -> tuple[syntax.Statement, syntax.Part] | None:
    """Returns the name at an offset, and its statement."""
    for statement in self._text.statements:
      for part in statement.parts:
        if offset in part:
          return statement, part
    return None

  def hover(self, offset: int) -> str:
    """Returns Markdown about the name at an offset; empty if there is none."""
    found = self.part(offset)
    if not found:
      return ''
    statement, part = found
    if part.kind == 'component':
      component = self._registry.find(part.text)
      return _describe(component) if component else ''
    if part.kind == 'parameter':
      return self._describe_parameter(statement, part)
    if part.kind == 'macro':
      lines = [
        f'- `{name} = {each.value!r}` at {each.place}'
        for name, definitions in self._document.macros.items()
        if name == part.text
        for each in reversed(definitions)
      ]
      return '\n'.join([f'Macro `{part.text}`', '', *lines]) if lines else ''
    return ''

  def _describe_parameter(
    self, statement: syntax.Statement, part: syntax.Part
  ) -> str:
    name = statement.part('component')
    component = name and self._registry.find(name.text)
    parameter = component and component.parameters.get(part.text)
    if not parameter:
      return ''
    meanings = help_text.meanings(component.target.documentation)
    lines = [f'`{component.name}.{part.text}`', '']
    if part.text in meanings:
      lines += [meanings[part.text], '']
    lines.append(f'Expected: {constraints.describe(parameter.annotation)}.')
    if parameter.default is not components.EMPTY:
      lines.append(f'Default: `{parameter.default!r}`.')
    return '\n'.join([*lines, *self._resolved(statement, component, part.text)])

  def _resolved(
    self,
    statement: syntax.Statement,
    component: components.Component,
    parameter: str,
  ) -> Iterator[str]:
    """Yields the value of a parameter in each scope of this configuration."""
    if self._workspace.is_circular(self._path):
      return
    program, _ = self._workspace.examine(self._path)
    for node in program.nodes.values():
      argument = node.arguments.get(parameter)
      if node.component.target.key == component.target.key and argument:
        yield ''
        yield f'`{node.name}.{parameter} = {argument.value!r}`'
        yield f'set at {argument.where}'
        for each in argument.overridden:
          yield f'over `{each.value!r}` at {each.place}'

  def definition(self, offset: int) -> list[Location]:
    """Returns where the name at an offset is defined."""
    found = self.part(offset)
    if not found:
      return []
    statement, part = found
    if part.kind == 'file':
      return self._included(part.text)
    if part.kind == 'module':
      spec = origins.find(part.text)
      path = spec.origin if spec else None
      return [Location(path, None)] if path and path.endswith('.py') else []
    if part.kind == 'macro':
      return [
        location
        for name, definitions in self._document.macros.items()
        if name == part.text
        for each in reversed(definitions)
        for location in self._place(each.place, part.text)
      ]
    if part.kind == 'scope':
      return []
    name = part if part.kind == 'component' else statement.part('component')
    component = name and self._registry.find(name.text)
    inside = part.text if part.kind == 'parameter' else ''
    return [*_source(component.target, inside)] if component else []

  def _included(self, name: str) -> list[Location]:
    folders = [os.path.dirname(self._path), *self._workspace.include_folders()]
    try:
      return [Location(paths.find(name, folders), None)]
    except paths.MissingError:
      return []

  def _place(self, place: statements.Place, name: str) -> Iterator[Location]:
    path = linting.absolute(place.origin)
    text = self._workspace.text(path)
    statement = text.at_line(place.line)
    for part in statement.parts if statement else ():
      if part.text == name and not part.is_reference:
        yield Location(path, syntax.Range(part.start, part.end))

  def references(self, offset: int) -> list[Location]:
    """Returns every place in the workspace that uses the name at an offset."""
    found = self.part(offset)
    if not found or found[1].kind in ('file', 'module', 'scope'):
      return []
    wanted = self._identity(self._registry, *found)
    return [
      Location(path, syntax.Range(part.start, part.end))
      for path in self._workspace.documents
      for registry in [self._workspace.registry(path)]
      for statement in self._workspace.text(path).statements
      for part in statement.parts
      if part.kind == found[1].kind
      and self._identity(registry, statement, part) == wanted
    ]

  def _identity(
    self,
    registry: components.Registry,
    statement: syntax.Statement,
    part: syntax.Part,
  ) -> tuple[str, ...]:
    """Returns what is equal for names that mean the same."""
    if part.kind == 'macro':
      return ('macro', part.text)
    name = part if part.kind == 'component' else statement.part('component')
    component = name and registry.find(name.text)
    whole = component.target.key if component else name and name.text
    return (part.kind, whole, part.text if part is not name else '')

  def renaming(self, offset: int) -> list[Location]:
    """Returns where the name of a macro is; empty at other names."""
    found = self.part(offset)
    if not found or found[1].kind != 'macro':
      return []
    return (
      [] if found[1].text == statements.REQUIRED else self.references(offset)
    )

  def outline(self) -> list[tuple[str, str, syntax.Statement]]:
    """Returns the name, the value and the statement of each statement."""
    return [
      (
        self._text.text[each.name.start : each.name.end],
        self._text.text[each.value.start : each.value.end]
        if each.value
        else '',
        each,
      )
      for each in self._text.statements
      if each.kind != 'unknown'
    ]


def _literals(annotation: Any) -> Iterable[str]:
  """Yields the values that an annotation lists."""
  for base, _ in constraints.members(annotation):
    if typing.get_origin(base) is Literal:
      yield from map(repr, typing.get_args(base))
    elif base is bool:
      yield from ('True', 'False')
    elif base in (None, type(None)):
      yield 'None'


def _describe(component: components.Component) -> str:
  documentation = component.target.documentation
  first = re.split(r'\n\s*\n', documentation.strip())[0]
  known = ', '.join(component.parameters)
  return f'`{component.full_name}({known})`\n\n{first}'.strip()


def _first_line(documentation: str) -> str:
  return documentation.strip().partition('\n')[0]


def _source(target: Any, parameter: str) -> Iterator[Location]:
  """Yields the line of a function or class, or of a parameter behind it."""
  if not target.file or not os.path.exists(target.file):
    return
  lines = linting.read_text(target.file).split('\n')
  name = re.escape(target.__name__)
  heads = [
    number
    for number, line in enumerate(lines, 1)
    if re.match(rf'\s*(class|def)\s+{name}\b', line)
  ]
  at = target.line if not target.is_class else None
  head = next((each for each in heads if not at or each >= at), at or 1)
  inside = (
    number
    for number, line in enumerate(lines[head:], head + 1)
    if parameter and re.match(rf'.*\b{re.escape(parameter)}\b\s*[:=,)]', line)
  )
  yield Location(target.file, None, next(inside, head))
