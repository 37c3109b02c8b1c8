"""Tests that no experiment changes without a change of its golden file."""

from absl.testing import absltest
from absl.testing import parameterized

from tests import golden_configurations
from tinygin.config import differences


class GoldenConfigurationsTest(parameterized.TestCase):
  @parameterized.named_parameters(
    (golden_configurations.golden(path).stem, path)
    for path in golden_configurations.FILES
  )
  def test_has_the_values_of_the_golden_file(self, path):
    text = golden_configurations.golden(path).read_text(encoding='utf-8')
    rows = differences.differing(
      differences.values(text), golden_configurations.values(path)
    )
    self.assertEmpty(
      rows,
      f'{path.name} has changed:\n'
      + differences.table(rows, ['parameter', 'golden', 'now'])
      + '\nIf that is intended: ./bazelw run //tests:golden_configurations',
    )

  def test_every_golden_file_has_a_gin_file(self):
    expected = [*map(golden_configurations.golden, golden_configurations.FILES)]
    self.assertCountEqual(expected[0].parent.glob('*.gin'), expected)


if __name__ == '__main__':
  absltest.main()
