"""Lays out gin files: spaces, empty lines and indentation, nothing else."""

from collections.abc import Iterator

from tinygin.editing import findings
from tinygin.editing import syntax

_INDENT = '  '


def formatted(text: str) -> str:
  """Returns a text with the usual layout.

  One space is around `=`, two are before a comment behind code, none is at the
  end of a line, and blocks are indented by two spaces. There is at most one
  empty line between others. Comments, line breaks and what is inside brackets
  and strings stay.
  """
  parsed = syntax.Text(text)
  result = findings.apply(text, [*_edits(parsed)])
  return result.strip('\n') + '\n' if result.strip('\n') else ''


def _edits(text: syntax.Text) -> Iterator[findings.Edit]:
  equals = {
    each.tokens[1].start for each in text.statements if each.kind == 'binding'
  }
  indents = {each.start: _INDENT for each in text.statements if each.block}
  indents |= {each.start: '' for each in text.statements if not each.block}
  before, empty = None, 0
  for token in (*text.tokens, None):
    start = token.start if token else len(text.text)
    begin = before.end if before else text.text.startswith('\ufeff')
    is_first = before is None or before.kind == 'newline'
    gap = text.text[begin:start]
    if token is None or token.kind == 'newline':
      wanted = ''
      empty = empty + 1 if is_first else 0
    elif is_first:
      wanted = indents.get(start, gap)
      empty = 0
    elif token.kind == 'comment':
      wanted = '  '
    elif start in equals or before.start in equals:
      wanted = ' '
    else:
      wanted = gap
    if gap != wanted and '\\' not in gap:
      yield findings.Edit(begin, start, wanted)
    if token and empty > 1:
      yield findings.Edit(start, token.end, '')
    before = token
