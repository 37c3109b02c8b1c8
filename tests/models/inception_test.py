import keras
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized

from tests.models import building
from tinygin.config import errors
from tinygin.models import summary


class TinyInceptionNetTest(parameterized.TestCase):
  def test_table(self):
    golden = (building.TESTDATA / 'inception.txt').read_text()
    self.assertEqual(summary.table(building.build('inception')) + '\n', golden)

  @parameterized.parameters(
    ('(1,)', (None, 32, 32, 192)),
    ('(1, 1)', (None, 16, 16, 768)),
    ('(1, 1, 1)', (None, 16, 16, 768)),
  )
  def test_reductions_follow_the_first_two_levels(self, levels, shape):
    model = building.build(
      'inception', f'LEVELS = {levels}', 'TinyInceptionNet.head = None'
    )
    self.assertEqual(model.output.shape, shape)

  def test_strided_tail(self):
    model = building.build(
      'inception', 'inception_tail.strides = (2, 1, 2)', 'LEVELS = (1,)'
    )
    tail = model.get_layer('inception_tail')
    self.assertEqual(tail.output.shape, (None, 16, 16, 64))

  def test_paths_are_unique_and_survive_saving(self):
    model = building.build('inception', 'IMAGE_SIZE = 8')
    paths = [variable.path for variable in model.variables]
    self.assertLen(set(paths), len(paths))
    file = self.create_tempfile('model.keras').full_path
    model.save(file)
    loaded = keras.models.load_model(file)
    self.assertEqual([v.path for v in loaded.variables], paths)
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 3))
    np.testing.assert_array_equal(
      loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )

  @parameterized.parameters(
    ('WIDTH = 62', 'filters must be a multiple of 4. Received: 62, in inc'),
    (
      'incept.factor = 7',
      'The number of channels must be a multiple of 7. Received: 64, in incept',
    ),
    (
      'LEVELS = (1, 1, 1, 1)',
      r'TinyInceptionNet.levels must be 1 to 3 positive integers. ',
    ),
  )
  def test_wrong_sizes(self, binding, message):
    with self.assertRaisesRegex(errors.InputError, message):
      building.build('inception', binding)


if __name__ == '__main__':
  absltest.main()
