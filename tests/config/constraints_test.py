"""Ranges, choices and types, in words and in checks."""

import collections.abc
import dataclasses
import inspect
from collections.abc import Callable
from collections.abc import Sequence
from typing import Annotated
from typing import Any
from typing import Literal

from absl.testing import absltest
from absl.testing import parameterized

from tinygin.config import constraints
from tinygin.config.constraints import Above
from tinygin.config.constraints import AtLeast
from tinygin.config.constraints import AtMost
from tinygin.config.constraints import Below
from tinygin.config.constraints import Between
from tinygin.config.constraints import Each
from tinygin.config.constraints import Length

_LEVELS = Annotated[tuple[int, ...], Length(1, 3), Each(AtLeast(1))]


class DescribeTest(parameterized.TestCase):
  @parameterized.parameters(
    (int, 'an integer'),
    (float, 'a number'),
    (str | None, 'a string or None'),
    (Any, 'a value'),
    (inspect.Parameter.empty, 'a value'),
    (Annotated[int, AtLeast(1)], 'a positive integer'),
    (Annotated[int, AtLeast(0)], 'a non-negative integer'),
    (Annotated[int, AtLeast(2)], 'an integer at least 2'),
    (Annotated[float, AtLeast(1)], 'a number at least 1'),
    (Annotated[float, Above(0)], 'a positive number'),
    (Annotated[float, AtLeast(0), Below(1)], 'a number at least 0 and below 1'),
    (Annotated[float, Between(0, 1)], 'a number from 0 to 1'),
    (Annotated[int, AtMost(8)] | None, 'an integer at most 8 or None'),
    (Annotated[int | None, AtLeast(1)], 'a positive integer or None'),
    (Literal['a', 1], "one of 'a', 1"),
    (
      Annotated[str, constraints.FILE_NAME],
      "a string of letters, digits, '_', '-' and '.'",
    ),
    (
      Annotated[str, constraints.TIMED_PATH],
      'a string with no braces but {time}',
    ),
    (_LEVELS, '1 to 3 positive integers'),
    (Annotated[list[float], Length(2)], 'at least 2 numbers'),
    (Annotated[list[str], Length(2, 2)], '2 strings'),
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
    (type[int], 'a class, as @name'),
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
    (None, Annotated[int | None, AtLeast(1)]),
    (0.5, Annotated[float, Between(0, 1)]),
    ('a', Literal['a']),
    ('a-1.b_c', Annotated[str, constraints.FILE_NAME]),
    ('a/{time}-{time}', Annotated[str, constraints.TIMED_PATH]),
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
    (0, Annotated[int | None, AtLeast(1)]),
    (1.5, Annotated[float, Between(0, 1)]),
    (float('nan'), Annotated[float, AtLeast(0)]),
    (float('inf'), float),
    ('', Annotated[str, constraints.FILE_NAME]),
    ('a/b', Annotated[str, constraints.FILE_NAME]),
    ('a/{tim}', Annotated[str, constraints.TIMED_PATH]),
    ('a/{time', Annotated[str, constraints.TIMED_PATH]),
    ('..', Annotated[str, constraints.FILE_NAME]),
    (1, Literal[True]),
    (3, Callable[..., None]),
    (3, ValueError),
  )
  def test_refuses(self, value, annotation):
    self.assertFalse(constraints.matches(value, annotation))


@constraints.enforce
def _scaled(x, levels: _LEVELS, rate: Annotated[float, Above(0)] = 1.0):
  return x, levels, rate


@constraints.enforce
@dataclasses.dataclass(frozen=True)
class _Block:
  width: Annotated[int, AtLeast(1)] | None
  name: str
  padding: Literal['same', 'valid'] = 'same'


class EnforceTest(absltest.TestCase):
  def test_message(self):
    with self.assertRaises(ValueError) as caught:
      _scaled(1, (3, 0))
    self.assertEqual(
      str(caught.exception),
      'levels must be 1 to 3 positive integers. Received: levels=(3, 0).',
    )

  def test_right_arguments_pass(self):
    self.assertEqual(_scaled(1, levels=[2], rate=3), (1, [2], 3))
    self.assertEqual(_Block(None, 'a').name, 'a')

  def test_class(self):
    with self.assertRaisesRegex(
      ValueError, r'width must be a positive integer or None. .* width=0\.'
    ):
      _Block(0, name='a')
    with self.assertRaisesRegex(ValueError, "padding must be one of 'same', "):
      _Block(1, 'a', padding='Same')

  def test_pythons_own_errors_stay(self):
    with self.assertRaisesRegex(TypeError, "missing 1 required .* 'levels'"):
      _scaled(1)

  def test_signature_stays(self):
    names = inspect.getfullargspec(_scaled).args
    self.assertEqual(names, ['x', 'levels', 'rate'])


if __name__ == '__main__':
  absltest.main()
