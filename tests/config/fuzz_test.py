"""Mutated configurations are refused, or mean exactly what they say."""

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

_CASES = 2000
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
  """Returns what plain gin, without our parser, makes of a text."""
  gin.clear_config()
  gin.parse_config(text)
  return {
    f'{scope}/{selector}.{name}'.lstrip('/'): repr(value)
    for (scope, selector), bound in gin_config._CONFIG.items()
    for name, value in bound.items()
  }


class FuzzTest(config_case.ConfigCase):
  def test_no_traceback_and_no_other_meaning(self):
    original = self.load(_SOURCE)
    lines = set(_SOURCE.splitlines())
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
        # What is accepted is all used, and means to gin the same.
        expected = _meaning_to_gin(text)
        shadowed = not any(n.endswith('train.network') for n in expected)
        if shadowed:
          # Of Network only big/Network is left, with its own width, padding.
          expected = {
            name: value
            for name, value in expected.items()
            if not name.endswith(('s.Network.width', 's.Network.padding'))
            or name.startswith('big/')
          }
        kept = _meaning_to_gin(configuration.text())
        self.assertEqual(kept, expected)
        # Nothing differs but what a changed line names.
        changed = lines.symmetric_difference(text.splitlines())
        for each in differences.differences(
          original.text(), configuration.text()
        ):
          name = each.name.rpartition('.')[2]
          self.assertTrue(
            any(
              name in line or 'COUNT' in line or 'RATE' in line
              for line in (*changed, *(['width, padding'] if shadowed else []))
            )
            or len(text.splitlines()) != len(_SOURCE.splitlines()),
            f'{each} without a changed line: {changed}',
          )
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
    """A file that was cut off is never taken for a whole one unnoticed."""
    whole = self.load(_SOURCE).text()
    for end in itertools.count(1):
      if end >= len(_SOURCE.rstrip()):
        break
      try:
        configuration = self.load(_SOURCE[:end])
      except config_case.InputError:
        continue
      kept = _meaning_to_gin(configuration.text())
      self.assertEqual(kept, _meaning_to_gin(_SOURCE[:end]))
      self.assertNotEqual(configuration.text(), whole)


if __name__ == '__main__':
  absltest.main()
