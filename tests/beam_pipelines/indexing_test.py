import dataclasses
import io

from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from beam_pipelines import archives
from beam_pipelines import indexing
from tinygin.config import errors

_buffer = io.BytesIO()
Image.effect_noise((64, 64), 50).save(_buffer, 'JPEG')
_JPEG = _buffer.getvalue()
_NONE = (None, None)  # Method and CRC-32 of a member of a folder.


@dataclasses.dataclass(frozen=True)
class _Source:
  names: list[str]

  def index(self, downloads):
    found = [
      indexing.Example(
        indexing.image_key(name.rpartition('/')[2]),
        0,
        indexing.NO_BOX,
        archives.Member(name, 'a.zip', 0, 0, 0, None, None),
      )
      for name in self.names
    ]
    return indexing.Index(
      'a.zip', ('n1', 'n2'), ('a', 'b'), {'train': found}, 0.0, {}
    )


class IndexingTest(parameterized.TestCase):
  def test_number_of_classes(self):
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      'dataset.classes must be 2, the number of classes in a.zip. Received: 3.',
    ):
      indexing.read_index(_Source([]), 3, 'unused')

  @parameterized.parameters('n2/x.JPEG', 'n1/x.jpg')
  def test_images_of_one_name(self, name):
    with self.assertRaisesRegex(
      errors.InputError,
      f'Duplicates in the train split of a.zip: n1/x.JPEG, {name}',
    ):
      indexing.read_index(_Source(['n1/x.JPEG', name, 'a/y.png']), 2, 'unused')

  def test_packed_examples(self):
    source = _Source(['n1/ä.JPEG', 'n2/b.png', 'n2/c.jpg'])
    expected = source.index('unused').splits['train']
    found = indexing.read_index(source, 2, 'unused').splits['train']
    self.assertEqual(list(found), expected)
    self.assertEqual(list(found.take([2, 0])), [expected[2], expected[0]])
    self.assertEmpty(found.take([]))

  def test_long_lists_are_shortened(self):
    self.assertEqual(
      indexing.shorten([str(i) for i in range(1012)]),
      '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1,002 more',
    )

  @parameterized.parameters(
    ('a.JPEG', 'a'),
    ('b.1.Png', 'b.1'),
    ('c.jpg', 'c'),
    ('d.jfif', 'd'),
    ('e', 'e'),
    ('img.0001', 'img.0001'),
    ('.jpg', '.jpg'),
    ('photo.txt', 'photo'),
  )
  def test_image_key(self, name, key):
    self.assertEqual(indexing.image_key(name), key)

  @parameterized.parameters(
    ('photo.txt', _JPEG, True),
    ('photo.CSV', _JPEG[:-200], True),
    ('notes.jpg', b'These are dogs.', True),  # The build will name it.
    ('notes', b'These are dogs.', True),
    ('notes.txt', b'These are dogs.', False),
    ('boxes.XML', '<boxes/>'.encode('utf-16'), False),
    ('empty.tsv', b'', False),
  )
  def test_images_by_their_content(self, name, content, expected):
    file = self.create_tempfile(name, content, mode='wb').full_path
    member = archives.Member(name, file, 0, len(content), len(content), *_NONE)
    self.assertEqual(indexing.is_image(member), expected)

  def test_a_table_that_cannot_be_read_is_left_to_the_build(self):
    member = archives.Member('notes.txt', '/absent', 0, 1, 1, *_NONE)
    self.assertTrue(indexing.is_image(member))


if __name__ == '__main__':
  absltest.main()
