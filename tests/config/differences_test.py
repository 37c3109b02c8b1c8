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


class ContinuationTest(config_case.ConfigCase):
  def check(self, saved, now, allow_changes=False):
    configuration = self.load(now)
    differences.check_continuation(
      differences.differences(self.load(saved).text(), configuration.text()),
      configuration,
      'runs/a',
      allow_changes,
    )

  def test_equal(self):
    self.check(COMPLETE, COMPLETE + '# Only a comment.')

  def test_refused(self):
    with self.assertRaises(config_case.InputError) as caught:
      self.check(COMPLETE, COMPLETE.replace('width = 8', 'width = 16'))
    self.assertEqual(
      str(caught.exception),
      """The run in runs/a was started with another configuration:

parameter      saved    now
-------------  -------  -----
Network.width  8        16

Start another run, or continue this one as it was.""",
    )
    with self.assertRaises(config_case.InputError):
      self.check(COMPLETE, COMPLETE.replace('width = 8', 'width = 16'), True)

  def test_what_is_continuable_needs_the_flag(self):
    now = COMPLETE + 'train.log_every = 5'
    with self.assertRaisesRegex(
      config_case.InputError, 'or allow these changes by --allow_changes.$'
    ):
      self.check(COMPLETE, now)
    self.check(COMPLETE, now, allow_changes=True)
    self.check(now, COMPLETE, allow_changes=True)

  def test_only_what_is_refused_is_shown_with_the_flag(self):
    now = COMPLETE.replace('0.9', '0.8') + 'train.log_every = 5'
    with self.assertRaises(config_case.InputError) as caught:
      self.check(COMPLETE, now, allow_changes=True)
    self.assertIn('Adam.beta', str(caught.exception))
    self.assertNotIn('log_every', str(caught.exception))

  def test_removing_a_fixed_parameter_is_refused(self):
    with self.assertRaises(config_case.InputError):
      self.check(COMPLETE + 'train.count = 1', COMPLETE, allow_changes=True)

  def test_what_only_continuable_parameters_reach_is_continuable(self):
    text = COMPLETE + 'train.log_every = @pair()\npair.first = 1\n'
    self.check(
      f'{text}pair.second = 1', f'{text}pair.second = 2', allow_changes=True
    )


if __name__ == '__main__':
  absltest.main()
