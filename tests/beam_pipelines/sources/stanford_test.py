import dataclasses
import os
import pathlib
import zipfile
from unittest import mock

import fsspec
from absl.testing import absltest
from absl.testing import parameterized

from beam_pipelines import fingerprint
from beam_pipelines.sources import download
from beam_pipelines.sources import stanford
from tests.beam_pipelines import sample_archives
from tinygin.config import errors

ID = 'n99000003'
BOXES = f'train/{ID}/{ID}_boxes.txt'


class StanfordTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = absltest.TEST_TMPDIR.value
    cls.good = os.path.join(cls.folder, 'good.zip')
    sample_archives.SMALL.write(cls.good)

  def _changed(self, changes):
    target = os.path.join(self.create_tempdir().full_path, 'changed.zip')
    return sample_archives.rewrite(self.good, target, changes)

  def test_index_equals_a_plain_reading(self):
    index = stanford.Stanford(self.good).index('unused')
    plain = sample_archives.read_plainly(self.good)
    self.assertEqual(list(index.wordnet_ids), sorted(index.wordnet_ids))
    for split, images in plain.items():
      found = {
        each.key: (
          index.wordnet_ids[each.label] if each.label >= 0 else None,
          None if each.label < 0 else tuple(int(64 * x) for x in each.box),
        )
        for each in index.splits[split]
      }
      self.assertEqual(
        found,
        {
          key: (wnid, box and (box[1], box[0], box[3], box[2]))
          for key, (_, wnid, box) in images.items()
        },
      )

  def test_labels_follow_the_sorted_ids(self):
    ids = [f'n9900{label:04}' for label in reversed(range(12))]
    path = self._changed({'wnids.txt': '\n'.join(ids).encode()})
    self.assertEqual(
      stanford.index_archive(path).splits['train'],
      [
        example._replace(
          member=mock.ANY,
        )
        for example in stanford.index_archive(self.good).splits['train']
      ],
    )

  def test_names_that_two_classes_share_get_their_ids(self):
    words = ''.join(
      f'n9900{label:04}\t{"crane" if label < 2 else f"bird {label}"}, other\n'
      for label in range(12)
    )
    index = stanford.index_archive(self._changed({'words.txt': words.encode()}))
    self.assertEqual(
      index.class_names[:3],
      ('crane (n99000000)', 'crane (n99000001)', 'bird 2'),
    )

  @parameterized.parameters(
    ({BOXES: None}, f'{BOXES} is missing.'),
    ({BOXES: b''}, f'{BOXES} is empty.'),
    (
      {f'train/{ID}/images/{ID}_1.JPEG': None},
      f'train/{ID}/images/{ID}_1.JPEG is missing, but has a line in {BOXES}.',
    ),
    (
      {f'train/{ID}/images/more.JPEG': b''},
      f'train/{ID}/images/more.JPEG has no line in {BOXES}.',
    ),
    (
      {BOXES: f'{ID}_0.JPEG\t0\t0\t63\n'.encode()},
      f'{BOXES} must have one line of 5 tab-separated columns for each image. '
      f"Received: '{ID}_0.JPEG\\t0\\t0\\t63'.",
    ),
    (
      {BOXES: f'{ID}_0.JPEG\t9\t0\t5\t63\n'.encode()},
      f'{BOXES} must give boxes as x0, y0, x1, y1 in 0 to 64, the smaller '
      f"first. Received: ['9', '0', '5', '63'].",
    ),
    (
      {'wnids.txt': b'n99000000\nn99000001\n'},
      'val/val_annotations.txt must name classes of wnids.txt. Received: '
      "'n99000002' for val_2.JPEG.",
    ),
    ({'words.txt': b'n99000000\tdisc\n'}, f'words.txt has no line for {ID}.'),
    (
      {'wnids.txt': b'n99000000\nn99000000\n'},
      'wnids.txt must not repeat an id.',
    ),
    (
      {'words.txt': b'\xff\xfe'},
      "words.txt: 'utf-8' codec can't decode byte 0xff in position 0: invalid "
      'start byte.',
    ),
  )
  def test_faults_of_layout(self, changes, fault):
    path = self._changed(changes)
    with self.assertRaises(errors.InputError) as raised:
      stanford.index_archive(path)
    first, *faults = str(raised.exception).split('\n  ')
    self.assertStartsWith(
      first, f'{path} must have the layout of tiny-imagenet-200. '
    )
    self.assertIn(fault, faults)

  def test_all_faults_are_listed(self):
    path = self._changed(
      {'val/val_annotations.txt': b'val_0.JPEG\tn99000000\t0\t0\t1\t1\n'}
    )
    with self.assertRaises(errors.InputError) as raised:
      stanford.index_archive(path)
    first, *lines = str(raised.exception).split('\n  ')
    self.assertEndsWith(first, 'Faults (23):')
    missing = sorted(f'val_{i}.JPEG' for i in range(1, 24))
    self.assertEqual(
      lines,
      [
        f'val/images/{file} has no line in val/val_annotations.txt.'
        for file in missing[:20]
      ]
      + ['… and 3 more.'],
    )

  @parameterized.parameters(
    (b'val_1.JPEG',),
    (b'val_1.JPEG n99000001 0 0 1 1',),
    (b'val_1.JPEG\tn99000001\t0\t0\t1',),
  )
  def test_annotation_without_its_columns(self, line):
    path = self._changed({'val/val_annotations.txt': line})
    with self.assertRaisesRegex(
      errors.InputError,
      f'val/val_annotations.txt must have one line of 6 tab-separated columns '
      f'for each image. Received: {line.decode()!r}'.replace('\\', '.'),
    ):
      stanford.index_archive(path)

  def _extract(self):
    folder = self.create_tempdir().full_path
    with zipfile.ZipFile(self.good) as archive:
      archive.extractall(folder)
    return pathlib.Path(folder, sample_archives.ROOT)

  def _sort_validation(self, folder):
    """Does what most scripts for other frameworks do."""
    table = (folder / 'val/val_annotations.txt').read_text()
    for line in table.splitlines():
      file, wordnet_id, *_ = line.split('\t')
      (folder / 'val' / wordnet_id).mkdir(exist_ok=True)
      (folder / 'val/images' / file).rename(folder / 'val' / wordnet_id / file)

  def test_validation_images_sorted_into_class_folders(self):
    folder = self._extract()
    expected = stanford.index_archive(str(folder)).splits['validation']
    self._sort_validation(folder)
    found = stanford.index_archive(str(folder)).splits['validation']
    self.assertEqual(
      [each._replace(member=None) for each in found],
      [each._replace(member=None) for each in expected],
    )
    (folder / 'val/val_annotations.txt').unlink()
    with self.assertRaises(errors.InputError) as raised:
      stanford.index_archive(str(folder))
    self.assertEqual(
      str(raised.exception).split('\n  ')[1:],
      [
        'val/val_annotations.txt is missing.',
        'val/ was sorted into class folders, and the boxes are lost. Unpack '
        'val/ from the original archive again.',
      ],
    )

  @parameterized.parameters('train', 'val')
  def test_missing_folder_is_one_fault(self, name):
    folder = self._extract()
    for path in (folder / name).rglob('*.JPEG'):
      path.unlink()
    with self.assertRaises(errors.InputError) as raised:
      stanford.index_archive(str(folder))
    self.assertEndsWith(
      str(raised.exception),
      f'Faults (1):\n  {name}/ must hold images. Received: none.',
    )

  def test_images_of_any_name_and_windows_files(self):
    folder = self._extract()
    expected = stanford.Stanford(str(folder))
    before = expected.identity()
    for name in ('.DS_Store', f'train/{ID}/images/._{ID}_0.JPEG', 'Thumbs.db'):
      (folder / name).write_bytes(b'')
    self.assertEqual(expected.identity(), before)
    self.assertLen(expected.index('unused').splits['train'], 36)
    table = folder / BOXES
    (folder / f'train/{ID}/images/notes.txt').write_text('These are dogs.')
    for old, new in (
      ('0.JPEG', '0.jfif'), ('1.JPEG', '1'), ('2.JPEG', '2.txt'),
    ):  # fmt: skip
      image = folder / f'train/{ID}/images/{ID}_{old}'
      image.rename(str(image).replace(old, new))
      table.write_text(table.read_text().replace(old, new))
    self.assertEqual(
      [
        each._replace(member=None)
        for each in expected.index('').splits['train']
      ],
      [
        each._replace(member=None)
        for each in stanford.index_archive(self.good).splits['train']
      ],
    )

  def test_byte_order_marks(self):
    with zipfile.ZipFile(self.good) as archive:
      tables = {
        name: b'\xef\xbb\xbf' + archive.read(sample_archives.ROOT + name)
        for name in ('wnids.txt', 'words.txt', BOXES)
      }
    self.assertEqual(
      dataclasses.replace(
        stanford.index_archive(self._changed(tables)),
        origin='',
        splits={},
        identity={},
      ),
      dataclasses.replace(
        stanford.index_archive(self.good), origin='', splits={}, identity={}
      ),
    )

  def test_one_name_in_two_classes(self):
    other = 'n99000004'
    with zipfile.ZipFile(self.good) as archive:
      image = archive.read(
        f'{sample_archives.ROOT}train/{ID}/images/{ID}_0.JPEG'
      )
    path = self._changed({f'train/{other}/images/{ID}_0.JPEG': image})
    with self.assertRaisesRegex(
      errors.InputError, f'train/ must hold one image named {ID}_0.JPEG'
    ):
      stanford.index_archive(path)

  @parameterized.parameters((None, 'missing'), (b'', 'empty'))
  def test_table_that_is_not_there_is_one_fault(self, content, reason):
    path = self._changed({'val/val_annotations.txt': content})
    with self.assertRaises(errors.InputError) as raised:
      stanford.index_archive(path)
    self.assertEndsWith(
      str(raised.exception),
      f' Faults (1):\n  val/val_annotations.txt is {reason}.',
    )

  def test_archive_of_something_else(self):
    path = self._changed({'wnids.txt': None})
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'The archive must hold exactly one wnids.txt, like tiny-imagenet-200. '
      f'Received: {path}, which holds 0.',
    ):
      stanford.index_archive(path)

  def test_missing_archive(self):
    source = stanford.Stanford(os.path.join(self.folder, 'none.zip'))
    self.assertEqual(
      source.identity(), {'stanford.members': fingerprint.UNKNOWN}
    )
    with self.assertRaisesRegex(
      errors.InputError,
      r'^stanford.source must be an existing archive or folder\. '
      r'No such file: .*none.zip',
    ):
      source.index('unused')

  def test_unknown_scheme(self):
    with self.assertRaisesRegex(
      errors.InputError,
      'fsspec cannot open nope://a.zip: Protocol not known',
    ):
      stanford.Stanford('nope://a.zip').index('unused')

  def test_extracted_folder_has_the_same_examples(self):
    folder = self.create_tempdir().full_path
    with zipfile.ZipFile(self.good) as archive:
      archive.extractall(folder)
    root = os.path.join(folder, sample_archives.ROOT)
    for path in (folder, root):
      extracted = stanford.Stanford(path).index('unused')
      archived = stanford.Stanford(self.good).index('unused')
      self.assertEqual(extracted.class_names, archived.class_names)
      for split, found in archived.splits.items():
        self.assertCountEqual(
          [each._replace(member=None) for each in extracted.splits[split]],
          [each._replace(member=None) for each in found],
        )

  def test_identity_of_a_folder_is_names_and_sizes(self):
    folder = self.create_tempdir()
    folder.create_file('wnids.txt', 'n1')
    source = stanford.Stanford(folder.full_path)
    before = source.identity()
    self.assertEqual(source.identity(), before)
    folder.create_file('words.txt', 'n1')
    self.assertNotEqual(source.identity(), before)

  def test_identity_is_the_content_not_the_path(self):
    copy = os.path.join(self.create_tempdir().full_path, 'copy.zip')
    with open(self.good, 'rb') as source, open(copy, 'wb') as target:
      target.write(source.read())
    self.assertEqual(
      stanford.Stanford(copy).identity(),
      stanford.Stanford(self.good).identity(),
    )
    self.assertNotEqual(
      stanford.Stanford(self._changed({'words.txt': None})).identity(),
      stanford.Stanford(self.good).identity(),
    )

  def test_archive_in_a_bucket(self):
    with open(self.good, 'rb') as file:
      fsspec.filesystem('memory').pipe('/b/good.zip', file.read())
    source = stanford.Stanford('memory://b/good.zip')
    local = stanford.Stanford(self.good)
    self.assertEqual(source.identity(), local.identity())
    found, expected = (each.index('unused') for each in (source, local))
    self.assertEqual(found.class_names, expected.class_names)
    self.assertEqual(
      found.splits['test'][0].member,
      expected.splits['test'][0].member._replace(archive='memory://b/good.zip'),
    )

  def test_official_archive_is_known_without_it(self):
    official = stanford.official_archive()
    self.assertEqual(
      dataclasses.astuple(official),
      (
        'http://cs231n.stanford.edu/tiny-imagenet-200.zip',
        248_100_043,
        '6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821',
      ),
    )
    self.assertEqual(
      stanford.Stanford(official.url).identity(),
      {'stanford.sha256': official.sha256},
    )

  def test_damaged_copy_of_the_official_archive(self):
    size = os.path.getsize(self.good)
    official = download.RemoteFile('http://host/official.zip', size, 'f' * 64)
    with (
      mock.patch.object(stanford, 'official_archive', return_value=official),
      self.assertRaisesWithLiteralMatch(
        errors.InputError,
        f'official.zip must be {size:,} bytes with SHA-256 {"f" * 64}. '
        f'Received from {self.good}: {size:,} bytes with SHA-256 '
        f'{download.sha256(self.good)}. Fetch it again.',
      ),
    ):
      stanford.Stanford(self.good).identity()


if __name__ == '__main__':
  absltest.main()
