"""Reads gin files and flags into statements that know where they stand.

Nothing is imported and nothing is looked up here: this is the part of the
language that needs no program. gin's own parser does the parsing; holes in it
through which a mistake would slip are closed in `_Parser`.
"""

import dataclasses
import functools
import io
import os
import re
import tokenize
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from gin import config_parser

from tinygin.config import errors
from tinygin.config import paths

REQUIRED = 'gin.REQUIRED'
_MACRO = '[A-Z][A-Z0-9_]*'
_BINDINGS_FLAG = '--gin_bindings'


@dataclasses.dataclass(frozen=True)
class Place:
  """Where a statement is: `gin/base.gin:12`, `--gin_bindings[0]`, `--epochs`.

  Attributes:
    origin: the file or flag.
    line: the line in the file, from 1; None in a flag.
    chain: the include statements that lead to the file, innermost first.
  """

  origin: str
  line: int | None = None
  chain: tuple[str, ...] = ()

  @property
  def is_flag(self) -> bool:
    """Whether the statement is on the command line."""
    return self.origin.startswith('--')

  @property
  def is_macro_flag(self) -> bool:
    """Whether that is a flag such as `--epochs`, which sets a macro."""
    return self.is_flag and not self.origin.startswith(_BINDINGS_FLAG)

  def __str__(self) -> str:
    return f'{self.origin}:{self.line}' if self.line else self.origin


@dataclasses.dataclass(frozen=True)
class Reference:
  """`@scope/name` or, when called, `@scope/name()`."""

  name: str
  called: bool

  @property
  def scope(self) -> str:
    """The scope, `a/b`, or nothing."""
    return self.name.rpartition('/')[0]

  @property
  def component(self) -> str:
    """The component's name as written."""
    return self.name.rpartition('/')[2]

  def __repr__(self) -> str:
    return f'@{self.name}{"()" if self.called else ""}'


@dataclasses.dataclass(frozen=True)
class Macro:
  """`%NAME`, or `%scope/NAME`."""

  name: str

  def __repr__(self) -> str:
    return f'%{self.name}'


@dataclasses.dataclass(frozen=True)
class Binding:
  """`scope/component.parameter = value`, or `MACRO = value`.

  A macro's `component` is empty and its `parameter` is the macro's name, which
  includes its scope.
  """

  scope: str
  component: str
  parameter: str
  value: Any
  place: Place

  @property
  def name(self) -> str:
    """The left-hand side."""
    if not self.component:
      return self.parameter
    scope = f'{self.scope}/' if self.scope else ''
    return f'{scope}{self.component}.{self.parameter}'


# `location` holds a `Place`.
Import = config_parser.ImportStatement


@dataclasses.dataclass
class Document:
  """All statements in the order in which they take effect, and the faults."""

  bindings: list[Binding] = dataclasses.field(default_factory=list)
  imports: list[Import] = dataclasses.field(default_factory=list)
  faults: list[str] = dataclasses.field(default_factory=list)

  @functools.cached_property
  def by_name(self) -> dict[str, list[Binding]]:
    """Every binding of every left-hand side, in order."""
    found: dict[str, list[Binding]] = {}
    for binding in self.bindings:
      found.setdefault(binding.name, []).append(binding)
    return found

  @functools.cached_property
  def macros(self) -> dict[str, list[Binding]]:
    """Every definition of every macro, in order."""
    return {
      name: found
      for name, found in self.by_name.items()
      if not found[0].component
    }


def read(
  gin_files: Sequence[str],
  gin_bindings: Sequence[str] = (),
  short_flags: Sequence[tuple[str, str]] = (),
  search_paths: Sequence[str] = (),
) -> Document:
  """Reads files with all they include, then bindings, then short flags.

  Args:
    gin_files: Paths as the user wrote them.
    gin_bindings: Each holds bindings separated by newlines or `;`.
    short_flags: Pairs of a flag and the binding that it stands for, such as
      `('--epochs', 'EPOCHS = 3')`.
    search_paths: Folders for includes, after the including file's own.

  Returns:
    The statements; what could not be read is among the document's faults.
  """
  reader = _Reader(search_paths)
  for name in gin_files:
    reader.read_argument(name)
  for index, text in enumerate(gin_bindings):
    flag = f'{_BINDINGS_FLAG}[{index}]'
    reader.read_text(_split_lines(text), Place(flag))
  for flag, text in short_flags:
    reader.read_text(text, Place(flag))
  return reader.document


