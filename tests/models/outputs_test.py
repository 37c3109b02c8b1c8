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
      lambda: [keras.layers.Dense(3, activation='log_softmax')],
      lambda: [
        keras.layers.Dense(3, activation='softmax'),
        keras.layers.Activation('linear', dtype='float32'),
      ],
      lambda: [
        keras.layers.Softmax(),
        keras.layers.Reshape((2, 2)),
        keras.Sequential([keras.Input((2, 2)), keras.layers.Flatten()]),
      ],
    ),
  )
  def test_probabilities(self, build, layers):
    with self.assertRaisesRegex(
      errors.InputError, 'must end in logits.* is a (softmax|sigmoid|log_s)'
    ):
      outputs.check_logits(build(*layers()))

  @parameterized.parameters(
    (keras.ops.softmax,),
    (keras.ops.softmax, lambda x: keras.ops.cast(x, 'float16')),
    (keras.ops.softmax, lambda x: keras.ops.reshape(x, (-1, 3))),
  )
  def test_operation(self, *operations):
    model = _functional(keras.layers.Dense(3), *operations)
    with self.assertRaisesRegex(errors.InputError, 'is a softmax'):
      outputs.check_logits(model)

  @parameterized.parameters(
    lambda: [keras.layers.Dense(3)],
    lambda: [keras.layers.Dense(3), keras.layers.Activation('linear')],
    lambda: [
      keras.layers.Dense(3, activation='softmax'),
      keras.layers.Dense(3),
      keras.layers.Reshape((3,)),
    ],
    lambda: [keras.layers.Dense(3, activation='softmax'), keras.layers.ReLU()],
  )
  def test_logits(self, layers):
    outputs.check_logits(_functional(*layers()))
    outputs.check_logits(_sequential(*layers()))

  @parameterized.parameters('residual', 'inception', 'resnet18')
  def test_networks_of_ours(self, name):
    outputs.check_logits(building.build(name, 'LEVELS = (1,)', 'WIDTH = 8'))


if __name__ == '__main__':
  absltest.main()
