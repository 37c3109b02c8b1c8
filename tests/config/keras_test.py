"""Keras classes, most of whose parameters are behind `**kwargs`."""

import json

import keras
from absl.testing import absltest
from absl.testing import parameterized

from tests.config import config_case
from tinygin.config import components

_TEXT = """
import keras
import tests.config.keras_components

train_keras.optimizer = @keras.optimizers.Adam
keras.optimizers.Adam.beta_1 = 0.8
train_keras.layers = [@keras.layers.Dense(), @keras.layers.Conv2D()]
keras.layers.Dense.units = 3
keras.layers.Conv2D.filters = 2
keras.layers.Conv2D.kernel_size = (3, 3)
"""


class KerasTest(config_case.ConfigCase):
  def test_builds_objects_of_the_classes(self):
    train = self.load(_TEXT, root='train_keras').build()
    optimizer = train.optimizer(learning_rate=0.5)
    self.assertIs(type(optimizer), keras.optimizers.Adam)
    self.assertEqual(optimizer.beta_1, 0.8)
    self.assertIs(type(train.layers[0]), keras.layers.Dense)
    copy = keras.layers.deserialize(keras.layers.serialize(train.layers[0]))
    self.assertEqual(copy.units, 3)

  def test_a_function_can_be_saved(self):
    text = f'{_TEXT}keras.layers.Dense.activation = @keras.activations.gelu'
    dense, _ = self.load(text, root='train_keras').build().layers
    copy = keras.layers.deserialize(keras.layers.serialize(dense))
    self.assertIs(copy.activation, keras.activations.gelu)

  def test_a_default_says_what_is_numeric(self):
    text = f'{_TEXT}keras.optimizers.Adam.clipnorm = 1.0'
    records = json.loads(self.load(text, root='train_keras').json())
    numeric = {
      f'{each["component"]}.{each["parameter"]}': each['numeric']
      for each in records
    }
    for name, expected in (
      ('optimizers.Adam.beta_1', True),
      ('optimizers.Adam.amsgrad', True),
      ('optimizers.Adam.clipnorm', False),  # None.
      ('layers.Dense.units', False),  # No default.
      ('layers.Dense.kernel_initializer', False),
      ('layers.Conv2D.strides', False),
    ):
      self.assertEqual(numeric[f'keras.{name}'], expected, name)

  @parameterized.parameters(
    (
      'keras.optimizers.Adam.beta1 = 0.8',
      'Unknown parameter keras.optimizers.Adam.beta1 at x.gin:11. '
      'Did you mean keras.optimizers.Adam.beta_1?',
    ),
    (
      'keras.layers.Dense.unit = 4',
      'Unknown parameter keras.layers.Dense.unit at x.gin:11. '
      'Did you mean keras.layers.Dense.units?',
    ),
    (
      'keras.layers.Conv2D.rank = 3',
      'Unknown parameter keras.layers.Conv2D.rank at x.gin:11. '
      'Did you mean keras.layers.Conv2D.lora_rank?',
    ),
    (
      'keras.optimizers.Adam.learning_rate = 0.1',
      'keras.optimizers.Adam.learning_rate at x.gin:11 cannot be bound: the '
      'program passes it to train_keras.optimizer.',
    ),
    (
      "keras.optimizers.Adam.epsilon = '1e-7'",
      'keras.optimizers.Adam.epsilon must be a value other than a string, '
      'True, False or '
      'None. '
      "Received: keras.optimizers.Adam.epsilon='1e-7' at x.gin:11.",
    ),
    (
      'keras.optimizers.Adam.epsilon = None',
      'keras.optimizers.Adam.epsilon must be a value other than a string, '
      'True, '
      'False or None. Received: keras.optimizers.Adam.epsilon=None at '
      'x.gin:11.',
    ),
    (
      "keras.optimizers.Adam.amsgrad = 'no'",
      'keras.optimizers.Adam.amsgrad must be True or False. '
      "Received: keras.optimizers.Adam.amsgrad='no' at x.gin:11.",
    ),
    (
      'keras.optimisers.Adam.beta_2 = 0.8',
      'Unknown component keras.optimisers.Adam at x.gin:11. There is no '
      'optimisers in it. Did you mean optimizers?',
    ),
    (
      'keras.optimizers.beta_2 = 0.8',
      'Unknown component keras.optimizers at x.gin:11. '
      'It is a module, not a function or class.',
    ),
    (
      'keras.optimizers.SGD.momentum = 0.8',
      'keras.optimizers.SGD.momentum at x.gin:11 is not used: no reference '
      'leads from train_keras to @keras.optimizers.SGD.',
    ),
  )
  def test_one_more_line(self, line, *expected):
    self.assert_faults(_TEXT + line, *expected, root='train_keras')

  def test_a_class_of_another_kind(self):
    self.assert_faults(
      _TEXT.replace('@keras.layers.Dense()', '@keras.losses.Huber()').replace(
        'keras.layers.Dense.units = 3', ''
      ),
      'train_keras.layers must be a sequence of Layers, as @name(). Received: '
      'train_keras.layers=[@keras.losses.Huber(), @keras.layers.Conv2D()] at '
      'x.gin:7.',
      root='train_keras',
    )

  def test_a_constructor_raises_an_error(self):
    text = _TEXT + "keras.layers.Dense.activation = 'realu'"
    configuration = self.load(text, root='train_keras')
    with self.assertRaises(config_case.InputError) as caught:
      configuration.build()
    lines = str(caught.exception).splitlines()
    self.assertStartsWith(lines[0], 'keras.layers.Dense: ')
    self.assertIn('realu', lines[0])

  @parameterized.parameters('Adam', 'SGD', 'RMSprop', 'AdamW', 'Lion')
  def test_true_parameters_of_optimizers(self, name):
    optimizer = getattr(keras.optimizers, name)
    known = components.parameters(optimizer)
    self.assertIn('learning_rate', known)
    self.assertIn('clipnorm', known)
    self.assertNotIn('kwargs', known)
    # Every parameter can be passed.
    optimizer(**{name: each.default for name, each in known.items()})

  @parameterized.parameters('Dense', 'Conv2D', 'SeparableConv2D', 'Dropout')
  def test_true_parameters_of_layers(self, name):
    layer = getattr(keras.layers, name)
    needed = {'units': 1, 'filters': 1, 'kernel_size': 3, 'rate': 0.1}
    known = components.parameters(layer)
    self.assertIn('trainable', known)
    layer(
      **{name: needed.get(name, each.default) for name, each in known.items()}
    )


if __name__ == '__main__':
  absltest.main()
