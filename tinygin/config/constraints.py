"""Checks and describes values by the annotations of parameters.

A parameter declares its type, range and choices in its annotation, with the
constraints of the package `annotated_types`:

  levels: Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1, 3)]
  padding: Literal['same', 'valid']

Every configuration is checked against these, and the reference prints them:

  levels must be 1 to 3 positive integers. Received: levels=(3, 0).
"""

import dataclasses
import inspect
import math
import numbers
import operator
import re
import types
import typing
from collections import abc
from collections.abc import Callable
from typing import Annotated
from typing import Any
from typing import Literal
from typing import Union

import annotated_types
from annotated_types import Ge
from annotated_types import Gt
from annotated_types import Le
from annotated_types import Lt
from annotated_types import MaxLen
from annotated_types import MinLen
from annotated_types import MultipleOf


@dataclasses.dataclass(frozen=True)
class Condition(annotated_types.Predicate):
  """A condition that no other constraint expresses, and its description.

  Attributes:
    func: whether a value meets the condition.
    words: what follows the type: `a string` *of letters and digits*.
  """

  words: str


class Supplies:
  """Names the arguments that the program passes when it calls a reference.

  A parameter `Annotated[Callable[..., Optimizer], Supplies('learning_rate')]`
  takes `@keras.optimizers.Adam`, and the program calls it with
  `learning_rate=`. A configuration cannot bind such arguments.
  """

  def __init__(self, *names: str):
    self.names = names


# Marks a parameter that can change when a run is continued.
CONTINUABLE = object()


# The checks of annotated-types, and their descriptions.
_RULES: dict[type, tuple[Callable[[Any, Any], bool], str]] = {
  Ge: (operator.ge, 'at least'),
  Gt: (operator.gt, 'above'),
  Le: (operator.le, 'at most'),
  Lt: (operator.lt, 'below'),
  MultipleOf: (lambda value, factor: value % factor == 0, 'divisible by'),
  MinLen: (lambda value, length: len(value) >= length, 'at least'),
  MaxLen: (lambda value, length: len(value) <= length, 'at most'),
}
_NOUNS = {
  int: ('an integer', 'integers'),
  float: ('a number', 'numbers'),
  str: ('a string', 'strings'),
  bool: ('True or False', 'booleans'),
}
_SEQUENCES = (list, tuple, abc.Sequence, abc.Collection, abc.Iterable)
_MAPPINGS = (dict, abc.Mapping)
_ANYTHING = (Any, object, inspect.Parameter.empty)


def members(annotation: Any) -> list[tuple[Any, tuple[Any, ...]]]:
  """Returns the types of a union, each with the metadata that apply to it."""
  origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
  if origin is Annotated:
    base, *metadata = arguments
    return [(each, (*own, *metadata)) for each, own in members(base)]
  if origin in (Union, types.UnionType):
    return [each for one in arguments for each in members(one)]
  return [(annotation, ())]


def element(annotation: Any, index: int) -> Any:
  """Returns the annotation of an element of a sequence or mapping."""
  for base, _ in members(annotation):
    known = [each for each in typing.get_args(base) if each is not Ellipsis]
    if known and typing.get_origin(base) in (*_SEQUENCES, *_MAPPINGS):
      return known[min(index, len(known) - 1)]
  return Any


def choices(annotation: Any) -> list[str]:
  """Returns the strings that an annotation lists as choices."""
  return [
    each
    for base, _ in members(annotation)
    if typing.get_origin(base) is Literal
    for each in typing.get_args(base)
    if isinstance(each, str)
  ]


def is_continuable(annotation: Any) -> bool:
  """Whether the annotation contains `CONTINUABLE`."""
  return any(CONTINUABLE in metadata for _, metadata in members(annotation))


def is_numeric(annotation: Any) -> bool:
  """Whether all values but None are numbers, or all are booleans."""
  kinds = set()
  for base, _ in members(annotation):
    is_choice = typing.get_origin(base) is Literal
    kinds |= set(map(type, typing.get_args(base))) if is_choice else {base}
  kinds = {float if each is int else each for each in kinds}
  return kinds - {None, type(None)} in ({bool}, {float})


