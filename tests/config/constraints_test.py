"""Descriptions and checks of ranges, choices and types."""

import collections.abc
import functools
import inspect
import operator
from collections.abc import Callable
from collections.abc import Sequence
from typing import Annotated
from typing import Any
from typing import Literal

from absl.testing import absltest
from absl.testing import parameterized
from annotated_types import Ge
from annotated_types import Gt
from annotated_types import Interval
from annotated_types import Le
from annotated_types import Len
from annotated_types import MultipleOf
from annotated_types import Predicate

from tinygin.config import constraints

_LETTERS = constraints.Condition(str.isalpha, 'of letters')
_NOT_A = Predicate(functools.partial(operator.ne, 'a'))
_ASCENDING = constraints.Condition(
  lambda values: sorted(values) == list(values), 'in ascending order'
)
_LEVELS = Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1, 3)]


class DescribeTest(parameterized.TestCase):
  @parameterized.parameters(
    (int, 'an integer'),
    (float, 'a number'),
    (str | None, 'a string or None'),
    (Any, 'a value'),
    (inspect.Parameter.empty, 'a value'),
    (Annotated[int, Ge(1)], 'a positive integer'),
    (Annotated[int, Ge(0)], 'a non-negative integer'),
    (Annotated[int, Ge(2)], 'an integer at least 2'),
    (Annotated[float, Ge(1)], 'a number at least 1'),
    (Annotated[float, Gt(0)], 'a positive number'),
    (Annotated[float, Interval(ge=0, lt=1)], 'a number at least 0 and below 1'),
    (Annotated[float, Interval(ge=0, le=1)], 'a number from 0 to 1'),
    (Annotated[int, Le(8)] | None, 'an integer at most 8 or None'),
    (Annotated[int | None, Ge(1)], 'a positive integer or None'),
    (Literal['a', 1], "one of 'a', 1"),
    (Annotated[str, _LETTERS], 'a string of letters'),
    (Annotated[tuple[int, int], _ASCENDING], '2 integers in ascending order'),
    (Annotated[int, MultipleOf(4)], 'an integer divisible by 4'),
    (Annotated[str, Predicate(str.islower)], 'a string islower'),
    (Annotated[str, _NOT_A], f'a string {_NOT_A.func!r}'),
    (list[Annotated[float, Gt(0)]], 'a sequence of positive numbers'),
    (_LEVELS, '1 to 3 positive integers'),
    (Annotated[list[float], Len(2)], 'at least 2 numbers'),
    (Annotated[list[str], Len(2, 2)], '2 strings'),
    (tuple[int, int], '2 integers'),
    (tuple[int, str], '(an integer, a string)'),
    (Sequence[str], 'a sequence of strings'),
    (list, 'a sequence of values'),
    (dict[str, int], 'a dictionary from strings to integers'),
    (Callable[..., Any], 'a reference, as @name'),
    (
      Callable[[int], ValueError],
      'a function returning a ValueError, as @function or @Class()',
    ),
    (list[Callable[..., Any]], 'a sequence of references, as @name'),
    (ValueError, 'a ValueError, as @name()'),
    (list[ValueError], 'a sequence of ValueErrors, as @name()'),
  )
  def test_words(self, annotation, words):
    self.assertEqual(constraints.describe(annotation), words)


class MatchesTest(parameterized.TestCase):
  @parameterized.parameters(
    (3, float),
    (3, int | str),
    ([1, 2], tuple[int, ...]),
    ((1, 2), Sequence[int]),
    ((1, 2), _LEVELS),
    ([1, 'a'], tuple[int, str]),
    ({'a': 1}, dict[str, int]),
    ({}, dict),
    (None, Annotated[int | None, Ge(1)]),
    (0.5, Annotated[float, Interval(ge=0, le=1)]),
    ('a', Literal['a']),
    ('ab', Annotated[str, _LETTERS]),
    ([1, 2], Annotated[list[int], _ASCENDING]),
    (8, Annotated[int, MultipleOf(4)]),
    ('a', Annotated[str, Predicate(str.islower), 'other metadata']),
    (print, Callable[..., None]),
    (print, collections.abc.Callable),
    (object(), object),
    (object(), 'a forward reference'),
  )
  def test_accepts(self, value, annotation):
    self.assertTrue(constraints.matches(value, annotation))

  @parameterized.parameters(
    (3.0, int),
    (True, int),
    (True, float),
    (1, bool),
    ('1', float),
    (None, int),
    ('abc', Sequence[str]),
    ((1, 0), _LEVELS),
    ((), _LEVELS),
    ((1, 2, 3, 4), _LEVELS),
    (1, _LEVELS),
    ([1, 2, 3], tuple[int, int]),
    ({'a': 'b'}, dict[str, int]),
    ({1: 1}, dict[str, int]),
    (0, Annotated[int | None, Ge(1)]),
    (1.5, Annotated[float, Interval(ge=0, le=1)]),
    (float('nan'), Annotated[float, Ge(0)]),
    (float('inf'), float),
    ('a1', Annotated[str, _LETTERS]),
    ([2, 1], Annotated[list[int], _ASCENDING]),
    (6, Annotated[int, MultipleOf(4)]),
    ('A', Annotated[str, Predicate(str.islower)]),
    (1, Literal[True]),
    (3, Callable[..., None]),
    (3, ValueError),
  )
  def test_refuses(self, value, annotation):
    self.assertFalse(constraints.matches(value, annotation))


class NumericTest(parameterized.TestCase):
  @parameterized.parameters(
    (int | float | None, True),
    (Annotated[int, Ge(1)] | Literal[0], True),
    (bool | None, True),
    (
      Annotated[Annotated[float, Gt(0)] | Annotated[str, _LETTERS], Ge(1)],
      False,
    ),
    (int | Callable[..., Any] | None, False),
    (Literal['a', 1], False),
    (bool | int, False),
    (str | tuple[int, int], False),
    (None, False),
    (Any, False),
  )
  def test_is_numeric(self, annotation, expected):
    self.assertEqual(constraints.is_numeric(annotation), expected)


if __name__ == '__main__':
  absltest.main()
