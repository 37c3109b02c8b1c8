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
    func: whether a value fulfils the condition.
    words: follow the type: `a string` *of letters and digits*.
  """

  words: str


class Supplies:
  """On a parameter that takes a reference: what the program itself supplies.

  `Annotated[Callable[..., Optimizer], Supplies('learning_rate')]` takes
  `@keras.optimizers.Adam`, and calls it with `learning_rate=`: a configuration
  need not, and may not, bind it.
  """

  def __init__(self, *names: str):
    self.names = names


# On a parameter that may change when a run is continued.
CONTINUABLE = object()


# The checks of annotated-types, and their descriptions but for lengths.
_RULES: dict[type, tuple[Callable[[Any, Any], bool], str]] = {
  Ge: (operator.ge, 'at least'),
  Gt: (operator.gt, 'above'),
  Le: (operator.le, 'at most'),
  Lt: (operator.lt, 'below'),
  MultipleOf: (lambda value, factor: value % factor == 0, 'divisible by'),
  MinLen: (lambda value, length: len(value) >= length, ''),
  MaxLen: (lambda value, length: len(value) <= length, ''),
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
  """Returns the types of a union, each with the metadata that hold for it."""
  origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
  if origin is Annotated:
    base, *metadata = arguments
    return [(each, (*own, *metadata)) for each, own in members(base)]
  if origin in (Union, types.UnionType):
    return [each for one in arguments for each in members(one)]
  return [(annotation, ())]


def element(annotation: Any, index: int) -> Any:
  """Returns the annotation of a sequence's or a mapping's part."""
  for base, _ in members(annotation):
    known = [each for each in typing.get_args(base) if each is not Ellipsis]
    if known and typing.get_origin(base) in (*_SEQUENCES, *_MAPPINGS):
      return known[min(index, len(known) - 1)]
  return Any


def is_continuable(annotation: Any) -> bool:
  """Whether `CONTINUABLE` stands in the annotation."""
  return any(CONTINUABLE in metadata for _, metadata in members(annotation))


def as_declared(value: Any, annotation: Any) -> Any:
  """Turns a list into a tuple where only a tuple is declared."""
  origins = {typing.get_origin(base) or base for base, _ in members(annotation)}
  if isinstance(value, list) and tuple in origins and list not in origins:
    return tuple(value)
  return value


def is_nominal(base: Any) -> bool:
  """Whether values of a type are instances of it: no protocol, no type var."""
  return (
    isinstance(base, type) and base not in _ANYTHING and not is_protocol(base)
  )


def is_protocol(base: Any) -> bool:
  """Whether a type stands for all that have its attributes and methods."""
  return isinstance(base, type) and getattr(base, '_is_protocol', False)


def provides(value: Any, protocol: type) -> bool:
  """Whether a value, or a class for its instances, has what one asks for."""
  fields = getattr(value, '__dataclass_fields__', ())
  return all(
    hasattr(value, name) or name in fields
    for base in protocol.__mro__
    if is_protocol(base)
    for name in vars(base)
    if name == '__call__' or name[0] != '_'
  )


def matches(value: Any, annotation: Any) -> bool:
  """Whether a value fits an annotation: type, range, choice, length.

  An int is accepted as a float, a list as a tuple; a bool is no int, infinity
  no number. A value with a method `fits(type)` (a reference to a component)
  judges itself.
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
  """Returns the constraints; `Interval` and `Len` as those in them."""
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
  if type(constraint) not in _RULES:
    return True
  holds, _ = _RULES[type(constraint)]
  return holds(value, *dataclasses.astuple(constraint))


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
  """Says in words what a parameter may be: `1 to 3 positive integers`."""
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
  """Describes constraints other than lengths: `at least 0 and below 1`."""
  words = []
  for each in constraints:
    if isinstance(each, annotated_types.Predicate):
      words.append(getattr(each, 'words', each.func.__name__))
    elif phrase := _RULES.get(type(each), (None, ''))[1]:
      words.append(f'{phrase} {dataclasses.astuple(each)[0]}')
  both = re.fullmatch(r'at least (\S+) and at most (\S+)', ' and '.join(words))
  return f'from {both[1]} to {both[2]}' if both else ' and '.join(words)


def _sequence_phrase(base: Any, constraints: list[Any]) -> str:
  arguments = [each for each in typing.get_args(base) if each is not Ellipsis]
  if len(set(arguments)) > 1:
    return f'({", ".join(map(describe, arguments))})'
  length = str(len(arguments)) if len(arguments) > 1 else _length(constraints)
  items = describe(element(base, 0), plural=True)
  phrase = f'{length} {items}' if length else f'a sequence of {items}'
  return f'{phrase} {_conditions(constraints)}'.strip()


def _length(constraints: list[Any]) -> str:
  """Describes the length of a sequence: `at least 1`, `1 to 3`."""
  low = [each.min_length for each in constraints if isinstance(each, MinLen)]
  high = [each.max_length for each in constraints if isinstance(each, MaxLen)]
  if low and high:
    return str(*low) if low == high else f'{low[0]} to {high[0]}'
  return f'at least {low[0]}' if low else f'at most {high[0]}' if high else ''


def _noun(origin: Any, arguments: tuple[Any, ...], plural: bool) -> str:
  if origin in _NOUNS:
    return _NOUNS[origin][plural]
  if origin is abc.Callable:
    return _callable_noun(arguments, plural)
  if origin is type:
    return f'{"classes" if plural else "a class"}, as @name'
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
  """Says that a value does not fit, as `matches` has found."""
  origins = {typing.get_origin(base) for base, _ in members(annotation)}
  is_part = origins & set(_SEQUENCES) and not isinstance(value, abc.Iterable)
  hint = f' One element is written ({value!r},).' if is_part else ''
  place = f' at {where}' if where else ''
  return (
    f'{name} must be {describe(annotation)}. '
    f'Received: {name}={value!r}{place}.{hint}'
  )
