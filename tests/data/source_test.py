"""Compares what is read from a data set with what Pillow reads."""

import dataclasses
import io
import itertools
import os
import pathlib
import re
import shutil
import struct
import tempfile
import unittest
from unittest import mock

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from beam_pipelines import dataset
from beam_pipelines import verification
from beam_pipelines.sources import synthetic
from tinygin.config import errors
from tinygin.data import augmentation
from tinygin.data import batches
from tinygin.data import preprocessing
from tinygin.data import records
from tinygin.data import source


def setUpModule():
  global DATASET
  folder = tempfile.TemporaryDirectory()
  unittest.addModuleCleanup(folder.cleanup)
  DATASET = dataset.Dataset(
    name='small',
    data_dir=os.path.join(folder.name, 'any [v2] \\ {*} name'),
    source=synthetic.Synthetic(
      seed=1,
      train_images=4,
      validation_images=2,
      test_images=1,
      noise=0.05,
      greyscale=0.2,
    ),
    classes=12,
    image_size=64,
    examples_per_shard=20,
    resize=None,
    max_bad_images=0,
  )


class SourceTest(parameterized.TestCase):
  def test_a_missing_data_set_is_built_unless_forbidden(self):
    missing = dataclasses.replace(DATASET, name='missing')
    with self.assertRaises(errors.InputError) as caught:
      source.prepare(missing, may_build=False)
    self.assertEqual(
      str(caught.exception),
      f'The data set {missing.directory} does not exist, and --dry writes '
      'nothing. Build it first, with ./bazelw run '
      '//beam_pipelines:build_dataset -- and the same gin files and bindings.',
    )
    self.assertEqual(source.prepare(missing, may_build=True), missing.directory)
    self.assertEqual(
      source.prepare(missing, may_build=False), missing.directory
    )

  def test_reads_what_is_in_the_files(self):
    directory = source.prepare(DATASET, may_build=True)
    split = source.read(directory, 'train', memory_limit_mib=100)
    builder = tfds.builder_from_directory(directory)
    encoded = list(
      builder.as_dataset(
        split='train', decoders={'image': tfds.decode.SkipDecoding()}
      ).as_numpy_iterator()
    )
    self.assertEqual(split.size, 48)
    self.assertEqual(
      split.class_names, tuple(builder.info.features['label'].names)
    )
    for image, label, example in zip(
      split.images.numpy(), split.labels.numpy(), encoded, strict=True
    ):
      opened = Image.open(io.BytesIO(example['image'])).convert('RGB')
      np.testing.assert_array_equal(image, np.asarray(opened))
      self.assertEqual(label, example['label'])

  @parameterized.parameters(
    ('train[:55%]', 'train[55%:]'),
    ('train[:21]', 'train[21:22]', 'train[22:]'),
    ('train[:10%]+train[10%:40%]', 'train[40%:]'),
  )
  def test_parts_of_a_split(self, *names):
    directory = source.prepare(DATASET, may_build=True)
    whole = source.read(directory, 'train', 100)
    parts = [source.read(directory, part, 100) for part in names]
    np.testing.assert_array_equal(
      whole.images, np.concatenate([part.images for part in parts])
    )
    np.testing.assert_array_equal(
      whole.labels, np.concatenate([part.labels for part in parts])
    )

  def test_no_such_split(self):
    directory = source.prepare(DATASET, may_build=True)
    with self.assertRaises(errors.InputError) as caught:
      source.read(directory, 'valid', 100)
    self.assertEqual(
      str(caught.exception),
      f"{directory} has no split 'valid'. Its splits: test, train, validation.",
    )

  def test_an_empty_split(self):
    directory = source.prepare(DATASET, may_build=True)
    with self.assertRaises(errors.InputError) as caught:
      source.read(directory, 'train[:0]', 100)
    self.assertEqual(
      str(caught.exception),
      f"The split 'train[:0]' of {directory} has no examples.",
    )

  def test_labels_that_the_archive_does_not_hold(self):
    directory = source.prepare(DATASET, may_build=True)
    for limit in (0, 100):
      split = source.read(directory, 'test', limit)
      np.testing.assert_array_equal(split.labels, np.full(12, -1))


