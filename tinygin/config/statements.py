"""Reads gin files and flags into statements, each with its place.

gin's parser parses the text; `_Parser` refuses the mistakes that gin accepts.
No component is imported here, so that syntax errors are reported at once.
"""

import dataclasses
import functools
import io
import os
import re
import tokenize
from collections.abc import Iterator
from collections.abc import Mapping
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
    """Whether it is in a flag such as `--epochs`, which sets a macro."""
    return self.is_flag and not self.origin.startswith(_BINDINGS_FLAG)

  def __str__(self) -> str:
    return f'{self.origin}:{self.line}' if self.line else self.origin


@dataclasses.dataclass(frozen=True)
class Fault:
  """A mistake in a configuration.

  Attributes:
    rule: the kind of mistake, such as `macro` for an unknown or unused macro.
    message: what is wrong, with the places.
    places: the wrong statements; none if a whole file is wrong.
    name: the wrong name in these statements, if a single name is wrong.
    correction: the replacement for that name, the value or the line; empty if
      several are possible.
    column: of the character in the line, from 0, where the parser stopped.
  """

  rule: str
  message: str
  places: tuple[Place, ...] = ()
  name: str = ''
  correction: str = ''
  column: int | None = None

  def __str__(self) -> str:
    return self.message


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


@dataclasses.dataclass(frozen=True, eq=False)
class Binding:
  """`scope/component.parameter = value`, or `MACRO = value`.

  For a macro, `component` is empty, and `parameter` is the macro's name with
  its scope.
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
  """Statements in the order in which they take effect, and mistakes."""

  bindings: list[Binding] = dataclasses.field(default_factory=list)
  imports: list[Import] = dataclasses.field(default_factory=list)
  faults: list[Fault] = dataclasses.field(default_factory=list)

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
  macro_flags: Sequence[tuple[str, str]] = (),
  search_paths: Sequence[str] = (),
  texts: Mapping[str, str] | None = None,
) -> Document:
  """Reads files and the files they include, then bindings, then macro flags.

  Args:
    gin_files: paths as the user wrote them.
    gin_bindings: texts with bindings, separated by newlines or `;`.
    macro_flags: pairs of a flag and its binding, such as
      `('--epochs', 'EPOCHS = 3')`.
    search_paths: folders in which included files are searched, after the
      folder of the including file.
    texts: the contents of files that are not as on disk, by their real paths.

  Returns:
    The statements, and a fault for everything that could not be read.
  """
  reader = _Reader(search_paths, texts or {})
  for name in gin_files:
    reader.read_file(name, Place(f'--gin_file={name}'))
  for index, text in enumerate(gin_bindings):
    flag = f'{_BINDINGS_FLAG}[{index}]'
    reader.read_text(_split_lines(text), Place(flag))
  for flag, text in macro_flags:
    reader.read_text(text, Place(flag))
  return reader.document


class _Reader:
  """Reads each file once, at its first include."""

  def __init__(self, search_paths: Sequence[str], texts: Mapping[str, str]):
    self.document = Document()
    self._texts = texts
    self._folders = include_folders(search_paths)
    self._given_by: dict[str, Place] = {}  # From real paths.
    self._open: list[str] = []

  def read_file(
    self, name: str, given_by: Place, folders: Sequence[str] = ()
  ) -> None:
    """Reads a file and the files it includes.

    Args:
      name: the path as written.
      given_by: the flag or the include statement.
      folders: where the path is searched; see `paths.find`.
    """
    try:
      path = paths.resolve(name)
      if folders or os.path.realpath(path) not in self._texts:
        path = paths.find(name, folders)
      text = self._texts.get(os.path.realpath(path))
      if text is None:
        text = paths.read_text(path)
    except errors.InputError as error:
      near = getattr(error, 'near', '')
      self._fault(f'{error} Given by {given_by}.', given_by, near)
      return
    real, name = os.path.realpath(path), paths.display(path)
    if real in self._open:
      self._fault(f'Circular include of {name} at {given_by}.', given_by)
    if earlier := self._given_by.get(real):
      if given_by.is_flag:
        message = f'{given_by} has no effect: {earlier} already reads it.'
        self._fault(message, given_by)
      return
    self._given_by[real] = given_by
    chain = () if given_by.is_flag else (str(given_by), *given_by.chain)
    self._open.append(real)
    self.read_text(text, Place(name, None, chain))
    self._open.pop()

  def read_text(self, text: str, place: Place) -> None:
    """Reads the statements of a file or flag and the files it includes."""
    has_bindings = False
    for statement in _parsed(text, place):
      if isinstance(statement, Fault):
        self.document.faults.append(statement)
      elif isinstance(statement, Import):
        self.document.imports.append(statement)
      elif isinstance(statement, Binding):
        self.document.bindings.append(statement)
        has_bindings = True
      elif place.is_flag:
        message = f'Flags cannot include files: use --gin_file. At {place}.'
        self._fault(message, place)
      elif has_bindings:
        name, where = statement
        self._fault(
          f'The include of {name} at {where} must come before all bindings, '
          'as it would override them.',
          where,
        )
      else:
        self._include(*statement)

  def _include(self, name: str, place: Place) -> None:
    beside = os.path.dirname(self._open[-1])
    self.read_file(name, place, [beside, *self._folders])

  def _fault(self, message: str, place: Place, correction: str = '') -> None:
    fault = Fault('include', message, (place,), correction=correction)
    self.document.faults.append(fault)


@functools.lru_cache(maxsize=1000)  # Several files can include one.
def _parsed(text: str, place: Place) -> tuple[Any, ...]:
  return tuple(parse(text, place))


def include_folders(search_paths: Sequence[str]) -> list[str]:
  """Returns where included files are searched after the file's own folder."""
  root = paths.configurations()
  searched = [paths.resolve(each) for each in search_paths]
  return [*searched, os.path.join(root, 'gin'), root]


