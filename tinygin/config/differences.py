"""Compares the configurations that runs keep in `config.gin`."""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence

import tabulate

from tinygin.config import checking
from tinygin.config import errors
from tinygin.config import printing
from tinygin.config import resolution
from tinygin.config import statements

ABSENT = '—'


@dataclasses.dataclass(frozen=True)
class Difference:
  """A parameter with different values; unbound ones are `ABSENT`."""

  name: str
  values: tuple[str, ...]


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


def differences(*texts: str) -> list[Difference]:
  """Returns the parameters in which configurations differ, in order."""
  return differing([values(text) for text in texts])


def differing(every: Sequence[Mapping[str, str]]) -> list[Difference]:
  """Returns the names whose values differ or are missing in some."""
  names = dict.fromkeys(name for each in every for name in each)
  rows = (
    Difference(name, tuple(each.get(name, ABSENT) for each in every))
    for name in names
  )
  return [row for row in rows if len(set(row.values)) > 1]


def table(rows: Sequence[Difference], headings: Sequence[str]) -> str:
  """Returns a table with a row for each difference."""
  return tabulate.tabulate(
    [(row.name, *row.values) for row in rows],
    headings,
    disable_numparse=True,
  )


def cell(value: object) -> str:
  """Returns a result as table text; floats have four digits."""
  if isinstance(value, float):
    return f'{value:.4g}'
  return ABSENT if value is None else str(value)
