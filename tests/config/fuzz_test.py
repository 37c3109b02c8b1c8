"""Mutated configurations are refused or mean exactly what they say."""

import itertools
import random

import gin
import hypothesis
from absl.testing import absltest
from gin import config as gin_config
from hypothesis import strategies as st

from tests.config import config_case
from tests.config import mutation
from tinygin.config import differences
from tinygin.config import resolution
from tinygin.config import statements

_CASES = 2000
_LAB = 'tests.config.small_components'
_SOURCE = (
  config_case.COMPLETE
  + """
# A comment; with a semicolon.
train.names = ['a b', "it's", 'x#y']
train.options = {'first': 1, 'second': %COUNT}
train.count = %COUNT
COUNT = -12
train.extra = [@big/Network(), (1.5e-3, None, True)]
big/Network:
  width = 64
  padding = 'valid'
train.scale = @scale
scale.factor = 25
"""
)


def _meaning_to_gin(text: str) -> dict[str, object]:
  """Returns every binding and macro as gin's own parser reads a text."""

  def canonical(value):
    if not isinstance(value, gin_config.ConfigurableReference):
      return resolution.transform(value, canonical)
    scopes, selector = value.config_key
    if selector == 'gin.macro':
      return statements.Macro(scopes)
    name = f'{scopes}/{selector}'.removeprefix('/')
    return statements.Reference(name, value.evaluate)

  gin.clear_config()
  gin.parse_config(text)
  return {
    f'{scope}/{selector}.{name}'.removeprefix('/'): canonical(value)
    for (scope, selector), bound in gin_config._CONFIG.items()
    for name, value in bound.items()
  }


def _as_text(meaning: dict[str, object]) -> dict[str, str]:
  return {name: repr(value) for name, value in meaning.items()}


def _values(meaning: dict[str, object]) -> dict[str, str]:
  """Returns the values of parameters, without macros, by the full names."""

  def resolve(value):
    if isinstance(value, statements.Macro):
      return resolve(meaning[f'{value.name}/gin.macro.value'])
    return resolution.transform(value, resolve)

  return {
    name.replace(f'{_LAB}.train.', 'train.'): repr(resolve(value))
    for name, value in meaning.items()
    if not name.endswith('gin.macro.value')
  }


class FuzzTest(config_case.ConfigCase):
  def test_no_traceback_and_no_other_meaning(self):
    original = self.load(_SOURCE)
    before = _values(_meaning_to_gin(original.text()))
    accepted = 0
    for seed in range(_CASES):
      text = mutation.mutated(_SOURCE, random.Random(seed))
      with self.subTest(seed=seed):
        try:
          configuration = self.load(text)
        except config_case.InputError as error:
          self.assertTrue(str(error))
          continue
        accepted += 1
        # The program uses all that is accepted, with the meaning it has in gin.
        expected = _meaning_to_gin(text)
        if not any(name.endswith('train.network') for name in expected):
          # Only big/Network is used, with its own width and padding.
          expected = {
            name: value
            for name, value in expected.items()
            if not name.endswith(('s.Network.width', 's.Network.padding'))
            or name.startswith('big/')
          }
        kept = _meaning_to_gin(configuration.text())
        self.assertEqual(_as_text(kept), _as_text(expected))
        # The differences are those of the values, no more and no less.
        after = _values(expected)
        changed = {
          name
          for name in before.keys() | after.keys()
          if before.get(name) != after.get(name)
        }
        texts = original.text(), configuration.text()
        found = differences.differing(*map(differences.values, texts))
        self.assertEqual(found.keys(), changed)
    # The test would mean little if nearly all or nearly none were accepted.
    self.assertBetween(accepted, _CASES // 20, _CASES // 2)

  @hypothesis.settings(deadline=None, max_examples=500, derandomize=True)
  @hypothesis.given(st.text(alphabet='atrin.=%@()[]{}\'"/\\;:, \n\t-1eA#_\0é'))
  def test_any_text_as_a_flag(self, text):
    for flag in (text, f'train.extra = {text}'):
      try:
        configuration = self.load(config_case.COMPLETE, [flag])
      except config_case.InputError:
        continue
      again = self.load(configuration.text())
      self.assertEqual(again.text(), configuration.text())

  def test_every_prefix(self):
    """A truncated file is refused or means something else."""
    whole = self.load(_SOURCE).text()
    for end in itertools.count(1):
      if end >= len(_SOURCE.rstrip()):
        break
      try:
        configuration = self.load(_SOURCE[:end])
      except config_case.InputError:
        continue
      kept, said = map(_meaning_to_gin, (configuration.text(), _SOURCE[:end]))
      self.assertEqual(_as_text(kept), _as_text(said))
      self.assertNotEqual(configuration.text(), whole)


if __name__ == '__main__':
  absltest.main()