def parse(text: str, place: Place) -> Iterator[Any]:
  """Parses the text of one file or flag.

  Args:
    text: gin statements.
    place: the file or flag, without a line.

  Yields:
    `Binding`, `Import` or `(included file, place)`; or a `Fault` for a
    statement that cannot be parsed.
  """
  lines = text.split('\n')
  begin = 1
  while begin:
    # Empty lines keep the numbers of the others.
    rest = '\n' * (begin - 1) + '\n'.join(lines[begin - 1 :])
    try:
      parser = _Parser(io.StringIO(rest + '\n'), _Delegate())
      # gin raises StopIteration at an unexpected end. A `for` loop would
      # take it for the end of the file.
      while (parsed := parser.parse_statement()) is not None:
        begin = parser.current_token.start[0]
        where = _at_line(place, parsed.location.line_num)
        if isinstance(parsed, config_parser.BindingStatement):
          yield _binding(parsed, where)
        elif isinstance(parsed, config_parser.ImportStatement):
          yield parsed._replace(location=where)
        elif isinstance(parsed, config_parser.IncludeStatement):
          yield parsed.filename, where
      return
    except _PARSE_ERRORS as error:
      reason, number = _reason_and_line(error, lines)
      column = getattr(error, 'offset', None)
      code = _lines_of_code(lines, begin)
      if number > code[0] and (
        isinstance(error, tokenize.TokenError)
        or _NEW_STATEMENT.match(lines[number - 1])
      ):
        reason, number, column = _NOT_CLOSED, code[0], None
      fault = _syntax_fault(reason, number, lines, place)
      yield dataclasses.replace(fault, column=column)
      # In a block, which is parsed as a whole, the line can be before `begin`.
      following = code[number >= begin :]
      letters = (each for each in following if lines[each - 1][:1].isalpha())
      begin = next(letters, 0)


def _lines_of_code(lines: Sequence[str], begin: int) -> list[int]:
  """Returns the numbers of the lines with code, from a number on."""
  numbered = [*enumerate(lines, 1)][begin - 1 :]
  return [number for number, line in numbered if re.match(r'\s*[^\s#]', line)]


_NEW_STATEMENT = re.compile(
  r'[A-Za-z_][\w./]*\s*(=|:\s*($|#))|(import|include|from)\s'
)
_NOT_CLOSED = 'A bracket or a string is not closed.'


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
  if not is_macro(parsed.selector):
    message = (
      f'{parsed.selector} = {parsed.value!r} at {place} has no component. '
      'Write component.parameter, or a macro in capitals.'
    )
    return Fault('macro', message, (place,), parsed.selector)
  scope = f'{parsed.scope}/' if parsed.scope else ''
  return Binding('', '', scope + parsed.selector, parsed.value, place)


def is_macro(name: str) -> bool:
  """Whether a name without a scope can be that of a macro."""
  return bool(re.fullmatch(_MACRO, name))


class _Delegate(config_parser.ParserDelegate):
  def configurable_reference(
    self, scoped_configurable_name: str, evaluate: bool
  ) -> Reference:
    return Reference(scoped_configurable_name, evaluate)

  def macro(self, macro_name: str) -> Macro:
    return Macro(macro_name)


