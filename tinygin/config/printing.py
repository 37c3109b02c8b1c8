"""Prints configurations: for replay, for readers, for machines."""

import pprint
from collections.abc import Iterator
from typing import Any

from tinygin.config import components
from tinygin.config import resolution
from tinygin.config import statements

_WIDTH = 80


def config_text(
  document: statements.Document, program: resolution.Program
) -> str:
  """Returns a gin file without includes that has the same meaning.

  Macros are kept, so that a replay can override them. Components that only
  overridden references used are left out. Components outside the project have
  their full names, because another configuration may import a different
  component under a short name.
  """
  names: dict[statements.Binding, str] = {}
  macros: dict[str, statements.Binding] = {}
  for node in program.nodes.values():
    for name, argument in node.arguments.items():
      binding = argument.binding
      scope = f'{binding.scope}/' if binding.scope else ''
      key = f'{scope}{node.component.full_name}.{name}'
      names.setdefault(binding, key)
      for definition in program.definitions(binding)[1:]:
        macros.setdefault(definition.name, definition)

  def statement(name: str, binding: statements.Binding) -> str:
    value = program.with_full_names(binding.value)
    return f'{name} = {format_value(value, len(name) + 3)}'

  lines = [*dict.fromkeys(f'import {each.module}' for each in document.imports)]
  lines += ['', *(statement(each.name, each) for each in macros.values())]
  group = None
  for binding, key in names.items():
    component = key.rpartition('.')[0]
    if component != group:
      lines += ['', f'# {component}']
      group = component
    lines.append(statement(key, binding))
  return '\n'.join(lines).strip('\n').replace('\n\n\n', '\n\n') + '\n'


def format_value(value: Any, indent: int = 0) -> str:
  """Returns a value as gin text, wrapped at 80 columns."""
  width = max(_WIDTH - indent, _WIDTH // 2)
  text = pprint.pformat(value, width=width, sort_dicts=False)
  return text.replace('\n', '\n' + ' ' * indent)


def records(program: resolution.Program) -> Iterator[dict[str, Any]]:
  """Yields a JSON object for each parameter that has a value.

  Yields:
    `component`, `parameter`, `numeric` (whether all values but None are numbers
    or booleans), `value`, `text` (as in gin) and `source`: the place that set
    the value, or `default`. Bound parameters also have `bound_at`,
    `included_at`, `macros` (names of the macros used) and `over` (overridden
    values).
  """
  for node in program.nodes.values():
    supplied = node.supplied
    for name, parameter in node.component.parameters.items():
      record = {
        'component': node.name,
        'parameter': name,
        'numeric': parameter.is_numeric,
      }
      argument = node.arguments.get(name)
      if argument:
        yield record | _bound(argument)
      elif name not in supplied and parameter.default is not components.EMPTY:
        default = parameter.default
        yield record | {
          'value': _json_value(default),
          'text': repr(default),
          'source': 'default',
        }


def _bound(argument: resolution.Argument) -> dict[str, Any]:
  place = argument.setter.place
  return {
    'value': _json_value(argument.value),
    'text': repr(argument.value),
    'source': str(place),
    'included_at': list(place.chain),
    'macros': [each.name for each in argument.macros],
    'bound_at': str(argument.binding.place),
    'over': [
      {'source': str(each.place), 'text': repr(each.value)}
      for each in argument.overridden
    ],
  }


def _json_value(value: Any) -> Any:
  """Replaces the keys in a value that JSON cannot express by their text."""
  if isinstance(value, dict):
    value = {str(key): each for key, each in value.items()}
  return resolution.transform(value, _json_value)


def explained(program: resolution.Program) -> str:
  """Returns all parameters by component, with the places that set them."""
  groups: dict[str, list[dict[str, Any]]] = {
    node.name: [] for node in program.nodes.values()
  }
  for record in records(program):
    groups[record['component']].append(record)
  return '\n'.join(_group(*each) for each in groups.items())


def _group(component: str, group: list[dict[str, Any]]) -> str:
  is_absent = {'source': 'default', 'value': None}.items()
  absent = [each['parameter'] for each in group if is_absent <= each.items()]
  rows = [
    (f'{component}.{each["parameter"]} = {each["text"]}', _origin(each))
    for each in group
    if each['parameter'] not in absent
  ]
  width = max((len(left) for left, _ in rows if len(left) <= 50), default=0)
  lines = [f'# {component}']
  lines += [f'{left:{width}}   {right}' for left, right in rows]
  if absent:
    lines.append(f'# absent: {", ".join(absent)}')
  return '\n'.join(lines) + '\n'


def _origin(record: dict[str, Any]) -> str:
  """Says what set a value: `--lr (LEARNING_RATE), over gin/x.gin:3 (1)`."""
  if record['source'] == 'default':
    return 'default in code'
  macro = f' ({record["macros"][-1]})' if record['macros'] else ''
  words = [' < '.join([record['source'] + macro, *record['included_at']])]
  words += [
    f'over {each["source"]} ({each["text"]})' for each in record['over']
  ]
  if macro:
    words.append(f'used at {record["bound_at"]}')
  return ', '.join(words)