def as_declared(value: Any, annotation: Any) -> Any:
  """Turns a list into a tuple if the annotation has a tuple but no list."""
  origins = {typing.get_origin(base) or base for base, _ in members(annotation)}
  if isinstance(value, list) and tuple in origins and list not in origins:
    return tuple(value)
  return value


def is_nominal(base: Any) -> bool:
  """Whether `isinstance` can check that a value has a type."""
  return (
    isinstance(base, type) and base not in _ANYTHING and not is_protocol(base)
  )


def is_protocol(base: Any) -> bool:
  """Whether a type is a `typing.Protocol`."""
  return isinstance(base, type) and getattr(base, '_is_protocol', False)


def provides(value: Any, protocol: type) -> bool:
  """Whether a value or a class has the attributes of a protocol."""
  fields = getattr(value, '__dataclass_fields__', ())
  return all(
    hasattr(value, name) or name in fields
    for base in protocol.__mro__
    if is_protocol(base)
    for name in vars(base)
    if name == '__call__' or name[0] != '_'
  )


def matches(value: Any, annotation: Any) -> bool:
  """Whether a value fits an annotation: its type, range, choices and length.

  An int fits a float, and a list fits a tuple. A bool does not fit an int.
  Numbers must be finite. References to components have a method `fits(type)`
  that answers for them.
  """
  return any(_fits(value, *member) for member in members(annotation))


def _fits(value: Any, base: Any, metadata: tuple[Any, ...]) -> bool:
  if hasattr(value, 'fits'):
    is_choice = typing.get_origin(base) is Literal
    kinds = map(type, typing.get_args(base)) if is_choice else [base]
    return any(map(value.fits, kinds))
  absent = value is None and base in (None, type(None))
  return _has_type(value, base) and (
    absent or all(_accepts(each, value) for each in _flat(metadata))
  )


def _flat(metadata: tuple[Any, ...]) -> list[annotated_types.BaseMetadata]:
  """Returns the constraints, with those that `Interval` and `Len` contain."""
  grouped = annotated_types.GroupedMetadata
  return [
    single
    for each in metadata
    for single in (each if isinstance(each, grouped) else [each])
    if isinstance(single, annotated_types.BaseMetadata)
  ]


def _accepts(constraint: Any, value: Any) -> bool:
  if isinstance(constraint, annotated_types.Predicate):
    return bool(constraint.func(value))
  holds, _ = _RULES.get(type(constraint), (None, ''))
  return not holds or holds(value, *dataclasses.astuple(constraint))


def _has_type(value: Any, base: Any) -> bool:
  origin, arguments = typing.get_origin(base) or base, typing.get_args(base)
  if origin is Literal:
    return (type(value), value) in [(type(x), x) for x in arguments]
  if origin in _SEQUENCES:
    if isinstance(value, str | bytes) or not isinstance(value, abc.Sequence):
      return False
    fixed = origin is tuple and arguments and Ellipsis not in arguments
    return not (fixed and len(value) != len(arguments)) and all(
      matches(item, element(base, index)) for index, item in enumerate(value)
    )
  if origin in _MAPPINGS:
    return isinstance(value, abc.Mapping) and all(
      matches(key, element(base, 0)) and matches(item, element(base, 1))
      for key, item in value.items()
    )
  if origin in (int, float):
    kind = numbers.Integral if origin is int else numbers.Real
    return (
      isinstance(value, kind)
      and not isinstance(value, bool)
      and math.isfinite(value)
    )
  if origin is abc.Callable:
    return callable(value)
  if is_protocol(origin):
    return provides(value, origin)
  return not is_nominal(origin) or isinstance(value, origin)


def describe(annotation: Any, plural: bool = False) -> str:
  """Describes the values of a parameter: `1 to 3 positive integers`."""
  *others, last = (_phrase(*each, plural) for each in members(annotation))
  if not others:
    return last
  comma = ',' if ', as @' in others[-1] else ''
  return f'{", ".join(others)}{comma} or {last}'


