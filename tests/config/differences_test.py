"""Differences of configurations, and what they allow."""

from absl.testing import absltest

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tinygin.config import differences
from tinygin.config.differences import Difference


class DifferencesTest(config_case.ConfigCase):
  def test_macros_are_compared_by_value(self):
    a = self.load(COMPLETE).text()
    b = self.load(COMPLETE.replace('%LEARNING_RATE', '0.1').replace(
      'LEARNING_RATE = 0.1\n', '')).text()  # fmt: skip
    self.assertNotEqual(a, b)
    self.assertEmpty(differences.differences(a, b))

  def test_differences(self):
    a = self.load(COMPLETE).text()
    override = ['train.optimizer = @Momentum; Momentum.decay = 0.5']
    b = self.load(COMPLETE, ['LEARNING_RATE = 0.2', *override]).text()
    self.assertEqual(
      differences.differences(a, b),
      [
        Difference('train.optimizer', ('@Adam', '@Momentum')),
        Difference('train.rate', ('0.1', '0.2')),
        Difference('Adam.beta', ('0.9', differences.ABSENT)),
        Difference('Momentum.decay', (differences.ABSENT, '0.5')),
      ],
    )

  def test_not_a_configuration(self):
    with self.assertRaisesRegex(
      config_case.InputError, '^Syntax error at config.gin:1: .*'
    ):
      differences.values('train.a = (')
    with self.assertRaisesRegex(
      config_case.InputError, '^Unknown macro A in config.gin.$'
    ):
      differences.values('train.a = %A')


if __name__ == '__main__':
  absltest.main()
