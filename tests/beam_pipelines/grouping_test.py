import os

from absl.testing import absltest
from absl.testing import parameterized

from beam_pipelines import grouping
from tinygin.config import errors

IDS = ('n01440764', 'n02085620', 'n01443537', 'n15075141')
TABLE = os.path.join(
  os.environ.get('TINYGIN_SHARED_DATA', ''), 'ilsvrc2012-classes.tsv'
)


class GroupingTest(parameterized.TestCase):
  def _file(self, text):
    return self.create_tempfile(content=text).full_path

  def test_by_prefix(self):
    self.assertEqual(
      list(grouping.groups(grouping.ByWordnetPrefix(3), IDS).items()),
      [
        ('n014', ['n01440764', 'n01443537']),
        ('n020', ['n02085620']),
        ('n150', ['n15075141']),
      ],
    )

  def test_three_digits_make_61_groups_of_ilsvrc2012(self):
    if not os.path.exists(TABLE):
      self.skipTest('TINYGIN_SHARED_DATA names no folder with the classes')
    ids = list(grouping.read_table(TABLE))
    self.assertLen(ids, 1000)
    self.assertLen(grouping.groups(grouping.ByWordnetPrefix(3), ids), 61)

  def test_none_makes_a_group_of_each(self):
    self.assertEqual(
      grouping.groups(None, IDS), {id_: [id_] for id_ in sorted(IDS)}
    )

  def test_by_file(self):
    path = self._file(
      '# mine\nn15075141\tpaper\n\nn01440764\tfish\nn01443537\tfish\n'
    )
    self.assertEqual(
      list(grouping.groups(grouping.ByFile(path), IDS).items()),
      [('fish', ['n01440764', 'n01443537']), ('paper', ['n15075141'])],
    )

  def test_what_is_in_the_file_counts_not_where_it_lies(self):
    first = grouping.ByFile(self._file('n1\ta\nn2\tb\n')).identity()
    second = grouping.ByFile(self._file('# the same\nn2\tb\nn1\ta\n'))
    other = grouping.ByFile(self._file('n1\ta\nn2\ta\n'))
    self.assertEqual(second.identity(), first)
    self.assertNotEqual(other.identity(), first)

  @parameterized.parameters(
    ('n1\ta\nn1\tb\n', "'n1\\tb'", 2), ('n1 a\n', "'n1 a'", 1)
  )
  def test_bad_file(self, text, line, number):
    path = self._file(text)
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'{path} must have a WordNet id of its own, a tab and a text on each '
      f'line. Received: {line} at {path}:{number}.',
    ):
      grouping.read_table(path)

  def test_missing_file(self):
    with self.assertRaisesRegex(errors.InputError, 'No such file: none.tsv'):
      grouping.ByFile('none.tsv').identity()

  @parameterized.parameters(
    (None, None, sorted(IDS)),
    (IDS[:2], None, sorted(IDS[:2])),
    (None, IDS[:1], sorted(IDS[1:])),
    (IDS[:3], IDS[:1], sorted(IDS[1:3])),
  )
  def test_select(self, keep, drop, expected):
    self.assertEqual(grouping.select(IDS, keep, drop), expected)

  def test_select_absent(self):
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      'keep_classes and drop_classes must name classes of the source. '
      'Received: n1, n2.',
    ):
      grouping.select(IDS, ['n2', IDS[0]], ['n1'])

  def test_a_single_group(self):
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      'The grouping must leave at least 2 groups. Received: 1 of 2 classes.',
    ):
      grouping.groups(grouping.ByWordnetPrefix(1), ['n01440764', 'n02085620'])


if __name__ == '__main__':
  absltest.main()
