"""Networks that end in probabilities are refused."""

import keras
from absl.testing import absltest
from absl.testing import parameterized

from tests.models import building
from tinygin.config import errors
from tinygin.models import outputs


def _functional(*layers):
  inputs = keras.Input((4,))
  x = inputs
  for layer in layers:
    x = layer(x)
  return keras.Model(inputs, x, name='net')


def _sequential(*layers):
  return keras.Sequential([keras.Input((4,)), *layers], name='net')


class _Normalized(keras.layers.Layer):
  """A softmax without its name."""

  def call(self, x):
    return keras.ops.softmax(2 * x)


class OutputsTest(parameterized.TestCase):
  @parameterized.product(
    build=(
      _functional,
      _sequential,
      lambda *layers: _functional(_functional(*layers)),
      lambda *layers: _sequential(_functional(*layers)),
    ),
    layers=(
      lambda: [keras.layers.Dense(3, activation='softmax')],
      lambda: [keras.layers.Dense(3, activation='sigmoid')],
      lambda: [keras.layers.Dense(3), keras.layers.Softmax()],
      lambda: [
        keras.layers.Dense(3),
        keras.layers.Activation('softmax', dtype='float32'),
      ],
      lambda: [
        keras.layers.Dense(3, activation='softmax'),
        keras.layers.Activation('linear', dtype='float32'),
      ],
      lambda: [
        keras.layers.Softmax(),
        keras.layers.Reshape((2, 2)),
        keras.Sequential([keras.Input((2, 2)), keras.layers.Flatten()]),
      ],
      lambda: [keras.layers.Dense(3), _Normalized()],
      lambda: [
        keras.layers.Dense(3, activation='softmax'),
        keras.layers.ReLU(),
      ],
      lambda: [
        keras.layers.Dense(3),
        keras.layers.Activation('softmax', dtype='bfloat16'),
      ],
    ),
  )
  def test_probabilities(self, build, layers):
    with self.assertRaisesRegex(
      errors.InputError, 'must end in logits.* (softmax|sigmoid)'
    ):
      outputs.check_logits(build(*layers()))

  @parameterized.parameters(
    (keras.ops.softmax,),
    (keras.ops.softmax, lambda x: keras.ops.cast(x, 'float16')),
    (keras.ops.softmax, lambda x: keras.ops.reshape(x, (-1, 3))),
    (keras.ops.exp, lambda x: x / keras.ops.sum(x, -1, keepdims=True)),
    (keras.ops.softmax, lambda x: keras.ops.clip(x, 1e-7, 1.0)),
  )
  def test_operation(self, *operations):
    model = _functional(keras.layers.Dense(3), *operations)
    with self.assertRaisesRegex(errors.InputError, 'Remove the softmax'):
      outputs.check_logits(model)

  @parameterized.parameters(
    lambda: [keras.layers.Dense(3)],
    lambda: [keras.layers.Dense(3), keras.layers.Activation('linear')],
    lambda: [
      keras.layers.Dense(3, activation='softmax'),
      keras.layers.Dense(3),
      keras.layers.Reshape((3,)),
    ],
    lambda: [keras.layers.Dense(3), keras.layers.ReLU()],
    lambda: [keras.layers.Dense(3, kernel_initializer='zeros')],
    lambda: [keras.layers.LayerNormalization(), keras.layers.Dense(2)],
  )
  def test_logits(self, layers):
    outputs.check_logits(_functional(*layers()))
    outputs.check_logits(_sequential(*layers()))

  def test_images_of_any_size(self):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(3, 32)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs.check_logits(keras.Model(inputs, x))
    with self.assertRaisesRegex(errors.InputError, 'must end in logits'):
      outputs.check_logits(keras.Model(inputs, keras.layers.Softmax()(x)))

  @parameterized.parameters('residual', 'inception', 'resnet18')
  def test_networks_of_ours(self, name):
    outputs.check_logits(building.build(name, 'LEVELS = (1,)', 'WIDTH = 8'))


if __name__ == '__main__':
  absltest.main()
