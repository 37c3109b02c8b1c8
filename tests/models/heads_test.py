import keras
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from tests.models import building
from tinygin.config import errors

_OWN = """
import gin
import keras


@gin.register
def patches(x, name, size):
  return keras.layers.Conv2D(32, size, size, name=name)(x)


@gin.register
def nameless(x, name):
  return keras.layers.Conv2D(32, 3)(x)


@gin.register
def cosine(x, name, classes):
  x = keras.layers.GlobalAveragePooling2D(name=f'{name}_pool')(x)
  x = keras.layers.UnitNormalization(name=f'{name}_unit')(x)
  return keras.layers.Dense(classes, use_bias=False, name=f'{name}_dense')(x)
"""


class HeadsTest(parameterized.TestCase):
  def test_two_stages(self):
    model = building.build(
      'residual',
      'TinyImageNet.head = @two_stage_head',
      'two_stage_head.classes = %CLASSES',
      'two_stage_head.hidden = 100',
      'two_stage_head.dropout = 0.5',
      'two_stage_head.l1 = 0.0',
      'two_stage_head.l2 = 0.5',
    )
    head = model.get_layer('head')
    self.assertEqual(head.count_params(), 256 * 100 + 100 + 100 * 200 + 200)
    kernels = [head.get_layer(f'head_{n}').kernel for n in ('hidden', 'dense')]
    expected = sum(0.5 * np.square(kernel.numpy()).sum() for kernel in kernels)
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)

  @parameterized.parameters(
    (
      'CLASSES = 1',
      'classes must be an integer at least 2. Received: linear_head.classes=1',
    ),
    ('DROPOUT = 1.0', 'dropout must be a number at least 0 and below 1. Rec'),
    (
      'L2 = -0.1',
      'l2 must be a non-negative number. Received: linear_head.l2=',
    ),
  )
  def test_out_of_range(self, binding, message):
    with self.assertRaisesRegex(errors.InputError, message):
      building.build('residual', binding)


class OwnComponentsTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    exec(compile(_OWN, 'own.py', 'exec'), {'__name__': 'own'})

  def test_own_tail_and_head(self):
    model = building.build(
      'residual',
      'TinyImageNet.tail = @patches',
      'patches.size = 4',
      'TinyImageNet.head = @cosine',
      'cosine.classes = %CLASSES',
    )
    tail = model.get_layer('tail')
    self.assertEqual(tail.output.shape, (None, 16, 16, 32))
    paths = [variable.path for variable in model.variables]
    self.assertEqual(paths[:2], ['tail/kernel', 'tail/bias'])
    self.assertEqual(paths[-1], 'head_dense/kernel')

  def test_other_normalisation_and_activation(self):
    model = building.build(
      'residual',
      'import keras',
      'TinyImageNet.normalization = @keras.layers.LayerNormalization',
      'TinyImageNet.activation = @keras.layers.LeakyReLU',
    )
    self.assertIsInstance(
      model.get_layer('bn'), keras.layers.LayerNormalization
    )
    block = model.get_layer('bottleneck')
    self.assertIsInstance(
      block.get_layer('bottleneck_act2'), keras.layers.LeakyReLU
    )

  def test_layers_must_be_named_after_the_component(self):
    with self.assertRaisesRegex(
      errors.InputError,
      "Layers of the block tail must be called 'tail' or 'tail_...'. Received: "
      r"'conv2d\w*'. Names that Keras generates change",
    ):
      building.build('residual', 'TinyImageNet.tail = @nameless')


if __name__ == '__main__':
  absltest.main()
