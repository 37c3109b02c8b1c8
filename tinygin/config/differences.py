"""Compares the configurations that runs keep in `config.gin`."""

from collections.abc import Mapping
from collections.abc import Sequence

import tabulate

from tinygin.config import checking
from tinygin.config import errors
from tinygin.config import printing
from tinygin.config import resolution
from tinygin.config import statements

ABSENT = '—'
# Tables with more columns are transposed.
_MOST_COLUMNS = 6
# The values of each name in several configurations; unbound ones are `ABSENT`.
Rows = dict[str, tuple[str, ...]]


def values(text: str, source: str = 'config.gin') -> dict[str, str]:
  """Returns the value of every parameter in a `config.gin`.

  Nothing is imported: names in the text are full names, which mean the same in
  every configuration.

  Args:
    text: what `Configuration.text` returned.
    source: name of the text in messages.

  Returns:
    From `component.parameter` to the value as gin writes it, without macros.

  Raises:
    InputError: the text is not such a configuration.
  """
  document = statements.Document()
  for each in statements.parse(text, statements.Place(source)):
    if isinstance(each, statements.Fault):
      document.faults.append(each)
    elif isinstance(each, statements.Binding):
      document.bindings.append(each)
  document.faults += checking.circular_macros(document)
  document.faults += checking.unknown_macros(document)
  if document.faults:
    raise errors.InputError('\n'.join(map(str, document.faults)))

  def resolve(value: object) -> object:
    if isinstance(value, statements.Macro):
      return resolve(document.macros[value.name][-1].value)
    return resolution.transform(value, resolve)

  return {
    each.name: printing.format_value(resolve(each.value))
    for each in document.bindings
    if each.component
  }


def differing(*every: Mapping[str, str]) -> Rows:
  """Returns the names whose values differ or are missing in some, in order."""
  names = dict.fromkeys(name for each in every for name in each)
  rows = {
    name: tuple(each.get(name, ABSENT) for each in every) for name in names
  }
  return {name: row for name, row in rows.items() if len(set(row)) > 1}


def table(rows: Mapping[str, Sequence[str]], headings: Sequence[str]) -> str:
  """Returns a table with a row for each name, or a column if rows are long."""
  lines = [headings, *((name, *row) for name, row in rows.items())]
  if len(headings) > _MOST_COLUMNS:
    lines = [*zip(*lines, strict=True)]
  return tabulate.tabulate(lines[1:], lines[0], disable_numparse=True)


def cell(value: object) -> str:
  """Returns a result as table text; floats have four digits."""
  if isinstance(value, float):
    return f'{value:.4g}'
  return ABSENT if value is None else str(value)