class _Reader:
  """Reads each file once, at the first include that names it."""

  def __init__(self, search_paths: Sequence[str]):
    self.document = Document()
    self._search_paths = [paths.resolve(each) for each in search_paths]
    self._brought_by: dict[str, str] = {}  # From real paths.
    self._open: list[str] = []

  def read_argument(self, name: str) -> None:
    """Reads one `--gin_file`."""
    try:
      path = paths.find(name)
    except errors.InputError as error:
      self._fault(f'{error} Given by --gin_file={name}.')
      return
    if earlier := self._brought_by.get(os.path.realpath(path)):
      self._fault(
        f'--gin_file={name} has no effect: {earlier} has brought it already.'
      )
    self._read_file(path, f'--gin_file={name}', ())

  def read_text(self, text: str, place: Place) -> None:
    """Takes the statements of a file or flag, and follows the includes."""
    has_bindings = False
    for statement in parse(text, place):
      if isinstance(statement, str):
        self._fault(statement)
      elif isinstance(statement, Import):
        self.document.imports.append(statement)
      elif isinstance(statement, Binding):
        self.document.bindings.append(statement)
        has_bindings = True
      elif place.is_flag:
        self._fault(f'No include at {place}: give it as --gin_file.')
      elif has_bindings:
        name, where = statement
        self._fault(
          f'The include of {name} at {where} must stand above all bindings: '
          'what it binds would override them.'
        )
      else:
        self._include(*statement)

  def _include(self, name: str, place: Place) -> None:
    root = paths.project_root()
    beside = os.path.dirname(self._open[-1])
    folders = [beside, *self._search_paths, os.path.join(root, 'gin'), root]
    try:
      path = paths.find(name, folders)
    except errors.InputError as error:
      self._fault(f'{error} Included at {place}.')
      return
    self._read_file(path, str(place), (str(place), *place.chain))

  def _read_file(
    self, path: str, brought_by: str, chain: tuple[str, ...]
  ) -> None:
    real, name = os.path.realpath(path), paths.display(path)
    if real in self._open:
      self._fault(f'Circular include of {name} at {brought_by}.')
    if real in self._brought_by:
      return
    self._brought_by[real] = brought_by
    try:
      with open(path, encoding='utf-8-sig') as file:
        text = file.read()
    except (OSError, UnicodeError) as error:
      reason = getattr(error, 'strerror', None) or 'it is not UTF-8 text'
      self._fault(f'Cannot read {name}: {reason}. Given by {brought_by}.')
      return
    self._open.append(real)
    self.read_text(text, Place(name, None, chain))
    self._open.pop()

  def _fault(self, message: str) -> None:
    self.document.faults.append(message)


def parse(text: str, place: Place) -> Iterator[Any]:
  """Parses the text of one file or flag.

  Args:
    text: gin statements.
    place: The file or flag; lines are added to it.

  Yields:
    `Binding`, `Import`, `(included file, place)`, or a fault as a string, after
    which the rest of the text is given up.
  """
  try:
    parser = _Parser(io.StringIO(text + '\n'), _Delegate())
    # Not `for statement in parser`: it would take gin's own StopIteration at
    # an unexpected end for the end of the file.
    while (parsed := parser.parse_statement()) is not None:
      where = _at_line(place, parsed.location.line_num)
      if isinstance(parsed, config_parser.BindingStatement):
        yield _binding(parsed, where)
      elif isinstance(parsed, config_parser.ImportStatement):
        yield parsed._replace(location=where)
      elif isinstance(parsed, config_parser.IncludeStatement):
        yield parsed.filename, where
  except _PARSE_ERRORS as error:
    yield _syntax_fault(error, text, place)


_PARSE_ERRORS = (
  SyntaxError,
  tokenize.TokenError,
  StopIteration,
  ValueError,
  TypeError,
  RecursionError,
)


def _at_line(place: Place, line: int) -> Place:
  return place if place.is_flag else dataclasses.replace(place, line=line)


def _binding(parsed: config_parser.BindingStatement, place: Place) -> Any:
  if parsed.arg_name:
    return Binding(
      parsed.scope, parsed.selector, parsed.arg_name, parsed.value, place
    )
  if not re.fullmatch(_MACRO, parsed.selector):
    return (
      f'{parsed.selector} = {parsed.value!r} at {place} names no component. '
      'Write component.parameter, or capitals for a macro.'
    )
  scope = f'{parsed.scope}/' if parsed.scope else ''
  return Binding('', '', scope + parsed.selector, parsed.value, place)


class _Delegate(config_parser.ParserDelegate):
  def configurable_reference(
    self, scoped_configurable_name: str, evaluate: bool
  ) -> Reference:
    return Reference(scoped_configurable_name, evaluate)

  def macro(self, macro_name: str) -> Macro:
    return Macro(macro_name)