class StoredImagesTest(parameterized.TestCase):
  """Images that do not fit into memory."""

  @parameterized.parameters(
    'train',
    'validation',
    'train[:50%]',
    'train[19:41]',
    'train[5%:25%]+train[70%:]',
  )
  def test_are_those_that_memory_would_hold(self, name):
    directory = source.prepare(DATASET, may_build=True)
    memory = source.read(directory, name, 100)
    stored = source.read(directory, name, 0)
    self.assertIsInstance(memory.images, tf.Tensor)
    self.assertIsInstance(stored.images, records.StoredImages)
    self.assertEqual(
      (stored.size, stored.name, stored.class_names),
      (memory.size, memory.name, memory.class_names),
    )
    generator = np.random.default_rng(0)
    indices = tf.constant(generator.integers(0, memory.size, 64))
    for ours, theirs in zip(
      stored.gather(indices), memory.gather(indices), strict=True
    ):
      self.assertEqual((ours.dtype, ours.shape), (theirs.dtype, theirs.shape))
      np.testing.assert_array_equal(ours, theirs)

  @parameterized.parameters(0, 5)
  def test_train_as_from_memory(self, first_step):
    directory = source.prepare(DATASET, may_build=True)

    def take(limit):
      dataset = batches.training(
        source.read(directory, 'train[:50%]', limit),
        tf.distribute.OneDeviceStrategy('/cpu:0'),
        batch_size=10,
        first_step=first_step,
        seed=4,
        augmentation=[augmentation.HorizontalFlip(probability=0.5)],
        preprocessing=preprocessing.per_image_standardization,
      )
      return list(itertools.islice(dataset, 6))  # Two epochs and more.

    for stored, memory in zip(take(0), take(100), strict=True):
      np.testing.assert_array_equal(stored[0], memory[0])
      np.testing.assert_array_equal(stored[1], memory[1])

  @parameterized.parameters(
    (
      lambda path: path.unlink(),
      r'FileNotFoundError: \[Errno 2\] No such file or directory: ',
    ),
    (
      lambda path: os.truncate(path, 64),
      r'OSError: \[Errno 5\] Ends too early: ',
    ),
    (
      lambda path: path.write_bytes(b'other' + path.read_bytes()),
      r'OSError: \[Errno 5\] Holds other records: ',
    ),
  )
  def test_whose_files_change_meanwhile(self, change, error):
    directory = self.create_tempdir().full_path + '/copy/1.0.0'
    shutil.copytree(source.prepare(DATASET, may_build=True), directory)
    split = source.read(directory, 'train', 0)
    dataset, _ = batches.evaluation(
      split,
      tf.distribute.OneDeviceStrategy('/cpu:0'),
      batch_size=split.size,
      preprocessing=tf.identity,
    )
    change(next(pathlib.Path(directory).glob('*-train.tfrecord*')))
    with self.assertRaisesRegex(
      errors.RunError,
      f"^The files of the data set must .* Received: {error}'{directory}/.*'. "
      'Restore the files, then resume the run.$',
    ):
      with records.reading():
        next(iter(dataset))