def _phrase(base: Any, metadata: tuple[Any, ...], plural: bool) -> str:
  origin, arguments = typing.get_origin(base) or base, typing.get_args(base)
  if base in (None, type(None)):
    return 'None'
  if origin is Literal:
    return f'one of {", ".join(map(repr, arguments))}'
  constraints = _flat(metadata)
  if origin in _SEQUENCES:
    return _sequence_phrase(base, constraints)
  if origin in _MAPPINGS:
    contents = [describe(each, plural=True) for each in arguments]
    return f'a dictionary from {" to ".join(contents)}'.removesuffix(' from ')
  noun = _noun(origin, arguments, plural)
  positive = Ge(1) if origin is int else Gt(0)
  if constraints in ([positive], [Gt(0)], [Ge(0)]):
    adjective = 'non-negative' if constraints == [Ge(0)] else 'positive'
    return f'{"" if plural else "a "}{adjective} {noun.split()[-1]}'
  return f'{noun} {_conditions(constraints)}'.strip()


def _conditions(constraints: list[Any]) -> str:
  """Describes constraints: `at least 0 and below 1`, `from 0 to 1`."""
  words = []
  for each in constraints:
    if isinstance(each, annotated_types.Predicate):
      name = getattr(each.func, '__name__', repr(each.func))
      words.append(getattr(each, 'words', name))
    elif type(each) in _RULES:
      words.append(f'{_RULES[type(each)][1]} {dataclasses.astuple(each)[0]}')
  text = ' and '.join(words)
  return re.sub(r'^at least (\S+) and at most (\S+)$', r'from \1 to \2', text)


def _sequence_phrase(base: Any, constraints: list[Any]) -> str:
  arguments = [each for each in typing.get_args(base) if each is not Ellipsis]
  if len(set(arguments)) > 1:
    return f'({", ".join(map(describe, arguments))})'
  lengths = [each for each in constraints if isinstance(each, MinLen | MaxLen)]
  length = _conditions(lengths).removeprefix('from ') or 'a sequence of'
  if len(arguments) > 1:
    length = str(len(arguments))
  length = re.sub(r'^(\d+) to \1$', r'\1', length)
  others = _conditions([each for each in constraints if each not in lengths])
  return f'{length} {describe(element(base, 0), plural=True)} {others}'.strip()


def _noun(origin: Any, arguments: tuple[Any, ...], plural: bool) -> str:
  if origin in _NOUNS:
    return _NOUNS[origin][plural]
  if origin is abc.Callable:
    return _callable_noun(arguments, plural)
  if is_nominal(origin) or is_protocol(origin):
    return f'{_class(origin, plural)}, as @name()'
  return 'values' if plural else 'a value'


def _callable_noun(arguments: tuple[Any, ...], plural: bool) -> str:
  results = [base for base, _ in members(arguments[-1])] if arguments else []
  kinds = [_class(each, plural) for each in results if is_nominal(each)]
  kind = ' or '.join(kinds)
  if arguments and arguments[0] is not Ellipsis:
    returns = f' returning {kind}' if kind else ''
    noun = 'functions' if plural else 'a function'
    return f'{noun}{returns}, as @function or @Class()'
  noun = 'references' if plural else 'a reference'
  return f'{noun}{f" to {kind}" if kind else ""}, as @name'


def _class(base: type, plural: bool) -> str:
  article = 'an' if base.__name__[0] in 'AEIOUaeiou' else 'a'
  return f'{base.__name__}s' if plural else f'{article} {base.__name__}'


def fault(name: str, value: Any, annotation: Any, where: str = '') -> str:
  """Returns the message about a value that does not fit."""
  origins = {typing.get_origin(base) for base, _ in members(annotation)}
  is_part = origins & set(_SEQUENCES) and not isinstance(value, abc.Iterable)
  hint = f' One element is written ({value!r},).' if is_part else ''
  place = f' at {where}' if where else ''
  return (
    f'{name} must be {describe(annotation)}. '
    f'Received: {name}={value!r}{place}.{hint}'
  )
