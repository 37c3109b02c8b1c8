"""Every hyperparameter is bound: no component takes one from the code.

A default of None means that something optional is absent.
"""

import inspect

from absl.testing import absltest

from tinygin.config import components
from tinygin.config import errors
from tinygin.config import help_text

_PACKAGES = ('tinygin.', 'beam_pipelines.')


def _constructor(target):
  """Returns whose signature is configured: a class may only inherit one."""
  is_class = isinstance(target, type)
  return inspect.unwrap(target.__init__ if is_class else target)


class ReferenceTest(absltest.TestCase):
  def test_a_component(self):
    self.assertStartsWith(
      help_text.describe('HorizontalFlip'),
      """\
### HorizontalFlip

Flips some of the images from left to right.

| | | expected | bound in |
|---|---|---|---|
| `probability` | """,
    )

  def test_a_component_of_a_library(self):
    self.assertRegex(
      help_text.describe('keras.optimizers.Adam'),
      r'\n\| `use_ema` \| Boolean.* \| True or False \| default: `False` \|\n',
    )

  def test_no_such_component(self):
    with self.assertRaisesRegex(
      errors.InputError,
      '^Unknown component HorizontalFlop. Did you mean HorizontalFlip[?]$',
    ):
      help_text.describe('HorizontalFlop')


class DefaultsTest(absltest.TestCase):
  def test_no_component_has_a_default_but_none(self):
    help_text.import_components()
    ours = [
      each
      for each in components.registered()
      if _constructor(each.wrapped).__module__.startswith(_PACKAGES)
    ]
    self.assertNotEmpty(ours)
    found = [
      f'{each.selector}.{name} = {parameter.default!r}'
      for each in ours
      for name, parameter in components.own_parameters(each.wrapped)
      if parameter.default not in (None, components.EMPTY)
    ]
    self.assertEmpty(found, '\n'.join(['Hidden defaults:', *found]))


if __name__ == '__main__':
  absltest.main()
