import io
import pathlib
import zipfile

import fsspec
from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from beam_pipelines import fingerprint
from beam_pipelines import verification
from beam_pipelines.sources import folder
from tinygin.config import errors
from tinygin.config import loading

_IMAGES = ('cat/1.jpg', 'cat/2.jpg', 'dog/1.jpg', 'dog/park/a.PNG')
_SPLITS = (
  *('train/cat/1.jpg', 'train/cat/2.jpg', 'train/dog/1.jpg'),
  *('val/cat/1.jpg', 'val/dog/9.jpg'),
)


def _image(name, size=(8, 8)):
  """Returns an encoded image; another for each name."""
  buffer = io.BytesIO()
  color = tuple(name.encode()[-3:])
  kind = 'PNG' if name.lower().endswith('.png') else 'JPEG'
  Image.new('RGB', size, color).save(buffer, kind)
  return buffer.getvalue()


class FolderTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)

  def write(self, *names, **contents):
    for name in names:
      path = self.root / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(contents.get('content', _image(name)))

  def index(self, fraction=0.25, source=None):
    return folder.Folder(str(source or self.root), fraction).index('unused')

  def assert_refuses(self, message, fraction=0.25):
    with self.assertRaises(errors.InputError) as caught:
      self.index(fraction)
    self.assertIn(message, str(caught.exception))
    self.assertIn(str(self.root), str(caught.exception))

  def labels(self, index, split='train'):
    return {example.key: example.label for example in index.splits[split]}

  def test_each_folder_is_a_class(self):
    self.write(*reversed(_IMAGES))
    index = self.index()
    self.assertEqual(index.class_names, ('cat', 'dog'))
    self.assertEqual(
      self.labels(index),
      {'cat/1.jpg': 0, 'cat/2.jpg': 0, 'dog/1.jpg': 1, 'dog/park/a.PNG': 1},
    )
    self.assertEmpty(index.splits['validation'])
    self.assertEqual(index.validation_fraction, 0.25)

  @parameterized.parameters('val', 'valid', 'validation')
  def test_splits(self, name):
    self.write(*(each.replace('val/', f'{name}/') for each in _SPLITS))
    index = self.index(None)
    self.assertEqual(
      self.labels(index), {'cat/1.jpg': 0, 'cat/2.jpg': 0, 'dog/1.jpg': 1}
    )
    self.assertEqual(
      self.labels(index, 'validation'), {'cat/1.jpg': 0, 'dog/9.jpg': 1}
    )
    self.assertEqual(index.validation_fraction, 0)
    self.assertCountEqual(index.splits, ['train', 'validation'])

  def test_a_test_split(self):
    self.write(*_SPLITS, 'test/dog/1.jpg')
    self.assertEqual(self.labels(self.index(None), 'test'), {'dog/1.jpg': 1})

  def test_a_class_that_no_validation_image_has(self):
    self.write(*_SPLITS, 'train/owl/1.jpg')
    index = self.index(None)
    self.assertEqual(index.class_names, ('cat', 'dog', 'owl'))
    self.assertEqual(self.labels(index, 'validation')['dog/9.jpg'], 1)

  def test_archive_and_bucket_hold_the_same(self):
    self.write(*_IMAGES)
    path = self.root.parent / f'{self.root.name}.zip'
    bucket = fsspec.filesystem('memory')
    with zipfile.ZipFile(path, 'w') as archive:
      for name in _IMAGES:
        archive.write(self.root / name, name)
        bucket.pipe(f'/pets/{name}', (self.root / name).read_bytes())
    expected = self.labels(self.index())
    for source in (path, 'memory://pets'):
      self.assertEqual(self.labels(self.index(source=source)), expected)

  def test_ignores_what_is_no_image(self):
    self.write(*_IMAGES)
    self.write(
      *('README.md', '.git/a.jpg', 'cat/.hidden.jpg', 'cat/labels.csv'),
      content=b'text',
    )
    self.write('.cache/1.jpg', '.DS_Store', '__MACOSX/cat/1.jpg')
    self.assertCountEqual(self.labels(self.index()), _IMAGES)

  def test_a_class_without_images(self):
    self.write(*_IMAGES)
    (self.root / 'owl').mkdir()
    self.write('fox/notes.txt', content=b'text')
    self.assert_refuses('Received: fox has no images, owl has no images.')

  def test_an_empty_class_of_a_split(self):
    self.write(*_SPLITS)
    (self.root / 'val/owl').mkdir()
    self.assert_refuses(
      'val/owl has no images, val/owl is no class of train/', None
    )

  def test_a_validation_class_without_training_images(self):
    self.write(*_SPLITS, 'val/dogs/1.jpg')
    self.assert_refuses('Received: val/dogs is no class of train/.', None)

  @parameterized.parameters((0.25, ''), (None, 'train/'))
  def test_an_image_outside_the_class_folders(self, fraction, place):
    self.write(*(_SPLITS if fraction is None else _IMAGES), f'{place}x.jpg')
    self.assert_refuses(
      f'{place}x.jpg lies outside the class folders', fraction
    )

  def test_one_class(self):
    self.write('images/cat/1.jpg', 'images/dog/1.jpg')
    self.assert_refuses('it has one class only, images')

  def test_no_class(self):
    self.write('README.md', content=b'text')
    self.assert_refuses('it has no classes')

  def test_splits_that_are_not_declared(self):
    self.write(*_SPLITS)
    self.assert_refuses('Bind folder.validation_fraction = None to use them')

  @parameterized.parameters(
    (_IMAGES,), (_SPLITS[:3],), ((*_SPLITS, 'validation/cat/1.jpg'),)
  )
  def test_declared_splits_that_are_missing_or_ambiguous(self, names):
    self.write(*names)
    self.assert_refuses('must contain the folders train and val', None)

  def test_a_class_may_be_named_train(self):
    self.write('train/1.jpg', 'val/1.jpg', 'bus/1.jpg')
    self.assertEqual(self.index().class_names, ('bus', 'train', 'val'))

  def test_identity_follows_the_files_and_not_the_path(self):
    self.write(*_IMAGES)
    first = folder.Folder(str(self.root), 0.25).identity()
    moved = self.root.rename(f'{self.root}-moved')
    self.assertEqual(folder.Folder(str(moved), 0.25).identity(), first)
    self.assertNotEqual(folder.Folder(str(moved), None).identity(), first)
    (moved / 'cat/3.jpg').write_bytes(b'')
    self.assertNotEqual(folder.Folder(str(moved), 0.25).identity(), first)
    absent = folder.Folder('absent', 0.25).identity()
    self.assertEqual(absent['folder.files'], fingerprint.UNKNOWN)

  def test_gin_file_builds_images_of_any_size_and_name(self):
    for number in range(40):
      for name, ending in (('Katze ä', '.jpg'), ('dog', ''), ('owl', '.txt')):
        path = self.root / f'pets/{name}/same name {number}{ending}'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_image(f'{name}{number}{ending}', (30 + number, 50)))
    declared = loading.load(
      ['gin/data/folder.gin'],
      [
        f"folder.source = '{self.root}/pets'; CLASSES = 3; IMAGE_SIZE = 16",
        f"dataset.data_dir = '{self.root}/data'",
      ],
      root='dataset',
    ).build()
    result = verification.verify(declared.build())
    self.assertEmpty(result.faults)
    self.assertEqual(sum(result.counts.values()), 120)
    self.assertBetween(result.counts['validation'], 1, 40)
    self.assertEqual(list(result.class_names), ['Katze ä', 'dog', 'owl'])
    self.assertTrue(declared.is_built())


if __name__ == '__main__':
  absltest.main()
