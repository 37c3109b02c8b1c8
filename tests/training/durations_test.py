"""Durations in steps."""

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tinygin.config import constraints
from tinygin.training import durations


class TimelineTest(parameterized.TestCase):
  @parameterized.parameters(
    ('100 steps', 100),
    ('1 step', 1),
    ('0 steps', 0),
    ('1 epoch', 32),
    ('2.5 epochs', 79),
    ('.1 epochs', 4),
    ('64 images', 2),
    ('65 images', 3),
    (2.5, 79),
    ('0.000001 images', 1),
    (1e-9, 1),
  )
  def test_steps(self, duration, steps):
    timeline = durations.Timeline(examples=1000, batch_size=32, length=3)
    self.assertEqual(timeline.steps(duration), steps)

  @parameterized.parameters('', '5', 'epochs', '-1 epochs', '5 minutes', 5)
  def test_refuses_what_is_no_duration(self, duration):
    self.assertFalse(constraints.matches(duration, durations.Duration))
    self.assertEqual(
      constraints.describe(durations.Duration),
      "a string of a number and a unit, such as '100 steps', '2.5 epochs' or "
      "'50000 images'",
    )

  @parameterized.parameters('0 steps', '0.0 epochs', '0 10 steps')
  def test_a_period_takes_time(self, duration):
    self.assertFalse(constraints.matches(duration, durations.Period))

  @parameterized.parameters('1 step', '.1 epochs', '10 images', '0.5 epochs')
  def test_periods(self, duration):
    self.assertTrue(constraints.matches(duration, durations.Period))

  @settings(deadline=None, derandomize=True)
  @given(st.integers(1, 300), st.integers(1, 40))
  def test_a_period_is_due_as_often_as_it_fits_and_at_the_end(
    self, total, every
  ):
    timeline = durations.Timeline(1, 1, f'{total} steps')
    period = f'{every} steps'
    due = [n for n in range(total + 1) if timeline.due(n, period)]
    self.assertEqual(due, sorted({*range(0, total, every), total}))
    for step in range(total):
      following = min(each for each in due if each > step)
      self.assertEqual(timeline.steps_until(step, period), following - step)

  @settings(deadline=None, derandomize=True)
  @given(st.integers(1, 10**6), st.integers(1, 4096), st.integers(1, 300))
  def test_a_run_sees_its_epochs_and_less_than_a_batch_more(
    self, examples, batch_size, epochs
  ):
    timeline = durations.Timeline(examples, batch_size, epochs)
    images = timeline.total_steps * batch_size
    self.assertBetween(images - epochs * examples, 0, batch_size - 1)
    for length in (f'{epochs} epochs', f'{epochs * examples} images'):
      same = durations.Timeline(examples, batch_size, length)
      self.assertEqual(same.total_steps, timeline.total_steps)


if __name__ == '__main__':
  absltest.main()
