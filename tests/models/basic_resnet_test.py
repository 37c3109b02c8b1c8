from absl.testing import absltest

from tests.models import building
from tinygin.models import summary


class BasicResNetTest(absltest.TestCase):
  def test_table_of_resnet18(self):
    golden = (building.TESTDATA / 'resnet18.txt').read_text()
    self.assertEqual(summary.table(building.build('resnet18')) + '\n', golden)

  def test_half_as_wide_with_one_block_a_level(self):
    model = building.build('resnet10')
    self.assertEqual(model.count_params(), 1_280_680)
    self.assertEqual(model.get_layer('stem').output.shape, (None, 32, 32, 32))

  def test_without_head_gives_features(self):
    model = building.build('resnet18', 'BasicResNet.head = None')
    self.assertEqual(model.output.shape, (None, 8, 8, 512))


if __name__ == '__main__':
  absltest.main()
