import os

from absl.testing import absltest
from absl.testing import parameterized

from beam_pipelines import grouping
from tinygin.config import errors

IDS = ('n01440764', 'n02085620', 'n01443537', 'n15075141')
TABLE = os.path.join(
  os.environ.get('TINYGIN_SHARED_DATA', ''), 'ilsvrc2012-classes.tsv'
)


def _groups(grouped_by, ids):
  return grouping.groups(grouped_by, ids, None, None)


class GroupingTest(parameterized.TestCase):
  def _file(self, text):
    return self.create_tempfile(content=text).full_path

  def test_by_prefix(self):
    self.assertEqual(
      list(_groups(grouping.ByWordnetPrefix(3), IDS).items()),
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
    self.assertLen(_groups(grouping.ByWordnetPrefix(3), ids), 61)

  def test_none_makes_a_group_of_each(self):
    self.assertEqual(_groups(None, IDS), {id_: [id_] for id_ in sorted(IDS)})

  def test_by_file(self):
    path = self._file(
      '\ufeffn15075141\tpaper\n\n# mine\nn01440764\tfish\nn01443537\tfish\n'
    )
    self.assertEqual(
      list(_groups(grouping.ByFile(path), IDS).items()),
      [('fish', ['n01440764', 'n01443537']), ('paper', ['n15075141'])],
    )

  def test_by_file_with_ids_that_the_source_lacks(self):
    path = self._file('n15075141\tpaper\nn1\tfish\nn2\tfish\n')
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'{path} must name classes of the source. Unknown: n1, n2.',
    ):
      _groups(grouping.ByFile(path), IDS)

  def test_table_that_is_not_utf8(self):
    path = self.create_tempfile(content=b'n1\t\xe9', mode='wb').full_path
    with self.assertRaisesRegex(errors.InputError, f'{path}: it is not UTF-8'):
      grouping.read_table(path)

  def test_identity_is_the_content_of_the_file_not_its_path(self):
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
      f'Each line of {path} must have a unique WordNet id, a tab and a text. '
      f'Received: {line} at {path}:{number}.',
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
  def test_keep_and_drop(self, keep, drop, expected):
    self.assertEqual(list(grouping.groups(None, IDS, keep, drop)), expected)

  @parameterized.parameters(
    (['n2', IDS[0]], None, 'keep_classes'), (None, ['n2'], 'drop_classes')
  )
  def test_keep_and_drop_unknown(self, keep, drop, parameter):
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'{parameter} must name classes of the source. Unknown: n2.',
    ):
      grouping.groups(None, IDS, keep, drop)

  def test_a_single_group(self):
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      'The grouping must leave at least 2 groups. Received: 1 of 2 classes.',
    ):
      _groups(grouping.ByWordnetPrefix(1), ['n01440764', 'n02085620'])


if __name__ == '__main__':
  absltest.main()