class IndexTest(parameterized.TestCase):
  """The index that is kept beside streamed record files."""

  def setUp(self):
    super().setUp()
    built = source.prepare(DATASET, may_build=True)
    self.directory = pathlib.Path(self.create_tempdir().full_path, 'copy/1.0.0')
    shutil.copytree(
      built, self.directory, ignore=shutil.ignore_patterns('index')
    )
    self.paths = sorted(self.directory.glob('*-train.*'))

  def _read(self, split='train'):
    """Returns a streamed split, and the files that were read through."""
    read = []
    through = records._read_through

    def spy(instructions):
      read.extend(os.path.basename(each.filename) for each in instructions)
      return through(instructions)

    with mock.patch.object(records, '_read_through', spy):
      return source.read(os.fspath(self.directory), split, 0), read

  def _assert_right(self, streamed):
    """Compares with a split in memory, which needs no index."""
    memory = source.read(os.fspath(self.directory), streamed.name, 100)
    indices = tf.range(memory.size, dtype=tf.int64)
    for ours, theirs in zip(
      streamed.gather(indices), memory.gather(indices), strict=True
    ):
      np.testing.assert_array_equal(ours, theirs)

  def _relabel(self, path):
    """Gives the examples of a file new labels; keeps its size."""
    examples = [
      tf.train.Example.FromString(each)
      for each in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    with tf.io.TFRecordWriter(str(path)) as writer:
      for each in examples:
        label = each.features.feature['label'].int64_list
        label.value[0] = (label.value[0] + 1) % 12
        writer.write(each.SerializeToString())

  def test_files_are_read_through_once(self):
    names = [path.name for path in self.paths]
    _, read = self._read('train[:20]')
    self.assertEqual(read, names[:2])
    split, read = self._read()
    self.assertEqual(read, names[2:])
    self._assert_right(split)
    for name in ('train', 'train[5:25]', 'train[:10]+train[12:40]'):
      split, read = self._read(name)
      self.assertEqual(read, [])
      self._assert_right(split)

  def test_a_changed_file_is_read_through_again(self):
    self._read()
    before = self.paths[1].stat()
    self._relabel(self.paths[1])
    self.assertEqual(self.paths[1].stat().st_size, before.st_size)
    os.utime(self.paths[1], ns=(0, before.st_mtime_ns + 10**9))
    split, read = self._read()
    self.assertEqual(read, [self.paths[1].name])
    self._assert_right(split)
    self.assertEqual(self._read()[1], [])

  @parameterized.parameters(0, 100, 300)
  def test_a_damaged_index_is_not_believed(self, place):
    self._read()
    index = self.directory / 'index' / f'{self.paths[0].name}.npz'
    content = bytearray(index.read_bytes())
    content[place] ^= 255
    for damaged in (bytes(content), index.read_bytes()[: place - 1], b''):
      index.write_bytes(damaged)
      split, read = self._read()
      self.assertEqual(read, [self.paths[0].name])
      self._assert_right(split)

  def test_where_the_folder_cannot_be_written_to(self):
    (self.directory / 'index').write_text('in the way')
    for _ in range(2):
      split, read = self._read()
      self.assertLen(read, len(self.paths))
      self._assert_right(split)

  def test_leaves_a_data_set_that_verifies(self):
    self._read()
    self.assertEqual(verification.verify(os.fspath(self.directory)).faults, [])


class DeclarationTest(parameterized.TestCase):
  @parameterized.parameters(
    ('dataset_info.json', '{', 'ParseError'),
    ('dataset_info.json', '{}', 'ValueError'),
    ('features.json', '', 'JSONDecodeError'),
    ('features.json', 'null', 'TypeError'),
  )
  def test_that_cannot_be_read(self, name, content, error):
    built = source.prepare(DATASET, may_build=True)
    directory = self.create_tempdir().full_path + '/copy/1.0.0'
    shutil.copytree(built, directory)
    pathlib.Path(directory, name).write_text(content)
    with self.assertRaisesRegex(
      errors.InputError,
      f'^{directory} must be a data set that TFDS can read. Received: {error}: '
      r'.*[^.]\. Delete that folder and build the data set again.$',
    ):
      source.read(directory, 'train', 100)


@parameterized.named_parameters(('memory', 100), ('stored', 0))
class DamageTest(parameterized.TestCase):
  """Files that are not what the data set declares."""

  def setUp(self):
    super().setUp()
    built = source.prepare(DATASET, may_build=True)
    self.directory = self.create_tempdir().full_path + '/copy/1.0.0'
    shutil.copytree(
      built, self.directory, ignore=shutil.ignore_patterns('index')
    )
    self.paths = sorted(pathlib.Path(self.directory).glob('*-train.*'))
    self.assertGreater(len(self.paths), 1)

  def _assert_fault(self, limit, received):
    with self.assertRaises(errors.InputError) as caught:
      source.read(self.directory, 'train', limit)
    self.assertRegex(
      str(caught.exception),
      f'^The files of {self.directory} must .*dataset_info.json.* '
      f'Received: {re.escape(received)}. Restore the files, or delete the ',
    )

  def test_empty_file(self, limit):
    os.truncate(self.paths[0], 0)
    self._assert_fault(limit, '32 of 48 examples')

  def test_empty_files(self, limit):
    for path in self.paths:
      os.truncate(path, 0)
    self._assert_fault(limit, '0 of 48 examples')

  def test_missing_file(self, limit):
    self.paths[0].unlink()
    self._assert_fault(limit, f'{self.paths[0].name}, which is missing')

  def test_file_that_cannot_be_read(self, limit):
    self.paths[0].unlink()
    # Linux answers EIO, as a broken disk does.
    self.paths[0].symlink_to('/proc/self/mem')
    with self.assertRaisesRegex(
      errors.RunError,
      '^The files of the data set must be readable. Received: '
      f'{self.paths[0]}; Input/output error. Restore the files, then start '
      'again.$',
    ):
      source.read(self.directory, 'train', limit)

  def test_file_that_is_cut_short(self, limit):
    os.truncate(self.paths[0], self.paths[0].stat().st_size - 1)
    self._assert_fault(limit, f'{self.paths[0].name}, which is damaged')

  def test_flipped_bit(self, limit):
    content = bytearray(self.paths[1].read_bytes())
    content[1000] ^= 4
    self.paths[1].write_bytes(content)
    self._assert_fault(limit, f'{self.paths[1].name}, which is damaged')

  def test_not_a_jpeg(self, limit):
    example = tf.train.Example()
    example.ParseFromString(
      next(tf.data.TFRecordDataset(str(self.paths[0])).as_numpy_iterator())
    )
    example.features.feature['image'].bytes_list.value[0] = b'no image'
    with tf.io.TFRecordWriter(str(self.paths[0])) as writer:
      for _ in range(16):
        writer.write(example.SerializeToString())
    if limit:
      self._assert_fault(limit, 'a damaged image or label')
    else:  # Comes to light when the image is asked for.
      split = source.read(self.directory, 'train', limit)
      with self.assertRaisesRegex(tf.errors.InvalidArgumentError, 'image'):
        split.gather(tf.constant([0], tf.int64))

  def test_example_in_another_file(self, limit):
    first, second = (path.read_bytes() for path in self.paths[:2])
    (length,) = struct.unpack('<Q', first[:8])
    record = first[: length + 16]
    self.paths[0].write_bytes(first[len(record) :])
    self.paths[1].write_bytes(second + record)
    received = (
      '47 of 48 examples' if limit else 'other counts in some of the files'
    )
    self._assert_fault(limit, received)


if __name__ == '__main__':
  absltest.main()
