"""Properties of every configuration."""

import json

import hypothesis
from absl.testing import absltest
from hypothesis import strategies as st

from tests.config import config_case
from tinygin.config import differences
from tinygin.config import printing
from tinygin.config import statements

_PLACE = statements.Place('x.gin')
_NAMES = st.sampled_from(['a', 'Net', 'mod.Net', 'big/Net', 'a/b/mod.Net'])
_INTEGERS = st.integers(1 - 2**63, 2**63 - 1)
_LEAVES = st.one_of(
  st.none(),
  st.booleans(),
  _INTEGERS,
  st.floats(allow_nan=False, allow_infinity=False),
  st.text(),
  st.binary(),
  st.builds(statements.Reference, _NAMES, st.booleans()),
  st.builds(statements.Macro, st.sampled_from(['A', 'RATE', 'a/RATE'])),
)
_VALUES = st.recursive(
  _LEAVES,
  lambda inner: st.one_of(
    st.lists(inner),
    st.lists(inner).map(tuple),
    st.dictionaries(st.one_of(st.text(), _INTEGERS), inner),
  ),
)
_SETTINGS = hypothesis.settings(
  deadline=None, max_examples=200, derandomize=True
)

# Possible values of a parameter as text; the value of the macro is 7.
_COUNTS = st.sampled_from(['1', '2', '%COUNT'])
_SOURCES = st.lists(
  st.dictionaries(st.sampled_from(['train.count', 'train.epochs']), _COUNTS),
  min_size=1,
  max_size=4,
)


class PropertiesTest(config_case.ConfigCase):
  @_SETTINGS
  @hypothesis.given(_VALUES, st.integers(0, 70))
  def test_parse_print_parse_is_the_identity(self, value, indent):
    name = 'c.' + 'p' * (indent + 1)
    text = f'{name} = {printing.format_value(value, len(name) + 3)}\n'
    (parsed,) = statements.parse(text, _PLACE)
    self.assertEqual(parsed.value, value)
    self.assertEqual(type(parsed.value), type(value))
    again = printing.format_value(parsed.value, len(name) + 3)
    self.assertEqual(text, f'{name} = {again}\n')

  @_SETTINGS
  @hypothesis.given(st.lists(_VALUES, min_size=2, max_size=2))
  def test_differences_are_those_of_the_values(self, values):
    texts = [f'c.p = {printing.format_value(each)}\n' for each in values]
    macros = 'A = 1\nRATE = 2\na/RATE = 3\n'
    resolved = [differences.values(macros + text) for text in texts]
    found = differences.differing(*resolved)
    self.assertEqual(bool(found), resolved[0]['c.p'] != resolved[1]['c.p'])
    if repr(values[0]) == repr(values[1]):
      self.assertEmpty(found)

  @_SETTINGS
  @hypothesis.given(_SOURCES, st.integers(0, 3))
  def test_the_last_statement_decides_and_is_named(self, sources, flags):
    """Each source is a file that includes the one before, or a flag."""
    flags = min(flags, len(sources))
    files = sources[: len(sources) - flags]
    self.write('base.gin', config_case.COMPLETE.replace('train.epochs = 3', ''))
    expected = {'train.count': (None, None), 'train.epochs': (None, None)}
    previous = 'base.gin'
    for index, bindings in enumerate(files):
      lines = [f"include '{previous}'"]
      for name, value in bindings.items():
        lines.append(f'{name} = {value}')
        expected[name] = value, f'{index}.gin:{len(lines)}'
      previous = f'{index}.gin'
      self.write(previous, '\n'.join(lines))
    last = f"include '{previous}'\nCOUNT = 7\ntrain.options = {{'a': %COUNT}}\n"
    given = [
      ';'.join(f'{name} = {value}' for name, value in each.items())
      for each in sources[len(files) :]
    ]
    for index, bindings in enumerate(sources[len(files) :]):
      for name, value in bindings.items():
        expected[name] = value, f'--gin_bindings[{index}]'
    if expected['train.epochs'][0] is None:
      last += 'train.epochs = 3\n'
      expected['train.epochs'] = '3', 'x.gin:4'
    configuration = self.load({'x.gin': last, 'y.gin': ''}, given)
    records = {
      f'{each["component"]}.{each["parameter"]}': each
      for each in json.loads(configuration.json())
    }
    for name, (value, source) in expected.items():
      if value == '%COUNT':
        value = '7'
        self.assertEqual(records[name]['bound_at'], source)
        source = 'x.gin:2'
      self.assertEqual(records[name]['text'], str(value))
      self.assertEqual(records[name]['source'], source or 'default')
    again = self.load(configuration.text())
    self.assertEqual(again.text(), configuration.text())


if __name__ == '__main__':
  absltest.main()