class _Parser(config_parser.ConfigParser):
  """gin's parser, without what it lets pass."""

  def parse_statement(self) -> Any:
    statement = super().parse_statement()
    value = getattr(statement, 'value', None)
    if value is not None and not is_writable(value):
      message = 'This number cannot be represented.'
      raise SyntaxError(message, statement.location)
    return statement

  def _maybe_parse_basic_type(self) -> tuple[bool, Any]:
    # gin drops the sign of -%MACRO and of -@reference().
    location = self._current_location()
    success, value = super()._maybe_parse_basic_type()
    if not success and location.line_content[location.char_num :][:1] == '-':
      self._raise_syntax_error('Only a number can be negative.', location)
    return success, value

  def _maybe_parse_container(self) -> tuple[bool, Any]:
    outer, self._keys = getattr(self, '_keys', None), []
    result = super()._maybe_parse_container()
    self._keys = outer
    return result

  def _parse_dict_item(self) -> tuple[Any, Any]:
    # gin takes the last of two equal keys.
    location = self._current_location()
    key, value = super()._parse_dict_item()
    if isinstance(key, Macro | Reference):
      self._raise_syntax_error(f'{key} cannot be a key.', location)
    if key in self._keys:
      self._raise_syntax_error(f'The key {key!r} stands twice.', location)
    self._keys.append(key)
    return key, value


def is_writable(value: Any) -> bool:
  """Whether a value's text means the value: not so 1e999, which is `inf`."""
  try:
    text = io.StringIO(f'{value!r}\n')
    return _Parser(text, _Delegate()).parse_value() == value
  except _PARSE_ERRORS:
    return False


_UNQUOTED = re.compile(
  r'\s*(?P<name>[\w./]+)\s*=\s*(?P<value>[A-Za-z_~./][^\'"#@%]*?)\s*(#.*)?$'
)
_CONSTANTS = {
  **{'true': 'True', 'false': 'False', 'none': 'None', 'null': 'None'},
  **{'yes': 'True', 'no': 'False'},
}


def _syntax_fault(error: Exception, text: str, place: Place) -> str:
  """Says what the parser stumbled over, with the line shown."""
  lines = text.split('\n')
  reason, number = _reason_and_line(error, lines)
  line = lines[number - 1].strip() if number <= len(lines) else ''
  where = _at_line(place, number)
  if included := re.fullmatch(r'include\s+([\w./-]+)', line):
    quoted = f"include '{included[1]}'"
    return f'{line} at {where}: a file name needs quotes: {quoted}'
  if colon := re.fullmatch(r'([\w./]+) *: *([^\s#].*)', line):
    name, value = colon.groups()
    return f'{line} at {where}: a value needs an =: {name} = {value}'
  if unquoted := _UNQUOTED.match(line):
    hint = _value_hint(unquoted['name'], unquoted['value'], place)
    if hint:
      return f'{line} at {where}: {hint}'
  return f'Syntax error at {where}: {reason} Received: {line}'


def _value_hint(name: str, value: str, place: Place) -> str:
  """Says how a bare word is written, as what it seems to be."""
  if value.lower() in _CONSTANTS:
    return f'write {_CONSTANTS[value.lower()]}.'
  if value.lower() in ('nan', 'inf', 'infinity'):
    return 'a number must be finite.'
  if re.fullmatch(r'[\w./]+\(\)', value):
    return f'a reference needs an @: {name} = @{value}'
  if re.fullmatch(_MACRO, value):
    return f'a macro needs a %: {name} = %{value}'
  if re.fullmatch(r'[\w./~ -]+', value):
    quote = '"' if place.is_flag else ''
    return f"a string needs quotes: {quote}{name} = '{value}'{quote}."
  return ''


def _reason_and_line(error: Exception, lines: list[str]) -> tuple[str, int]:
  last = max(1, len(lines) - (not lines[-1]))
  if isinstance(error, tokenize.TokenError):
    return 'A bracket or a string is not closed.', min(error.args[1][0], last)
  if isinstance(error, SyntaxError):
    reason = error.msg.split('\n')[0].partition('  Got')[0].strip()
    if reason.startswith('Expected newline'):
      reason = (
        'More follows after a value. A tuple needs brackets; bindings are '
        'separated by new lines, in flags also by semicolons.'
      )
    if re.search('= *[\'"]', error.text or ''):
      reason = 'A string is not closed.'
    if reason.startswith(('malformed node', 'invalid syntax', 'unterminated')):
      reason = (
        'This is no value. Strings need quotes, references an @, macros a %.'
      )
    number = min(error.lineno or last, last)
    return reason[:1].upper() + reason[1:].rstrip('.') + '.', number
  if isinstance(error, TypeError):
    return 'A list or dictionary cannot be the key of a dictionary.', last
  if isinstance(error, RecursionError):
    return 'The brackets are nested too deeply.', last
  return 'The file ends in the middle of a statement.', last


def _split_lines(text: str) -> str:
  """Replaces `;` between statements, not inside strings, by newlines."""
  lines = text.split('\n')
  try:
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
  except (tokenize.TokenError, SyntaxError):
    return text  # The parser will say what is wrong.
  for token in reversed(tokens):
    if token.string == ';':
      row, column = token.start
      line = lines[row - 1]
      lines[row - 1] = f'{line[:column]}\n{line[column + 1 :].lstrip(" ")}'
  return '\n'.join(lines)
