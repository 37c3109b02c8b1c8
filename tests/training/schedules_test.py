"""Learning rates over the course of a run."""

import functools

from absl.testing import absltest
from absl.testing import parameterized

from tinygin.training import durations
from tinygin.training import schedules

# 10 steps an epoch, 100 in all.
TIMELINE = durations.Timeline(examples=80, batch_size=8, length=10)


class SchedulesTest(parameterized.TestCase):
  @parameterized.parameters(
    (schedules.Constant(rate=0.1), {0: 0.1, 1: 0.1, 99: 0.1}),
    (
      schedules.WarmupCosine(peak=1.0, warmup='2 epochs', final_fraction=0.1),
      {0: 0.0, 10: 0.5, 20: 1.0, 60: 0.55, 100: 0.1},
    ),
    (
      schedules.WarmupCosine(peak=1.0, warmup='0 steps', final_fraction=0.0),
      {0: 1.0, 50: 0.5, 100: 0.0},
    ),
    (
      schedules.ExponentialSteps(
        initial=1.0, coefficient=0.5, every='2 epochs'
      ),
      {0: 1.0, 19: 1.0, 20: 0.5, 39: 0.5, 40: 0.25},
    ),
    (
      schedules.OneCycle(
        peak=1.0, start_fraction=0.1, final_fraction=0.0, rise='4 epochs'
      ),
      {0: 0.1, 20: 0.55, 40: 1.0, 70: 0.5, 100: 0.0},
    ),
  )
  def test_rates(self, schedule, expected):
    rates = schedule(TIMELINE)
    found = {step: float(rates(step)) for step in expected}
    for step, rate in expected.items():
      self.assertAlmostEqual(found[step], rate, places=5, msg=f'step {step}')

  def test_lengths_of_a_run_in_all_units(self):
    for length in ('100 steps', '10 epochs', '800 images'):
      timeline = durations.Timeline(examples=80, batch_size=8, length=length)
      schedule = schedules.WarmupCosine(
        peak=1.0, warmup='5 steps', final_fraction=0.1
      )
      rates, expected = schedule(timeline), schedule(TIMELINE)
      for step in (0, 39, 40, 99):
        self.assertEqual(float(rates(step)), float(expected(step)))

  @parameterized.parameters(
    (
      'WarmupCosine.warmup',
      functools.partial(schedules.WarmupCosine, peak=1.0, final_fraction=0.1),
      'warmup',
    ),
    (
      'OneCycle.rise',
      functools.partial(
        schedules.OneCycle, peak=1.0, start_fraction=0.1, final_fraction=0.0
      ),
      'rise',
    ),
  )
  def test_warns_of_a_rise_that_does_not_end_within_the_run(
    self, name, make, parameter
  ):
    with self.assertNoLogs(level='WARNING'):
      make(**{parameter: '99 steps'})(TIMELINE)
    for rise, steps in (('10 epochs', 100), ('11 epochs', 110)):
      with self.assertLogs(level='WARNING') as warned:
        make(**{parameter: rise})(TIMELINE)
      self.assertIn(
        f'never reaches its peak: {name} = {rise!r} is {steps} steps, but the '
        'run has only 100.',
        warned.output[0],
      )


if __name__ == '__main__':
  absltest.main()
