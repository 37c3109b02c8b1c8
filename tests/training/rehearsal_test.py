"""What a run needs, and whether it can learn, before it starts."""

import shutil
import types
from unittest import mock

import tensorflow as tf
from absl.testing import absltest

from tests.training import small_experiment
from tinygin.config import errors
from tinygin.training import learner
from tinygin.training import rehearsal
from tinygin.training import schedules


def setUpModule():
  global ONE
  ONE = tf.distribute.MirroredStrategy(['/cpu:0'])


def _timed(work):
  work()
  return 0.5


class CheckTest(absltest.TestCase):
  def check(self, **changes):
    with small_experiment.patched():
      return rehearsal.check(small_experiment.make(ONE, **changes))

  def test_says_what_the_run_needs(self):
    with mock.patch.object(rehearsal, '_seconds', _timed):
      found = self.check(epochs=40)
    self.assertIn('small, 310 parameters\n', found)
    self.assertRegex(found, r'\nMemory +[\d,]+ MiB of this process\n')
    self.assertRegex(found, r'\nDisk +at most 4 checkpoints of 0\.0 MiB; ')
    # Four steps of 8 images in 0.5 s.
    self.assertRegex(found, r'\nSpeed +64 images/s\n')
    # 450 steps of 0.125 s, and 45 evaluations, at 16 images in 0.5 s.
    self.assertRegex(
      found,
      r'\nRun +450 steps of 8 images and 45 evaluations of 37: about 0:01:48$',
    )

  def test_takes_five_steps(self):
    train, steps = learner.Learner.train, []

    def counted(self, iterator, number):
      steps.append(number)
      return train(self, iterator, number)

    with mock.patch.object(learner.Learner, 'train', counted):
      self.check()
    self.assertEqual(sum(steps), 5)

  def test_loads_the_initial_weights(self):
    with self.assertRaisesRegex(errors.InputError, 'nowhere'):
      self.check(init_from='nowhere')

  def test_refuses_checkpoints_that_do_not_fit(self):
    full = types.SimpleNamespace(free=100)
    with (
      mock.patch.object(shutil, 'disk_usage', lambda path: full),
      self.assertRaisesRegex(
        errors.InputError, 'must have space for 4 checkpoints of .* 0.0 MiB'
      ),
    ):
      self.check()

  def test_refuses_a_batch_that_does_not_fit(self):
    exhausted = tf.errors.ResourceExhaustedError(None, None, 'OOM when …')
    with (
      mock.patch.object(learner.Learner, 'trace'),
      mock.patch.object(learner.Learner, '_train', side_effect=exhausted),
      self.assertRaisesRegex(errors.RunError, '^Out of device memory with'),
    ):
      self.check()


class OverfitTest(absltest.TestCase):
  def overfit(self, count=12, **changes):
    with small_experiment.patched():
      experiment = small_experiment.make(ONE, **changes)
      return rehearsal.overfit(experiment, count)

  def test_a_recipe_that_learns(self):
    text, learns = self.overfit()
    self.assertTrue(learns, text)
    self.assertRegex(
      text,
      r'^Loss 0\.\d+ \(guessing: 1\.7918\), top-1 1\.0000 on 12 training '
      r'images after 500 steps\.\nThe loss goes to zero: ',
    )

  def test_a_recipe_that_does_not_learn(self):
    text, learns = self.overfit(learning_rate=schedules.Constant(rate=1e-9))
    self.assertFalse(learns, text)
    self.assertIn('\nThe loss does not go to zero. ', text)

  def test_loads_the_initial_weights(self):
    with self.assertRaisesRegex(errors.InputError, 'nowhere'):
      self.overfit(init_from='nowhere')

  def test_more_images_than_there_are(self):
    text, _ = self.overfit(count=1000)
    self.assertIn(' on 90 training images ', text)

  def test_schedules_are_compressed(self):
    experiment = small_experiment.make(ONE, epochs=20)
    timeline = rehearsal._compressed(experiment, 12)
    self.assertEqual(timeline.total_steps, 500)
    self.assertEqual(timeline.steps('1 epoch'), 25)
    experiment = small_experiment.make(ONE, epochs='90 steps')
    timeline = rehearsal._compressed(experiment, 12)
    self.assertEqual(timeline.total_steps, 500)


if __name__ == '__main__':
  absltest.main()
