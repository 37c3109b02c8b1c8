"""Finds the names and values of gin statements in a text, with their ranges.

The text may be unfinished or wrong: every text has some statements. Whether
they are right is for `tinygin.config.statements`, which uses gin's parser.
"""

import bisect
import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator

_TOKEN = re.compile(
  r"""
  (?P<comment>\#[^\n]*)
  |(?P<string>[rRbBuU]{0,2}(?:
    '{3}(?:\\.|[^\\])*?(?:'{3}|\Z)
    |"{3}(?:\\.|[^\\])*?(?:"{3}|\Z)
    |'(?:\\[^\n]|[^'\\\n])*'?
    |"(?:\\[^\n]|[^"\\\n])*"?
  ))
  |(?P<name>[A-Za-z_]\w*(?:[./](?:[A-Za-z_]\w*)?)*)
  |(?P<number>[0-9.][\w.]*)
  |(?P<newline>\n)
  |(?P<space>[ \t\r\f\v\ufeff]+|\\\r?\n)
  |(?P<other>.)
  """,
  re.VERBOSE | re.DOTALL,
)
# A line inside open brackets that starts so belongs to the next statement.
_NEW_STATEMENT = re.compile(
  r'[A-Za-z_][\w./]*[ \t]*=|(?:import|include|from)\s|[A-Za-z_][\w./]*:\s*$',
  re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Range:
  """The characters from `start` to before `end`, counted from 0."""

  start: int
  end: int

  def __contains__(self, offset: int) -> bool:
    return self.start <= offset <= self.end


@dataclasses.dataclass(frozen=True)
class Token(Range):
  """A token that is no space.

  Attributes:
    kind: `comment`, `string`, `name`, `number`, `newline` or `other`.
    text: as written.
  """

  kind: str
  text: str


@dataclasses.dataclass(frozen=True)
class Part(Range):
  """A name in a statement.

  Attributes:
    kind: `scope`, `component`, `parameter`, `macro`, `module` or `file`.
    text: the name, without quotes.
    is_reference: whether it is in a value, after `@` or `%`.
  """

  kind: str
  text: str
  is_reference: bool = False


@dataclasses.dataclass(frozen=True)
class Statement(Range):
  """A statement, without the comment behind it.

  Attributes:
    kind: `include`, `import`, `block` (the header of one), `binding`, or
      `unknown` where the statement is unfinished.
    name: the range of the left-hand side, of the module or of the file.
    value: the range of the value; None where there is none.
    parts: the names, in order.
    tokens: all tokens but newlines.
    block: the header of the block that contains the binding.
  """

  kind: str
  name: Range
  value: Range | None
  parts: tuple[Part, ...]
  tokens: tuple[Token, ...]
  block: 'Statement | None' = None

  def part(self, kind: str) -> Part | None:
    """Returns the first name of a kind on the left-hand side."""
    own = self.parts if not self.block else (*self.block.parts, *self.parts)
    for each in own:
      if each.kind == kind and not each.is_reference:
        return each
    return None


class Text:
  """The text of a gin file.

  Attributes:
    text: the characters.
  """

  def __init__(self, text: str):
    self.text = text

  @functools.cached_property
  def tokens(self) -> tuple[Token, ...]:
    """All tokens but spaces, in order."""
    return tuple(
      Token(found.start(), found.end(), found.lastgroup, found[0])
      for found in _TOKEN.finditer(self.text)
      if found.lastgroup != 'space'
    )

  @functools.cached_property
  def statements(self) -> tuple[Statement, ...]:
    """All statements, in order."""
    found: list[Statement] = []
    header = None
    for tokens in self._logical_lines():
      if self._is_indented(tokens[0]):
        found.append(_statement(tokens, header))
      else:
        found.append(_statement(tokens, None))
        header = found[-1] if found[-1].kind == 'block' else None
    return tuple(found)

  def _logical_lines(self) -> Iterator[list[Token]]:
    """Yields the tokens of each statement."""
    line: list[Token] = []
    depth = 0
    for token in self.tokens:
      if token.kind == 'newline':
        if depth and _NEW_STATEMENT.match(self.text, token.end):
          depth = 0
        if line and not depth:
          yield line
          line = []
      elif token.kind != 'comment':
        line.append(token)
        if token.kind == 'other':
          depth += (token.text in '([{') - (token.text in ')]}')
          depth = max(depth, 0)
    if line:
      yield line

  def _is_indented(self, token: Token) -> bool:
    begin = self.text.rfind('\n', 0, token.start) + 1
    return bool(self.text[begin : token.start].strip('\ufeff'))

  def at_line(self, line: int) -> Statement | None:
    """Returns the last statement that begins at or before a line, from 1."""
    begins = [self.position(each.start)[0] for each in self.statements]
    index = bisect.bisect_right(begins, line) - 1
    return self.statements[index] if index >= 0 else None

  def code_of_line(self, line: int) -> Range:
    """Returns the range of a line without the space and comment around it."""
    begin, end = self.line(line)
    inside = [
      each
      for each in self.tokens
      if begin <= each.start < end and each.kind not in ('comment', 'newline')
    ]
    if not inside:
      return Range(begin, end)
    return Range(inside[0].start, min(inside[-1].end, end))

  def line(self, line: int) -> tuple[int, int]:
    """Returns the offsets of the begin and end of a line, from 1."""
    begin = self._begins[min(line, len(self._begins)) - 1]
    end = self.text.find('\n', begin)
    return begin, end if end >= 0 else len(self.text)

  def position(self, offset: int) -> tuple[int, int]:
    """Returns the line and column of an offset, both from 1."""
    line = bisect.bisect_right(self._begins, offset)
    return line, offset - self._begins[line - 1] + 1

  def offset(self, line: int, column: int) -> int:
    """Returns the offset of a line and column, both from 1."""
    begin, end = self.line(line)
    return min(begin + column - 1, end)

  @functools.cached_property
  def _begins(self) -> list[int]:
    ends = [found.end() for found in re.finditer('\n', self.text)]
    return [0, *ends]


def _statement(tokens: list[Token], header: Statement | None) -> Statement:
  start, end = tokens[0].start, tokens[-1].end
  first, second = tokens[0], tokens[1] if len(tokens) > 1 else None

  def make(kind, name, value, parts, block=None):
    return Statement(
      start, end, kind, name, value, tuple(parts), tuple(tokens), block
    )

  if first.text == 'include':
    parts = [_file(each) for each in tokens[1:2] if each.kind == 'string']
    return make('include', second or first, None, parts)
  if first.text in ('import', 'from'):
    parts = _modules(tokens)
    return make('import', parts[0] if parts else first, None, parts)
  if first.kind == 'name' and second and second.text == '=':
    value = Range(tokens[2].start, end) if len(tokens) > 2 else None
    parts = [*_left_side(first, header), *_value_parts(tokens[2:])]
    return make('binding', first, value, parts, header)
  if first.kind == 'name' and second and second.text == ':':
    parts = [*_scoped('component', first, first.text)]
    return make('block' if len(tokens) == 2 else 'unknown', first, None, parts)
  parts = [*_left_side(first, header)] if first.kind == 'name' else []
  return make('unknown', first, None, parts, header)


def _file(token: Token) -> Part:
  start, end = token.start, token.end
  quote = re.match(r'[rRbBuU]*(\'{3}|"{3}|\'|")', token.text)
  start += quote.end()
  if token.text.endswith(quote[1]) and end - len(quote[1]) >= start:
    end -= len(quote[1])
  text = token.text[start - token.start : end - token.start]
  return Part(start, end, 'file', text)


def _modules(tokens: list[Token]) -> list[Part]:
  names = [each for each in tokens[1:] if each.kind == 'name']
  if not names:
    return []
  if tokens[0].text == 'import':
    return [Part(names[0].start, names[0].end, 'module', names[0].text)]
  last = next(
    (b for a, b in itertools.pairwise(names) if a.text == 'import'),
    names[0],
  )
  text = names[0].text if last is names[0] else f'{names[0].text}.{last.text}'
  return [Part(names[0].start, last.end, 'module', text)]


def _left_side(token: Token, header: Statement | None) -> Iterator[Part]:
  if header:
    yield Part(token.start, token.end, 'parameter', token.text)
    return
  component, dot, parameter = token.text.rpartition('.')
  if not dot:
    yield Part(token.start, token.end, 'macro', token.text)
    return
  yield from _scoped('component', token, component)
  start = token.end - len(parameter)
  yield Part(start, token.end, 'parameter', parameter)


def _scoped(
  kind: str, token: Token, name: str, is_reference: bool = False
) -> Iterator[Part]:
  """Yields the scope and the component of a name at the begin of a token."""
  scope, slash, component = name.rpartition('/')
  start = token.start
  if slash:
    yield Part(start, start + len(scope), 'scope', scope, is_reference)
    start += len(scope) + 1
  end = start + len(component)
  yield Part(start, end, kind, component, is_reference)


def _value_parts(tokens: list[Token]) -> Iterator[Part]:
  for sign, name in itertools.pairwise(tokens):
    if name.kind != 'name' or name.start != sign.end:
      continue
    if sign.text == '@':
      yield from _scoped('component', name, name.text, is_reference=True)
    elif sign.text == '%':
      yield Part(name.start, name.end, 'macro', name.text, is_reference=True)
