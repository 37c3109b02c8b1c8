"""The layout of gin files changes, and nothing else."""

import re

from absl.testing import absltest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies

from tests.editing import workspace_case
from tinygin.config import statements
from tinygin.editing import formatting
from tinygin.editing import linting
from tinygin.editing import syntax

_TEXTS = [
  linting.read_text(each) for each in linting.gin_files(str(workspace_case.GIN))
]


def _meaning(text):
  place = statements.Place('x.gin')
  return [
    re.sub('line=[0-9]+', '', repr(each))
    for each in statements.parse(text, place)
  ]


def _comments(text):
  return [
    each.text.rstrip()
    for each in syntax.Text(text).tokens
    if each.kind == 'comment'
  ]


class FormattingTest(absltest.TestCase):
  def test_layout(self):
    self.assertEqual(
      formatting.formatted(
        '\n\nA=1 # One.\n\n\n\nB   = (1,\n      2)  \nfoo:\n   x =2\n   # In.\n'
        '   y= "a  =  b" # Two.\n  # Three.\n\n'
      ),
      'A = 1  # One.\n\nB = (1,\n      2)\nfoo:\n  x = 2\n   # In.\n'
      '  y = "a  =  b"  # Two.\n  # Three.\n',
    )
    self.assertEqual(formatting.formatted('\n'), '')

  def test_the_project_is_laid_out_so(self):
    for text in _TEXTS:
      self.assertEqual(formatting.formatted(text), text)

  @settings(deadline=None, derandomize=True)
  @given(strategies.sampled_from(_TEXTS), strategies.randoms())
  def test_keeps_meaning_and_comments(self, text, random):
    spaced = re.sub(
      ' (=) ',
      lambda found: random.choice(['=', ' =', '= ', '  =  ', ' = ']),
      text,
    )
    spaced = re.sub('\n', lambda _: random.choice(['\n', ' \n']), spaced)
    result = formatting.formatted(spaced)
    self.assertEqual(_meaning(result), _meaning(spaced))
    self.assertEqual(_comments(result), _comments(spaced))
    self.assertEqual(formatting.formatted(result), result)

  @settings(deadline=None, derandomize=True)
  @given(strategies.sampled_from(_TEXTS), strategies.integers(0, 3000))
  def test_unfinished_text(self, text, length):
    cut = text[:length]
    result = formatting.formatted(cut)
    self.assertEqual(
      [each.text for each in syntax.Text(result).tokens if each.text != '\n'],
      [each.text for each in syntax.Text(cut).tokens if each.text != '\n'],
    )


if __name__ == '__main__':
  absltest.main()
