import keras
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from tests.models import building
from tinygin.config import errors
from tinygin.models import summary


class TinyImageNetTest(parameterized.TestCase):
  def test_table(self):
    model = building.build('residual', 'CLASSES = 61')
    golden = (building.TESTDATA / 'residual.txt').read_text()
    self.assertEqual(summary.table(model) + '\n', golden)

  def test_later_variant(self):
    model = building.build('residual_separable', 'LEVELS = (4, 6, 3)')
    self.assertEqual(model.count_params(), 177_587)

  def test_paths_are_unique_and_the_same_each_time(self):
    first, second = (
      [v.path for v in building.build('residual', 'DROPOUT = 0.5').variables]
      for _ in range(2)
    )
    self.assertEqual(first, second)
    self.assertLen(set(first), len(first))
    self.assertContainsSubset(
      [
        'tail/depthwise_kernel',
        'bottleneck_12_squeeze/pointwise_kernel',
        'downsample_main/kernel',
        'bn/moving_variance',
        'head_dense/bias',
      ],
      first,
    )

  def test_saved_model_predicts_the_same(self):
    model = building.build('residual', 'LEVELS = (1, 1)', 'IMAGE_SIZE = 8')
    path = self.create_tempfile('model.keras').full_path
    model.save(path)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(
      loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    self.assertEqual(
      [v.path for v in loaded.variables], [v.path for v in model.variables]
    )

  def test_without_head_gives_features(self):
    model = building.build('residual', 'TinyImageNet.head = None')
    self.assertEqual(model.output.shape, (None, 8, 8, 256))

  def test_without_tail_the_blocks_see_the_image(self):
    model = building.build(
      'residual',
      'TinyImageNet.tail = None',
      'WIDTH = 3',
      'bottleneck.factor = 3',
      'downsample.factor = 3',
    )
    self.assertEqual(model.layers[1].name, 'bottleneck')
    with self.assertRaisesRegex(
      errors.InputError,
      'input of the bottleneck bottleneck must have 32 channels.* Received: 3',
    ):
      building.build('residual', 'TinyImageNet.tail = None')

  def test_factor_that_does_not_divide_the_width(self):
    with self.assertRaisesRegex(
      errors.InputError,
      'The bottleneck factor must divide the number of filters. '
      'Received: factor=5, filters=32, in bottleneck.',
    ):
      building.build('residual', 'bottleneck.factor = 5')

  def test_regularisation_of_the_head(self):
    model = building.build(
      'residual', 'L1 = 0.5', 'L2 = 0.25', 'IMAGE_SIZE = 8'
    )
    kernel = model.get_layer('head').get_layer('head_dense').kernel
    kernel = keras.ops.convert_to_numpy(kernel)
    expected = 0.5 * np.abs(kernel).sum() + 0.25 * np.square(kernel).sum()
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)
    self.assertEmpty(building.build('residual', 'IMAGE_SIZE = 8').losses)

  def test_bfloat16_between_blocks_float32_logits(self):
    keras.config.set_dtype_policy('mixed_bfloat16')
    self.addCleanup(keras.config.set_dtype_policy, 'float32')
    model = building.build('residual', 'IMAGE_SIZE = 8')
    self.assertEqual(model.get_layer('bottleneck').input.dtype, 'bfloat16')
    self.assertEqual(model.get_layer('relu').output.dtype, 'bfloat16')
    self.assertEqual(model.output.dtype, 'float32')


if __name__ == '__main__':
  absltest.main()