class _Parser(config_parser.ConfigParser):
  """gin's parser, extended to refuse what gin misreads."""

  def parse_statement(self) -> Any:
    statement = super().parse_statement()
    value = getattr(statement, 'value', None)
    if value is not None and not is_writable(value):
      message = 'This number cannot be represented.'
      raise SyntaxError(message, statement.location)
    return statement

  def _maybe_parse_basic_type(self) -> tuple[bool, Any]:
    # gin drops the sign of -%MACRO and -@reference().
    location = self._current_location()
    success, value = super()._maybe_parse_basic_type()
    if not success and location.line_content[location.char_num :][:1] == '-':
      self._raise_syntax_error('Only a number can be negative.', location)
    if isinstance(value, int) and value.bit_length() > 63:
      self._raise_syntax_error('Integers have at most 64 bits.', location)
    return success, value

  def _maybe_parse_container(self) -> tuple[bool, Any]:
    outer, self._keys = getattr(self, '_keys', None), []
    result = super()._maybe_parse_container()
    self._keys = outer
    return result

  def _parse_dict_item(self) -> tuple[Any, Any]:
    # gin keeps the last of two equal keys.
    location = self._current_location()
    key, value = super()._parse_dict_item()
    if isinstance(key, Macro | Reference):
      self._raise_syntax_error(f'{key} cannot be a dictionary key.', location)
    if key in self._keys:
      self._raise_syntax_error(f'Duplicate key {key!r}.', location)
    self._keys.append(key)
    return key, value


def is_writable(value: Any) -> bool:
  """Whether gin reads a written value back as the same value, unlike 1e999."""
  try:
    text = io.StringIO(f'{value!r}\n')
    return _Parser(text, _Delegate()).parse_value() == value
  except _PARSE_ERRORS:
    return False


_NAME = r'([\w./]+)\s*=\s*'
_HINTS = (
  (r'include\s+([\w./-]+)', 'a file name needs quotes: ', "include '{0}'"),
  (r'([\w./]+) *: *([^\s#].*)', 'a value needs an =: ', '{0} = {1}'),
  (_NAME + '(?i:true|yes)', 'write True.', '{0} = True'),
  (_NAME + '(?i:false|no)', 'write False.', '{0} = False'),
  (_NAME + '(?i:none|null)', 'write None.', '{0} = None'),
  (_NAME + '(?i:nan|inf|infinity)', 'a number must be finite.', ''),
  (
    _NAME + r'([A-Za-z_][\w./]*\(\))',
    'a reference needs an @: ',
    '{0} = @{1}',
  ),
  (_NAME + f'({_MACRO})', 'a macro needs a %: ', '{0} = %{1}'),
  (
    _NAME + r'([A-Za-z_~./][\w./~ -]*)',
    'a string needs quotes: ',
    "{0} = '{1}'",
  ),
)


def _syntax_fault(
  reason: str, number: int, lines: Sequence[str], place: Place
) -> Fault:
  """Returns a fault with the line that the parser refused, and a hint."""
  line = lines[number - 1].strip() if number <= len(lines) else ''
  where = _at_line(place, number)
  for pattern, hint, template in _HINTS:
    if found := re.fullmatch(rf'{pattern}\s*(?:#.*)?', line):
      right = template.format(*map(str.strip, found.groups()))
      message = f'{line} at {where}: {hint}{right if hint[-1] == " " else ""}'
      return Fault('syntax', message, (where,), correction=right)
  message = f'Syntax error at {where}: {reason} Received: {line}'
  return Fault('syntax', message, (where,))


def _reason_and_line(error: Exception, lines: Sequence[str]) -> tuple[str, int]:
  last = max(1, len(lines) - (not lines[-1]))
  if isinstance(error, tokenize.TokenError):
    return _NOT_CLOSED, min(error.args[1][0], last)
  if isinstance(error, TypeError):
    return 'A list or dictionary cannot be a dictionary key.', last
  if isinstance(error, RecursionError):
    return 'The brackets are nested too deeply.', last
  if not isinstance(error, SyntaxError):
    return 'The file ends in the middle of a statement.', last
  reason = error.msg.split('\n')[0].partition('  Got')[0].strip(' .')
  if reason.startswith('Expected newline'):
    reason = (
      'Unexpected text after a value. A tuple needs parentheses; bindings are '
      'separated by newlines, in flags also by semicolons'
    )
  elif re.search('= *[\'"]', error.text or ''):
    reason = 'A string is not closed'
  elif reason.startswith(('malformed node', 'invalid syntax', 'unterminated')):
    reason = (
      'Invalid value. Strings need quotes, references an @, and macros a %'
    )
  return f'{reason[:1].upper()}{reason[1:]}.', min(error.lineno or last, last)


def _split_lines(text: str) -> str:
  """Replaces `;` between statements, not inside strings, by newlines."""
  lines = text.split('\n')
  try:
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
  except (tokenize.TokenError, SyntaxError):
    return text  # The parser reports what is wrong.
  for token in reversed(tokens):
    if token.string == ';':
      row, column = token.start
      line = lines[row - 1]
      lines[row - 1] = f'{line[:column]}\n{line[column + 1 :].lstrip(" ")}'
  return '\n'.join(lines)
