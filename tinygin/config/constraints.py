"""Ranges, choices and types of parameters, declared once, in annotations.

A parameter says beside its name what it may be:

  levels: Annotated[tuple[int, ...], Length(1, 3), Each(AtLeast(1))]
  padding: Literal['same', 'valid']

From this come the check of every configuration, the printed reference, and,
by `enforce`, the check of direct calls:

  levels must be 1 to 3 positive integers. Received: levels=(3, 0).
"""

import dataclasses
import functools
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
from typing import Protocol
from typing import TypeVar
from typing import Union

T = TypeVar('T')


class Constraint(Protocol):
  """A condition on a value whose type is already right."""

  def accepts(self, value: Any) -> bool:
    """Whether the value fulfils the condition."""


@dataclasses.dataclass(frozen=True)
class _Bound:
  bound: float

  def accepts(self, value: Any) -> bool:
    """Whether the value is in range."""
    return self.holds(value, self.bound)

  def __str__(self) -> str:
    return f'{self.words} {self.bound}'


class AtLeast(_Bound):
  """`value >= bound`."""

  words, holds = 'at least', staticmethod(operator.ge)


class Above(_Bound):
  """`value > bound`."""

  words, holds = 'above', staticmethod(operator.gt)


class AtMost(_Bound):
  """`value <= bound`."""

  words, holds = 'at most', staticmethod(operator.le)


class Below(_Bound):
  """`value < bound`."""

  words, holds = 'below', staticmethod(operator.lt)


@dataclasses.dataclass(frozen=True)
class Between:
  """`low <= value <= high`."""

  low: float
  high: float

  def accepts(self, value: Any) -> bool:
    """Whether the value is in range."""
    return self.low <= value <= self.high

  def __str__(self) -> str:
    return f'from {self.low} to {self.high}'


@dataclasses.dataclass(frozen=True)
class Written:
  """The whole value matches a regular expression, described by the words."""

  pattern: str
  words: str

  def accepts(self, value: str) -> bool:
    """Whether the value matches."""
    return re.fullmatch(self.pattern, value) is not None

  def __str__(self) -> str:
    return self.words


# A file in a folder, on any system.
FILE_NAME = Written(r'[\w-][\w.-]*', "of letters, digits, '_', '-' and '.'")
# A directory's path, in which the moment is filled in.
TIMED_PATH = Written(r'([^{}]|\{time\})*', 'with no braces but {time}')


@dataclasses.dataclass(frozen=True)
class Length:
  """`low <= len(value) <= high`; no upper limit when `high` is None."""

  low: int
  high: int | None = None

  def accepts(self, value: Any) -> bool:
    """Whether the value has as many elements."""
    high = len(value) if self.high is None else self.high
    return self.low <= len(value) <= high

  def __str__(self) -> str:
    if self.high is None:
      return f'at least {self.low}'
    if self.low == self.high:
      return str(self.low)
    return f'{self.low} to {self.high}'


class Each:
  """Every element of the value fulfils all the given constraints."""

  def __init__(self, *constraints: Constraint):
    self.constraints = constraints

  def accepts(self, value: Any) -> bool:
    """Whether every element, references apart, fulfils every constraint."""
    items = [item for item in value if not hasattr(item, 'fits')]
    return all(
      each.accepts(item) for item in items for each in self.constraints
    )


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
    absent or all(each.accepts(value) for each in _constraints(metadata))
  )


def _constraints(metadata: tuple[Any, ...]) -> list[Constraint]:
  return [each for each in metadata if hasattr(each, 'accepts')]


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
  constraints = _constraints(metadata)
  if origin in _SEQUENCES:
    return _sequence_phrase(base, constraints)
  if origin in _MAPPINGS:
    contents = [describe(each, plural=True) for each in arguments]
    return f'a dictionary from {" to ".join(contents)}'.removesuffix(' from ')
  noun = _noun(origin, arguments, plural)
  if len(constraints) == 1:
    one = constraints[0]
    positive = one == Above(0) or (origin is int and one == AtLeast(1))
    if positive or one == AtLeast(0):
      adjective = 'positive' if positive else 'non-negative'
      return f'{"" if plural else "a "}{adjective} {noun.split()[-1]}'
  return f'{noun} {" and ".join(map(str, constraints))}'.strip()


def _sequence_phrase(base: Any, constraints: list[Constraint]) -> str:
  arguments = [each for each in typing.get_args(base) if each is not Ellipsis]
  if len(set(arguments)) > 1:
    return f'({", ".join(map(describe, arguments))})'
  items = element(base, 0)
  for each in constraints:
    if isinstance(each, Each):
      items = Annotated[items, *each.constraints]
  lengths = [str(each) for each in constraints if isinstance(each, Length)]
  if len(arguments) > 1:
    lengths = [str(len(arguments))]
  others = [
    str(each) for each in constraints if not isinstance(each, Each | Length)
  ]
  phrase = f'{" ".join(lengths) or "a sequence of"} {describe(items, True)}'
  return ' '.join([phrase, *others])


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


def enforce(component: T) -> T:
  """Decorator: checks the annotated arguments of every direct call.

  Only arguments whose annotation holds constraints or choices are checked.
  Stands below `@gin.register`. A class is changed in place and returned.

  Args:
    component: A function, or a class whose constructor is checked.

  Returns:
    The checked function, or the same class.
  """
  if isinstance(component, type):
    component.__init__ = _checked(component.__init__)
    return component
  return _checked(component)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
  signature = inspect.signature(function)

  @functools.cache
  def constrained() -> dict[str, Any]:
    hints = typing.get_type_hints(function, include_extras=True)
    return {
      name: hint
      for name, hint in hints.items()
      if any(
        _constraints(metadata) or typing.get_origin(base) is Literal
        for base, metadata in members(hint)
      )
    }

  @functools.wraps(function)
  def wrapper(*args: Any, **kwargs: Any) -> Any:
    try:
      arguments = signature.bind(*args, **kwargs).arguments
    except TypeError:
      return function(*args, **kwargs)  # Raises Python's own message.
    for name, annotation in constrained().items():
      if name in arguments and not matches(arguments[name], annotation):
        raise ValueError(fault(name, arguments[name], annotation))
    return function(*args, **kwargs)

  # gin reads signatures without following __wrapped__.
  wrapper.__signature__ = signature
  return wrapper
