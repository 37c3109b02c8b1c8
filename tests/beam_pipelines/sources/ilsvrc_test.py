import io
import os
import tarfile

import fsspec
from absl.testing import absltest
from absl.testing import parameterized

from beam_pipelines import archives
from beam_pipelines import fingerprint
from beam_pipelines import grouping
from beam_pipelines import indexing
from beam_pipelines.sources import ilsvrc
from tinygin.config import errors

COUNTS = {'n01440764': 5, 'n01443537': 2, 'n01484850': 4, 'n02085620': 6}


def _configure(source, **changes):
  values = {
    'source': source,
    'class_names': None,
    'keep_classes': None,
    'drop_classes': None,
    'grouping': None,
    'examples_per_group': None,
    'validation_fraction': 0.0,
  }
  return ilsvrc.Ilsvrc(**(values | changes))


def _keys(index):
  """Returns the keys of each class's examples, in order."""
  found = [[] for _ in index.wordnet_ids]
  for example in index.splits['train']:
    found[example.label].append(example.key)
  return found


def _write_tar(path, contents):
  with tarfile.open(path, 'w') as archive:
    for name, content in contents:
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))


class IlsvrcTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    root = absltest.get_default_test_tmpdir()
    cls.folders, cls.tars, cls.tar = (
      os.path.join(root, name) for name in ('folders', 'tars', 'all.tar')
    )
    os.makedirs(cls.tars, exist_ok=True)
    for wnid, count in COUNTS.items():
      os.makedirs(f'{cls.folders}/{wnid}', exist_ok=True)
      images = [
        (f'{wnid}_{i}.JPEG', f'{wnid} {i}'.encode()) for i in range(count)
      ]
      # Backwards, as the order of an archive is no order of names.
      _write_tar(f'{cls.tars}/{wnid}.tar', images[::-1])
      for name, content in images:
        with open(f'{cls.folders}/{wnid}/{name}', 'wb') as file:
          file.write(content)
    with tarfile.open(cls.tar, 'w') as archive:
      for wnid in reversed(COUNTS):
        archive.add(f'{cls.tars}/{wnid}.tar', f'{wnid}.tar')

  def test_all_layouts_hold_the_same(self):
    found = []
    for source in (self.folders, self.tars, self.tar):
      index = _configure(source).index('unused')
      self.assertEqual(index.wordnet_ids, tuple(sorted(COUNTS)))
      found.append(
        [
          (example.key, example.label, archives.read(example.member))
          for example in index.splits['train']
        ]
      )
    self.assertLen(found[0], sum(COUNTS.values()))
    self.assertEqual(found[1], found[0])
    self.assertEqual(found[2], found[0])
    self.assertIn(('n01484850_3', 2, b'n01484850 3'), found[0])

  @parameterized.parameters(
    (3, ['n01440764_0', 'n01443537_0', 'n01484850_0']),
    (
      5,
      [
        'n01440764_0',
        'n01443537_0',
        'n01484850_0',
        'n01440764_1',
        'n01443537_1',
      ],
    ),
    (
      10,
      [
        'n01440764_0',
        'n01443537_0',
        'n01484850_0',
        'n01440764_1',
        'n01443537_1',
        'n01484850_1',
        'n01440764_2',
        'n01484850_2',
        'n01440764_3',
        'n01484850_3',
      ],
    ),
  )
  def test_groups_take_evenly_in_name_order(self, count, expected):
    source = _configure(
      self.tar,
      grouping=grouping.ByWordnetPrefix(2),
      examples_per_group=min(count, 6),
    )
    index = source.index('unused')
    self.assertEqual(
      index.wordnet_ids, ('n01440764 n01443537 n01484850', 'n02085620')
    )
    self.assertEqual(index.class_names, ('n01', 'n02'))
    self.assertEqual(_keys(index)[0], expected[:6])
    if count == 10:
      source = _configure(self.tar, grouping=grouping.ByWordnetPrefix(2))
      self.assertEqual(_keys(source.index('unused'))[0][:10], expected)

  def test_too_few_images(self):
    source = _configure(self.tar, examples_per_group=5)
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      'ilsvrc.examples_per_group must be at most the number of images in each '
      'group; None takes all. Received: 5, but n01443537 has 2, n01484850 has '
      '4.',
    ):
      source.index('unused')

  def test_keep_and_drop(self):
    index = _configure(
      self.folders, keep_classes=sorted(COUNTS)[1:], drop_classes=['n01484850']
    ).index('unused')
    self.assertEqual(index.wordnet_ids, ('n01443537', 'n02085620'))

  def test_class_names(self):
    table = self.create_tempfile(
      'names.tsv',
      'n01440764\ttench, Tinca\nn01443537\tcrane\nn01484850\tcrane\n',
    ).full_path
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'{table} must name every class of the data set. Not named: n02085620.',
    ):
      _configure(self.folders, class_names=table).index('unused')
    with open(table, 'a', encoding='utf-8') as file:
      file.write('n02085620\tChihuahua\nn99999999\tno class of this source\n')
    index = _configure(self.folders, class_names=table).index('unused')
    self.assertEqual(
      index.class_names,
      ('tench', 'crane (n01443537)', 'crane (n01484850)', 'Chihuahua'),
    )

  def test_identity_is_content_and_parameters(self):
    folders, tars = _configure(self.folders), _configure(self.tars)
    self.assertEqual(folders.identity(), _configure(self.folders).identity())
    self.assertNotEqual(folders.identity(), tars.identity())
    grouped = _configure(self.tars, grouping=grouping.ByWordnetPrefix(3))
    self.assertEqual(
      fingerprint.differences(
        tars.identity(), grouped.identity(), ('was', 'is')
      ),
      [
        "ilsvrc.grouping: was None, is 'by_wordnet_prefix'",
        'by_wordnet_prefix.digits: was None, is 3',
      ],
    )

  def test_absent_source(self):
    absent = _configure('nowhere')
    self.assertEqual(
      fingerprint.differences(
        _configure(self.tar).identity(), absent.identity(), ('was', 'is')
      ),
      [],
    )
    with self.assertRaisesRegex(
      errors.InputError,
      r'^ilsvrc.source must be an existing archive or folder\. No such file',
    ):
      absent.index('unused')

  def test_other_layout(self):
    path = os.path.join(self.create_tempdir().full_path, 'other.tar')
    _write_tar(path, [('cats/a.JPEG', b'')])
    with self.assertRaisesRegex(
      errors.InputError, f'^{path} must hold images like n01440764/.*none.$'
    ):
      _configure(path).index('unused')

  def test_one_class_in_two_folders(self):
    folder = self.create_tempdir()
    for split in ('train', 'val'):
      folder.create_file(f'{split}/n01440764/{split}.JPEG')
    with self.assertRaisesRegex(
      errors.InputError, 'Received: train/n01440764 and val/n01440764. Bind'
    ):
      _configure(folder.full_path).index('unused')

  def test_folders_with_links_and_other_files(self):
    folder = self.create_tempdir()
    os.symlink(f'{self.folders}/n01440764', f'{folder.full_path}/n01440764')
    for name in (
      'a.jpg', 'b.PNG', 'c.Jpeg', 'd.JPEG', 'e.webp', 'f.jfif', 'g',
      'readme.txt',
    ):  # fmt: skip
      folder.create_file(f'n02085620/{name}')
    source = _configure(folder.full_path)
    before = source.identity()
    for name in ('.DS_Store', 'n02085620/._a.jpg', '__MACOSX/n02085620/f.jpg'):
      folder.create_file(name)
    self.assertEqual(source.identity(), before)
    self.assertEqual(
      _keys(source.index('unused')),
      [[f'n01440764_{i}' for i in range(5)], list('abcdefg')],
    )

  def test_names_that_differ_in_their_endings(self):
    folder = self.create_tempdir()
    for name in ('n01440764/a.jpg', 'n01440764/a.JPEG', 'n02085620/b.jpg'):
      folder.create_file(name)
    with self.assertRaisesRegex(errors.InputError, 'n01440764/a.JPEG'):
      indexing.read_index(_configure(folder.full_path), 2, 'unused')

  def test_source_in_a_bucket(self):
    filesystem = fsspec.filesystem('memory')
    for name in os.listdir(self.tars):
      filesystem.put_file(f'{self.tars}/{name}', f'/ilsvrc/{name}')
    source = _configure('memory://ilsvrc')
    local = _configure(self.tars)
    self.assertEqual(source.identity(), local.identity())
    self.assertEqual(
      *(
        [archives.read(example.member) for example in index.splits['train']]
        for index in (source.index('unused'), local.index('unused'))
      )
    )


if __name__ == '__main__':
  absltest.main()
