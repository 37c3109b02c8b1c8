import keras
from absl.testing import absltest

from tests.models import building
from tinygin.models import cost


class CostTest(absltest.TestCase):
  def test_by_hand(self):
    model = building.build('residual', 'LEVELS = (1,)')
    counted = {
      layer.name: cost.multiply_accumulates(layer) for layer in model.layers
    }
    self.assertEqual(
      counted,
      {
        'image': 0,
        'tail': 64 * 64 * (49 * 9 + 9 * 32),
        'bottleneck': 64 * 64 * (32 + 32 * 8 + 9 * 8 + 8 * 32),
        'downsample': 64 * 64 * (32 + 32 * 16)
        + 32 * 32 * (9 * 16 + 16 * 64 + 9 * 32 * 64),
        'bn': 0,
        'relu': 0,
        'head': 64 * 200,
      },
    )
    self.assertEqual(cost.multiply_accumulates(model), sum(counted.values()))

  def test_refuses_what_it_cannot_count(self):
    layer = keras.layers.Conv1D(2, 3, name='odd')
    layer(keras.Input((8, 3)))
    with self.assertRaisesRegex(TypeError, 'Received: odd, a Conv1D.'):
      cost.multiply_accumulates(layer)


if __name__ == '__main__':
  absltest.main()
