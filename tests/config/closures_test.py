"""Components are called with their own values, and errors name them."""

import inspect
import threading

from absl.testing import absltest
from absl.testing import parameterized

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tinygin.config import closures

_SCALE = f'{COMPLETE}train.scale = @scale\nscale.factor = '


class CallTest(config_case.ConfigCase):
  def test_a_later_configuration_changes_nothing(self):
    text = f'{_SCALE}2\ntrain.maker = @fast/Adam\nfast/Adam.learning_rate = 1\n'
    first = self.load(text).build()
    second = self.load(text, ['scale.factor = 3; Adam.beta = 0.5']).build()
    third = self.load(_SCALE + '5', ['Adam.beta = 0.1']).build()
    self.assertEqual(
      [each.scale(1.0) for each in (first, second, third)], [2.0, 3.0, 5.0]
    )
    self.assertEqual([first.maker().beta, second.maker().beta], [0.9, 0.5])

  def test_two_configurations_on_two_threads(self):
    scales = [self.load(f'{_SCALE}{n}').build().scale for n in (2, 3)]
    barrier, results = threading.Barrier(2), [[], []]

    def call(index):
      barrier.wait()
      results[index] += [scales[index](1.0) for _ in range(1000)]

    threads = [threading.Thread(target=call, args=(n,)) for n in (0, 1)]
    for each in threads:
      each.start()
    for each in threads:
      each.join()
    self.assertEqual(results, [[2.0] * 1000, [3.0] * 1000])

  def test_arguments_win_over_bound_values(self):
    self.write('free.py', 'def add(a, b=0): return (a, b)\n')
    text = f'import free\n{COMPLETE}train.extra = @free.add\nfree.add.a = 1\n'
    add = self.load(f'{text}free.add.b = 2').build().extra
    self.assertEqual([add(), add(5), add(5, 6), add(b=7)],
                     [(1, 2), (5, 2), (5, 6), (1, 7)])  # fmt: skip

  def test_signature_accepts_calls_without_bound_values(self):
    scale = self.load(f'{_SCALE}2').build().scale
    inspect.signature(scale).bind(1.0)
    self.assertEqual(scale.__name__, 'scale')

  def test_called_references_are_built_for_each_call(self):
    self.write('boxes.py', 'def box(items): return items\n')
    text = f'import boxes\n{COMPLETE}train.extra = @boxes.box\n'
    box = (
      self.load(f'{text}boxes.box.items = [@Network(), {{1: [2]}}]')
      .build()
      .extra
    )
    first, second = box(), box()
    self.assertEqual(first, second)
    for a, b in (
      (first, second),
      (first[0], second[0]),
      (first[1][1], second[1][1]),
    ):
      self.assertIsNot(a, b)

  @parameterized.parameters(
    *('closure', 'function', 'wrapped', 'cached', 'method', 'Own', 'forward'),
    'New',
  )
  def test_functions_of_every_kind(self, name):
    self.write('kinds.py', _KINDS)
    values = f'[@kinds.{name}(), @kinds.other()]'
    text = f'import kinds\n{COMPLETE}train.extra = {values}\n'
    text += f'kinds.{name}.size = 3\nkinds.other.size = 4\n'
    configuration = self.load(text)
    self.assertEqual(configuration.build().extra, [3, 4])
    self.assertEqual(self.load(configuration.text()).build().extra, [3, 4])
    self.assert_faults(
      f'{text}kinds.{name}.sise = 3',
      f'Unknown parameter kinds.{name}.sise at x.gin:16. '
      f'Did you mean kinds.{name}.size?',
    )

  def test_neither_function_nor_class(self):
    self.write('values.py', 'import functools\nf = functools.partial(int, 1)\n')
    with self.assertRaisesRegex(
      config_case.InputError, 'values.f at x.gin:13. It is functools.partial'
    ):
      self.load(f'import values\n{COMPLETE}train.extra = @values.f()')


_KINDS = """
import functools

def make():
  return lambda size: size

def plain(size):
  return size

@functools.wraps(plain)
def wrapped(*args, **kwargs):
  return plain(*args, **kwargs)

closure = make()
other = make()
function = lambda size: size

cached = functools.cache(plain)

def forward(size: 'not a type') -> 'neither':
  return size

class Base:
  def __init__(self, size):
    self.size = size

  def __eq__(self, other):
    return self.size == other

  def own(self, size):
    return size

Own = type('Own', (Base,), dict(
  __init__=lambda self, **kwargs: Base.__init__(self, **kwargs)
))
method = Base(1).own

class New:
  def __new__(cls, size):
    return size
"""


class BuildingTest(config_case.ConfigCase):
  def test_a_constructor_raises_an_error(self):
    configuration = self.load(
      f'{COMPLETE}train.count = @pair()\npair.first = 99\npair.second = 2'
    )
    with self.assertRaisesRegex(
      config_case.InputError,
      '^pair: The sum of first=99 and second is too large.\n'
      '  pair.first is bound at x.gin:13.\n'
      '  pair.second is bound at x.gin:14.$',
    ):
      configuration.build()

  def test_a_constructor_of_a_class_raises_an_error(self):
    self.write('checked.py', _CHECKED)
    text = f'import checked\n{COMPLETE}train.extra = @Checked()\n'
    with self.assertRaisesRegex(
      config_case.InputError, '^Checked: Bad size.\n  Checked.size is bound at '
    ):
      self.load(f'{text}Checked.size = 1').build()

  def test_a_reference_raises_an_error_later(self):
    scale = self.load(f'{_SCALE}0').build().scale
    with self.assertRaisesRegex(
      config_case.InputError,
      '^scale: The factor must not be zero.\n'
      '  scale.factor is bound at x.gin:13.$',
    ):
      with closures.building():
        scale(1.0)
    with self.assertRaisesRegex(ValueError, '^The factor must not be zero.$'):
      scale(1.0)  # During training it is an error of code.

  def test_a_method_raises_an_error(self):
    self.write('rates.py', _RATES)
    text = f'import rates\n{COMPLETE}train.extra = @Rate()\nRate.peak = 1\n'
    rate = self.load(text).build().extra
    with self.assertRaisesRegex(config_case.InputError, '^Rate: No peak.$'):
      with closures.building():
        rate.at(3)

  def test_errors_of_the_program_are_kept(self):
    for error in (ValueError('a'), TypeError('b'), KeyError('c')):
      with self.assertRaises(type(error)):
        with closures.building():
          raise error


_CHECKED = """
import dataclasses
import gin

@gin.register
@dataclasses.dataclass
class Checked:
  size: int

  def __post_init__(self):
    raise ValueError('Bad size.')
"""
_RATES = """
import gin

@gin.register
class Rate:
  def __init__(self, peak):
    self.peak = peak

  def at(self, step):
    raise ValueError('No peak.')
"""


if __name__ == '__main__':
  absltest.main()
