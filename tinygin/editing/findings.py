"""Mistakes in gin files with exact ranges, and how they are printed."""

import dataclasses
import json
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

# The kinds of mistakes.
RULES = {
  'circular': 'A macro, a reference or an include leads back to itself.',
  'component': 'A name means no component, or several.',
  'import': 'A module cannot be imported.',
  'include': 'A file cannot be included.',
  'macro': 'A macro is used but not set.',
  'missing': 'A parameter must be set.',
  'parameter': 'A component has no such parameter.',
  'passed': 'The program passes a parameter, so that it cannot be bound.',
  'repeated': 'A file binds a name twice.',
  'scope': 'A scope has no bindings, or no reference.',
  'syntax': 'A statement cannot be read.',
  'unused': 'A statement has no effect.',
  'value': 'A value has a wrong type, range or length, or is no choice.',
}


@dataclasses.dataclass(frozen=True)
class Edit:
  """The replacement of a range of characters.

  Attributes:
    start: the offset of the first character, from 0.
    end: the offset after the last one.
    text: the new text.
  """

  start: int
  end: int
  text: str


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
  """A mistake.

  Attributes:
    file: the path, relative to the working directory where it is inside.
    line: from 1.
    column: of the first character, from 1.
    end_line: of the last character.
    end_column: after the last character.
    message: what is wrong, what was expected, and what to do.
    rule: a key of `RULES`.
    edit: what corrects the mistake; None where several things could be meant.
  """

  file: str
  line: int
  column: int
  end_line: int
  end_column: int
  message: str
  rule: str
  edit: Edit | None = dataclasses.field(default=None, compare=False)

  def __str__(self) -> str:
    place = f'{self.file}:{self.line}:{self.column}'
    return f'{place}: {self.message} [{self.rule}]'


def as_text(found: Sequence[Finding]) -> str:
  """Returns a line for each finding: `file:line:column: message [rule]`."""
  return ''.join(f'{each}\n' for each in found)


def as_json(found: Sequence[Finding]) -> str:
  """Returns a list of objects with the attributes of `Finding`."""
  return json.dumps([*map(dataclasses.asdict, found)], indent=2) + '\n'


def as_github(found: Sequence[Finding]) -> str:
  """Returns workflow commands, which GitHub shows beside the changed lines."""

  def escape(text: str, characters: str) -> str:
    for each in f'%\r\n{characters}':
      text = text.replace(each, f'%{ord(each):02X}')
    return text

  return ''.join(
    f'::error file={escape(each.file, ":,")},line={each.line},'
    f'endLine={each.end_line},col={each.column},endColumn={each.end_column},'
    f'title={each.rule}::{escape(each.message, "")}\n'
    for each in found
  )


def as_sarif(found: Sequence[Finding]) -> str:
  """Returns a log in the Static Analysis Results Interchange Format, 2.1.0."""
  rules = [
    {'id': name, 'shortDescription': {'text': text}}
    for name, text in RULES.items()
  ]
  log = {
    '$schema': 'https://json.schemastore.org/sarif-2.1.0.json',
    'version': '2.1.0',
    'runs': [
      {
        'tool': {'driver': {'name': 'tinygin lint', 'rules': rules}},
        'columnKind': 'unicodeCodePoints',
        'results': [*map(_sarif_result, found)],
      }
    ],
  }
  return json.dumps(log, indent=2) + '\n'


def _sarif_result(finding: Finding) -> dict[str, Any]:
  region = {
    'startLine': finding.line,
    'startColumn': finding.column,
    'endLine': finding.end_line,
    'endColumn': finding.end_column,
  }
  location = {
    'artifactLocation': {'uri': finding.file.replace('\\', '/')},
    'region': region,
  }
  return {
    'ruleId': finding.rule,
    'level': 'error',
    'message': {'text': finding.message},
    'locations': [{'physicalLocation': location}],
  }


FORMATS: dict[str, Callable[[Sequence[Finding]], str]] = {
  'text': as_text,
  'json': as_json,
  'github': as_github,
  'sarif': as_sarif,
}


def apply(text: str, edits: Sequence[Edit]) -> str:
  """Returns a text with edits; those that overlap earlier ones are left out."""
  begin, parts = 0, []
  for each in sorted(set(edits), key=lambda edit: (edit.start, edit.end)):
    if each.start >= begin:
      parts += [text[begin : each.start], each.text]
      begin = each.end
  return ''.join([*parts, text[begin:]])
