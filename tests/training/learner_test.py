"""What learns: which weights decay, and which optimizers are refused."""

import functools

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tests.training import small_experiment
from tinygin.config import errors
from tinygin.training import durations
from tinygin.training import learner
from tinygin.training import schedules


def _build(optimizer):
  experiment = small_experiment.make(
    tf.distribute.MirroredStrategy(['/cpu:0']),
    optimizer=optimizer,
    learning_rate=schedules.Constant(rate=0.1),
  )
  timeline = durations.Timeline(examples=90, batch_size=8, length=2)
  return learner.Learner.build(experiment, timeline, small_experiment.CLASSES)


class LearnerTest(parameterized.TestCase):
  @parameterized.parameters('SGD', 'Adam', 'AdamW', 'RMSprop', 'Lion', 'Lamb')
  def test_biases_and_normalisation_do_not_decay(self, name):
    optimizer = getattr(keras.optimizers, name)
    built = _build(functools.partial(optimizer, weight_decay=0.5))
    weights = built.model.trainable_variables
    for weight in weights:
      weight.assign(tf.ones_like(weight))
    # Without a gradient, weights move by their decay alone.
    built.optimizer.apply([tf.zeros_like(weight) for weight in weights])
    left = {weight.path.split('/')[-1]: weight.numpy() for weight in weights}
    self.assertEqual(set(left), {'kernel', 'bias', 'gamma', 'beta'})
    for weight, value in left.items():
      expected = 0.95 if weight == 'kernel' else 1.0
      np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=weight)

  @parameterized.parameters(
    ({'gradient_accumulation_steps': 2}, 'train.accumulation'),
    ({'global_clipnorm': 1.5}, 'train.clip_norm'),
    ({'clipvalue': 0.5}, 'train.clip_norm'),
    ({'loss_scale_factor': 2.0}, "train.precision = 'bfloat16'"),
    ({'use_ema': True}, 'train.average_decay'),
  )
  def test_what_the_trainer_does_is_not_left_to_keras(self, options, instead):
    with self.assertRaises(errors.InputError) as caught:
      _build(functools.partial(keras.optimizers.Adam, **options))
    ((name, value),) = options.items()
    self.assertEqual(
      str(caught.exception),
      f'Adam.{name} must be left out: Keras applies it to each replica alone. '
      f'Received: {value}. Use {instead}.',
    )

  def test_losses_are_not_scaled(self):
    def scaled(learning_rate):
      return keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(learning_rate)
      )

    with self.assertRaises(errors.InputError) as caught:
      _build(scaled)
    self.assertEqual(
      str(caught.exception),
      'train.optimizer must scale no loss. Received: LossScaleOptimizer. Use '
      "train.precision = 'bfloat16', which needs none.",
    )


if __name__ == '__main__':
  absltest.main()
