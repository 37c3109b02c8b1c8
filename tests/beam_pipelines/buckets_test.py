"""Data sets and sources in buckets."""

import errno
import hashlib
import io
import json
import os
import pathlib
import tarfile
import tempfile
from unittest import mock

import fsspec
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from fsspec.implementations import memory
from PIL import Image

from beam_pipelines import archives
from beam_pipelines import contact_sheet
from beam_pipelines import dataset
from beam_pipelines import fingerprint
from beam_pipelines import verification
from beam_pipelines.sources import download
from beam_pipelines.sources import ilsvrc
from beam_pipelines.sources import stanford
from tests.beam_pipelines import sample_archives
from tinygin.config import errors
from tinygin.config import files
from tinygin.data import source

MEMORY = fsspec.filesystem('memory')
DATA_DIR = 'memory://bucket/data'


class Counted(memory.MemoryFileSystem):
  """A bucket that notes each request."""

  protocol = 'counted'
  reads: list[tuple[str, int]] = []
  listings: list[str] = []

  @classmethod
  def _strip_protocol(cls, path):
    return super()._strip_protocol(path.replace('counted://', 'memory://'))

  def find(self, path, **kwargs):
    self.listings.append(path)
    return super().find(path, **kwargs)

  def ls(self, path, **kwargs):
    self.listings.append(path)
    return super().ls(path, **kwargs)

  def cat_file(self, path, start=None, end=None, **kwargs):
    content = super().cat_file(path, start, end, **kwargs)
    self.reads.append((path, len(content)))
    return content

  def _open(self, path, mode='rb', **kwargs):
    if mode == 'rb':
      return _CountedFile(self, path, mode, **kwargs)
    return super()._open(path, mode, **kwargs)


class _CountedFile(fsspec.spec.AbstractBufferedFile):
  def _fetch_range(self, start, end):
    return self.fs.cat_file(self.path, start, end)


fsspec.register_implementation('counted', Counted)


def _configure(**changes):
  values = {
    'name': 'small',
    'data_dir': DATA_DIR,
    'source': sample_archives.SMALL,
    'classes': sample_archives.CLASSES,
    'image_size': 64,
    'resize': None,
    'examples_per_shard': 10,
    'max_bad_images': 0,
  }
  return dataset.Dataset(**(values | changes))


def _contents(directory):
  """Returns the files of a data set, without the paths in them."""
  contents = {name: files.read(f'{directory}/{name}') for name in
              files.names(directory)}  # fmt: skip
  for name, content in contents.items():
    if name.endswith('.json'):
      contents[name] = json.loads(content)
  contents['metadata.json'].pop('source', None)
  return contents


def _ilsvrc(path):
  return ilsvrc.Ilsvrc(
    source=path,
    class_names=None,
    keep_classes=None,
    drop_classes=None,
    grouping=None,
    examples_per_group=None,
    validation_fraction=0.3,
  )


def _tar(contents):
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w') as archive:
    for name, content in contents.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return buffer.getvalue()


def _photographs(classes, images):
  """Returns an archive like that of ILSVRC2012, of noise."""
  generator = np.random.default_rng(0)
  tars = {}
  for i in range(classes):
    contents = {}
    for j in range(images):
      pixels = generator.integers(0, 256, (150, 200, 3), np.uint8)
      photograph = io.BytesIO()
      Image.fromarray(pixels).save(photograph, 'JPEG', quality=95)
      contents[f'n{i:08}_{j}.JPEG'] = photograph.getvalue()
    tars[f'n{i:08}.tar'] = _tar(contents)
  return _tar(tars)


class BucketsTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = tempfile.mkdtemp(dir=absltest.TEST_TMPDIR.value)
    cls.local = _configure(data_dir=folder)
    cls.local.build()
    (cls.archive,) = pathlib.Path(folder, 'downloads').glob('*.zip')

  def setUp(self):
    super().setUp()
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = ['']
    Counted.reads.clear()
    Counted.listings.clear()

  def _assert_equals_local(self, small):
    self.assertEqual(
      _contents(small.directory), _contents(self.local.directory)
    )

  def _upload(self, path, url):
    files.write_bytes(url, pathlib.Path(path).read_bytes())

  def test_drawn_source(self):
    small = _configure()
    self.assertEqual(small.build(), f'{DATA_DIR}/tiny_imagenet/small/1.0.0')
    self.assertTrue(small.is_built())
    self.assertEqual(
      _contents(small.directory), _contents(self.local.directory)
    )
    self.assertEqual(files.names(f'{DATA_DIR}/tiny_imagenet/small'), {'1.0.0'})
    (drawn,) = files.list_files(f'{DATA_DIR}/downloads')
    self.assertEqual(drawn.name, self.archive.name)
    self.assertEqual(files.read(drawn.path), self.archive.read_bytes())

  def test_downloaded_source(self):
    content = self.archive.read_bytes()
    official = download.RemoteFile(
      'http://host/official.zip',
      len(content),
      hashlib.sha256(content).hexdigest(),
    )
    response = io.BytesIO(content)
    with (
      mock.patch.object(stanford, 'official_archive', return_value=official),
      mock.patch.object(
        download.urllib.request, 'urlopen', return_value=response
      ),
    ):
      small = _configure(source=stanford.Stanford(official.url))
      small.build()
    self.assertEqual(files.read(f'{DATA_DIR}/downloads/official.zip'), content)
    self.assertEqual(
      fingerprint.read(small.directory)['sha256'],
      fingerprint.read(self.local.directory)['sha256'],
    )

  def test_verify(self):
    small = _configure()
    small.build()
    found = verification.verify(small.directory)
    self.assertEmpty(found.faults)
    self.assertEqual(found.counts, {'train': 36, 'validation': 24, 'test': 12})
    contact_sheet.write(found, f'{small.directory}/contact_sheet.png')
    contact_sheet.write_table(found, f'{small.directory}/classes.tsv')
    sheet = Image.open(
      io.BytesIO(files.read(f'{small.directory}/contact_sheet.png'))
    )
    self.assertGreater(sheet.width, 64)
    name = min(
      each for each in files.names(small.directory) if '-train' in each
    )
    content = bytearray(files.read(f'{small.directory}/{name}'))
    content[1000] ^= 4
    files.write_bytes(f'{small.directory}/{name}', bytes(content))
    (damaged, checksum) = verification.verify(small.directory).faults
    self.assertStartsWith(damaged, f'{name}: a record is damaged')
    self.assertStartsWith(checksum, f'{name}: the SHA-256 must be')

  @parameterized.named_parameters(('memory', 100), ('streamed', 0))
  def test_read_for_training(self, limit):
    small = _configure()
    small.build()
    for name in ('train', 'validation[:50%]', 'train[5%:25%]+train[70%:]'):
      split = source.read(small.directory, name, limit)
      expected = source.read(self.local.directory, name, limit)
      indices = tf.range(split.size, dtype=tf.int64)[::-1]
      for found, local in zip(
        split.gather(indices), expected.gather(indices), strict=True
      ):
        np.testing.assert_array_equal(found, local)
    files.remove(f'{small.directory}/{self._train_file(small)}')
    with self.assertRaisesRegex(
      errors.InputError, '-train.tfrecord-00000-of-00004, which is missing'
    ):
      source.read(small.directory, 'train', limit)

  def test_fails_while_streaming(self):
    small = _configure()
    small.build()
    split = source.read(small.directory, 'train', 0)
    file = f'{small.directory}/{self._train_file(small)}'
    files.write_bytes(file, files.read(file)[:-100])
    with self.assertRaisesRegex(OSError, f"Ends too early: '{file}'"):
      split.gather(tf.range(split.size, dtype=tf.int64))

  def _train_file(self, small):
    return min(each for each in files.names(small.directory) if 'train' in each)

  def test_half_a_data_set_never_loads(self):
    small = _configure()
    move = files.move
    for allowed in range(100):
      MEMORY.store.clear()
      MEMORY.pseudo_dirs[:] = ['']
      left = [allowed]

      def fail_later(path, target, left=left):
        # Files get their names by a move. Others than the data set's succeed.
        if target.startswith(small.directory):
          if not left[0]:
            raise OSError(errno.EIO, 'Connection lost')
          left[0] -= 1
        return move(path, target)

      with mock.patch.object(files, 'move', fail_later):
        try:
          small.build()
          break
        except errors.RunError as error:
          self.assertIn('Connection lost', str(error))
      self.assertFalse(small.is_built())
      with self.assertRaises(errors.InputError):
        source.read(small.directory, 'train', 100)
    # All record files, the declarations and more were the last one once.
    self.assertGreater(allowed, 10)
    self.assertEqual(
      _contents(small.directory), _contents(self.local.directory)
    )

  def test_build_goes_on_after_a_failure(self):
    small = _configure()
    with (
      mock.patch.object(files, 'move', side_effect=OSError(errno.EIO, 'Lost')),
      self.assertRaises(errors.RunError),
    ):
      small.build()
    small.build()
    self.assertEqual(
      _contents(small.directory), _contents(self.local.directory)
    )
    self.assertEqual(files.names(f'{DATA_DIR}/tiny_imagenet/small'), {'1.0.0'})

  def test_bytes_read_from_a_zip_archive(self):
    url = 'counted://bucket/small.zip'
    self._upload(self.archive, 'memory://bucket/small.zip')
    with tempfile.TemporaryDirectory() as folder:
      small = _configure(source=stanford.Stanford(url), data_dir=folder)
      small.build()
      self.assertEqual(
        fingerprint.read(small.directory)['sha256'],
        fingerprint.read(self.local.directory)['sha256'],
      )
    archive = self.archive.stat().st_size
    self.assertLess(sum(size for _, size in Counted.reads), 1.2 * archive)
    # The directory is read once: a zip archive of n members takes n requests.
    members = archives.members(os.fspath(self.archive))
    self.assertLess(len(Counted.reads), len(members) + 10)

  @parameterized.parameters('tar', 'folder of tars')
  def test_bytes_read_from_tar_archives(self, kind):
    photographs = _photographs(classes=3, images=20)
    path = 'bucket/all.tar'
    if kind == 'tar':
      files.write_bytes(f'memory://{path}', photographs)
    else:
      path = 'bucket/all'
      with tarfile.open(fileobj=io.BytesIO(photographs)) as archive:
        for member in archive:
          content = archive.extractfile(member).read()
          files.write_bytes(f'memory://{path}/{member.name}', content)
    members = archives.members(f'counted://{path}')
    self.assertLen(members, 60)
    listed = sum(size for _, size in Counted.reads)
    self.assertLess(listed, 0.1 * len(photographs))
    self.assertLess(len(Counted.reads), len(members) + 20)
    Counted.reads.clear()
    with tempfile.TemporaryDirectory() as folder:
      _configure(
        source=_ilsvrc(f'counted://{path}'),
        classes=3,
        data_dir=folder,
        image_size=32,
        resize=dataset.resizing.Resize(
          'box', None, dataset.resizing.Jpeg(90, '4:2:0')
        ),
      ).build()
    self.assertLess(
      sum(size for _, size in Counted.reads), 1.2 * len(photographs)
    )


if __name__ == '__main__':
  tf.test.main()
