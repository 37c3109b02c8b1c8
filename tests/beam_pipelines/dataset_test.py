"""Compares built data sets with a plain reading of their archives."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent import futures
from unittest import mock

import gin
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl.testing import absltest
from PIL import Image

from beam_pipelines import archives
from beam_pipelines import dataset
from beam_pipelines import fingerprint
from beam_pipelines import grouping
from beam_pipelines import indexing
from beam_pipelines import resize
from beam_pipelines import shards
from beam_pipelines import tasks
from beam_pipelines import verification
from beam_pipelines import versions
from beam_pipelines.sources import ilsvrc
from beam_pipelines.sources import stanford
from tests.beam_pipelines import sample_archives
from tinygin.config import errors
from tinygin.config import files
from tinygin.config import loading

SHARED_DATA = os.environ.get('TINYGIN_SHARED_DATA', '')
ILSVRC = os.path.join(SHARED_DATA, 'ilsvrc-sample')
MINI = os.path.join(SHARED_DATA, 'tiny-imagenet-mini.zip')


def _configure(data_dir, archive, **changes):
  values = {
    'name': 'small',
    'data_dir': data_dir,
    'source': stanford.Stanford(archive),
    'classes': sample_archives.CLASSES,
    'image_size': 64,
    'resize': None,
    'examples_per_shard': 10,
    'max_bad_images': 0,
  }
  return dataset.Dataset(**(values | changes))


def _read(directory, split):
  """Returns a split's examples by id, in order, as its users see them."""
  builder = tfds.builder_from_directory(directory)
  found = builder.as_dataset(
    split,
    decoders={'image': tfds.decode.SkipDecoding()},
    read_config=tfds.ReadConfig(interleave_cycle_length=1),
  )
  return {each['id'].decode(): each for each in found.as_numpy_iterator()}


def _digests(directory):
  return {
    path.name: path.read_bytes()
    for path in pathlib.Path(directory).glob('*.tfrecord*')
  }


@dataclasses.dataclass(frozen=True)
class _Planted:
  """Makes a folder when it is unpickled."""

  path: str

  def __reduce__(self):
    return os.mkdir, (self.path,)


class _Generator(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """The same examples, written by TFDS alone."""

  name = 'tiny_imagenet'
  VERSION = tfds.core.Version('1.0.0')
  pkg_dir_path = pathlib.Path(__file__).parent

  def __init__(self, archive, **kwargs):
    self.images = sample_archives.read_plainly(archive)
    super().__init__(**kwargs)

  def _info(self):
    features = shards.features(64, None)
    features['label'].names = [f'n9900{label:04}' for label in range(12)]
    return tfds.core.DatasetInfo(builder=self, features=features)

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(split) for split in self.images}

  def _generate_examples(self, split):
    for key, (jpeg, wnid, box) in self.images[split].items():
      x_min, y_min, x_max, y_max = np.array(box or (0, 0, 0, 0)) / 64
      yield (
        key,
        {
          'image': jpeg,
          'label': -1 if wnid is None else wnid,
          'id': key,
          'bbox': tfds.features.BBox(y_min, x_min, y_max, x_max),
        },
      )


class DatasetTest(tf.test.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = tempfile.mkdtemp(dir=absltest.TEST_TMPDIR.value)
    cls.archive = os.path.join(cls.folder, 'small.zip')
    sample_archives.SMALL.write(cls.archive)
    cls.built = _configure(os.path.join(cls.folder, 'built'), cls.archive)
    cls.built.build()

  def setUp(self):
    super().setUp()
    self.data_dir = self.create_tempdir().full_path

  def _assert_equals_plain_reading(self, directory, archive):
    info = tfds.builder_from_directory(directory).info
    wnids = info.metadata['wordnet_ids']
    for split, images in sample_archives.read_plainly(archive).items():
      found = _read(directory, split)
      self.assertEqual(info.splits[split].num_examples, len(images))
      self.assertEqual(found.keys(), images.keys())
      for key, (jpeg, wnid, box) in images.items():
        self.assertEqual(found[key]['image'], jpeg)
        label = found[key]['label']
        self.assertEqual(wnid, wnids[label] if label >= 0 else None)
        x_min, y_min, x_max, y_max = box or (0, 0, 0, 0)
        self.assertAllEqual(
          found[key]['bbox'] * 64, [y_min, x_min, y_max, x_max]
        )

  def test_equals_a_plain_reading_of_the_archive(self):
    self._assert_equals_plain_reading(self.built.directory, self.archive)

  def test_mini_equals_a_plain_reading_of_the_archive(self):
    if not os.path.exists(MINI):
      self.skipTest('TINYGIN_SHARED_DATA names no folder with real images')
    mini = _configure(self.data_dir, MINI, classes=20, examples_per_shard=999)
    mini.build()
    self._assert_equals_plain_reading(mini.directory, MINI)
    info = tfds.builder_from_directory(mini.directory).info
    self.assertEqual(
      {split: each.num_examples for split, each in info.splits.items()},
      {'train': 5000, 'validation': 1000, 'test': 100},
    )
    self.assertEqual(info.features['label'].names[4], 'Egyptian cat')

  def test_order_is_that_of_tfds(self):
    generator = _Generator(self.archive, data_dir=self.data_dir)
    generator.download_and_prepare()
    for split in ('train', 'validation', 'test'):
      self.assertEqual(
        list(_read(self.built.directory, split)),
        list(_read(generator.data_dir, split)),
      )

  def test_greyscale_images_decode_as_rgb(self):
    greyscale = dataclasses.replace(sample_archives.SMALL, greyscale=1.0)
    source = _configure(self.data_dir, 'unused', source=greyscale)
    builder = tfds.builder_from_directory(source.build())
    image = next(iter(builder.as_dataset('train')))['image'].numpy()
    self.assertEqual((image.shape, image.dtype), ((64, 64, 3), np.uint8))
    self.assertAllEqual(image[..., 0], image[..., 1])

  def test_files_hold_at_most_the_configured_number(self):
    info = tfds.builder_from_directory(self.built.directory).info
    self.assertEqual(info.splits['train'].shard_lengths, [9, 9, 9, 9])
    self.assertEqual(info.splits['test'].shard_lengths, [6, 6])

  def test_tfds_loads_it_by_name(self):
    found, info = tfds.load(
      'tiny_imagenet/quickstart',
      data_dir=self.data_dir,
      split='validation',
      as_supervised=True,
      with_info=True,
    )
    self.assertEqual(len(found), 600)
    image, label = next(iter(found))
    self.assertEqual(image.shape, (64, 64, 3))
    self.assertIn('disc', info.features['label'].int2str(0))
    self.assertBetween(label.numpy(), 0, 11)
    self.assertIn('@techreport', info.citation)

  def test_same_bytes_from_another_process(self):
    bindings = (
      f"dataset.name = 'small'; dataset.data_dir = {self.data_dir!r};"
      f'stanford.source = {self.archive!r}; CLASSES = 12;'
      'dataset.examples_per_shard = 10'
    )
    command = [
      sys.executable, '-m', 'beam_pipelines.build_dataset',
      '--gin_file=gin/data/stanford.gin', f'--gin_bindings={bindings}',
    ]  # fmt: skip
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)}
    result = subprocess.run(
      command, env=environment, text=True, capture_output=True, check=False
    )
    self.assertEqual(result.returncode, 0, result.stderr)
    directory = os.path.join(self.data_dir, 'tiny_imagenet/small/1.0.0')
    self.assertIn(f'Built {directory} in', result.stdout)
    self.assertIn('36 train, 24 validation, 12 test examples', result.stdout)
    self.assertEqual(_digests(directory), _digests(self.built.directory))

  def test_same_bytes_from_another_thread(self):
    small = _configure(self.data_dir, self.archive)
    with futures.ThreadPoolExecutor(1) as threads:
      threads.submit(small.build).result()
    self.assertEqual(_digests(small.directory), _digests(self.built.directory))

  def test_failed_build_leaves_nothing_and_continues(self):
    small = _configure(self.data_dir, self.archive)
    call, written = shards.Writer.__call__, []

    def write_two_then_fail(writer, path, images):
      if len(written) == 2:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      written.append(path)
      return call(writer, path, images)

    with (
      mock.patch.object(shards.Writer, '__call__', write_two_then_fail),
      self.assertRaisesWithLiteralMatch(
        errors.RunError,
        f'Could not build {small.directory}: No space left on device. Fix that '
        'and build again; finished files are kept.',
      ),
    ):
      small.build()
    self.assertFalse(small.is_built())
    self.assertFalse(os.path.exists(small.directory))
    inodes = [os.stat(path).st_ino for path in written]

    small.build()
    self.assertTrue(small.is_built())
    self.assertEqual(_digests(small.directory), _digests(self.built.directory))
    kept = {os.path.basename(path) for path in written}
    self.assertEqual(
      {os.stat(os.path.join(small.directory, n)).st_ino for n in kept},
      set(inodes),
    )
    self.assertEqual(
      os.listdir(os.path.dirname(small.directory)), [fingerprint.VERSION]
    )

  def test_passing_read_error_rejects_and_moves_no_image(self):
    folder = self.create_tempdir()
    for i in range(12):
      pixels = np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8)
      path = f'n0000000{i % 2}/{i}.JPEG'
      Image.fromarray(pixels).save(folder.create_file(path).full_path)
    source = ilsvrc.Ilsvrc(
      source=folder.full_path,
      class_names=None,
      keep_classes=None,
      drop_classes=None,
      grouping=None,
      examples_per_group=None,
      validation_fraction=0.5,
    )
    intact = _configure(
      self.data_dir, 'unused', source=source, classes=2, max_bad_images=12
    )
    intact.build()
    read_ranges = files.read_ranges
    # The first read hashes the images, the others write them.
    for name, reads in ('hashing', 0), ('writing', 1):
      small = dataclasses.replace(intact, name=name)
      results = [read_ranges] * reads + [
        OSError(errno.EIO, 'Input/output error')
      ]

      def fail_once(*arguments, results=results):
        result = results.pop(0)
        if isinstance(result, OSError):
          raise result
        return result(*arguments)

      with (
        mock.patch.object(files, 'read_ranges', fail_once),
        self.assertRaisesRegex(errors.RunError, ': Input/output error. Fix'),
      ):
        small.build()
      small.build()
      self.assertEqual(_digests(small.directory), _digests(intact.directory))

  def test_files_of_tasks_are_json_and_nothing_else(self):
    small = _configure(self.data_dir, self.archive)
    (work,) = self._fail_at_the_end(small)
    planted = os.path.join(self.data_dir, 'executed')
    pickled = pickle.dumps(_Planted(planted), protocol=0)
    found = 0
    for suffix in ('task', 'json'):
      for path in work.glob(f'*.{suffix}'):
        json.loads(path.read_text(encoding='utf-8'))
        path.write_bytes(pickled)
        found += 1
    self.assertEqual(found, 2 * len(list(work.glob('*.tfrecord-*[0-9]'))))
    self.assertGreater(found, 0)
    report = next(work.glob('*.json'))
    with self.assertRaises(ValueError):
      tasks.execute(shards.Writer(64, None), os.fspath(report.with_suffix('')))
    small.build()
    self.assertEqual(_digests(small.directory), _digests(self.built.directory))
    self.assertFalse(os.path.exists(planted))
    pickle.loads(pickled)
    self.assertTrue(os.path.exists(planted))

  def test_members_are_read_in_the_order_of_their_offsets(self):
    small = _configure(self.data_dir, self.archive, examples_per_shard=100)
    read, offsets = archives.read_stored, []

    def record(members):
      offsets.append([member.offset for member in members])
      return read(members)

    with mock.patch.object(archives, 'read_stored', record):
      small.build()
    shards_read = [each for each in offsets if len(each) > 1]
    self.assertCountEqual(map(len, shards_read), (36, 24, 12))
    for each in shards_read:
      self.assertEqual(each, sorted(each))
    keys = list(_read(small.directory, 'train'))
    self.assertEqual(keys, list(_read(self.built.directory, 'train')))
    places = {
      example.key: example.member.offset
      for example in small.source.index('unused').splits['train']
    }
    self.assertNotEqual(keys, sorted(keys, key=places.get))

  def test_record_file_that_vanished_is_written_again(self):
    small = _configure(self.data_dir, self.archive)
    (work,) = self._fail_at_the_end(small)
    os.remove(next(work.glob('*-train.tfrecord-00001-of-00004')))
    small.build()
    self.assertEqual(_digests(small.directory), _digests(self.built.directory))

  def test_other_versions_write_all_files_again(self):
    small = _configure(self.data_dir, self.archive)
    (work,) = self._fail_at_the_end(small)
    before = {path.name: path.stat().st_ino for path in work.glob('*tfrecord*')}
    other = versions.current() | {'pillow': '0.1'}
    with mock.patch.object(versions, 'current', lambda: other):
      small.build()
    metadata = fingerprint.read(small.directory)
    self.assertEqual(metadata['versions']['pillow'], '0.1')
    for path in pathlib.Path(small.directory).glob('*.tfrecord*'):
      self.assertNotEqual(path.stat().st_ino, before[path.name])

  def test_unfinished_files_of_other_parameters_are_removed(self):
    small = _configure(self.data_dir, self.archive)
    (first,) = self._fail_at_the_end(small)
    other = dataclasses.replace(small, examples_per_shard=11)
    (second,) = self._fail_at_the_end(other)
    self.assertNotEqual(first, second)

  def _fail_at_the_end(self, small):
    """Writes all files; returns the folders that a failed build leaves."""
    with (
      mock.patch.object(shards, 'rejected', side_effect=ZeroDivisionError),
      self.assertRaises(ZeroDivisionError),
    ):
      small.build()
    return list(pathlib.Path(small.directory).parent.iterdir())

  def test_worker_of_another_version(self):
    driver = versions.current()
    worker = driver | {'libjpeg': '0.1'}
    path = os.path.join(self.data_dir, 'task')
    text = json.dumps({'versions': driver, 'images': []})
    pathlib.Path(f'{path}.task').write_text(text)
    with (
      mock.patch.object(versions, 'current', lambda: worker),
      self.assertRaisesRegex(
        errors.RunError, 'libjpeg: on the driver .*, on this worker .0.1.'
      ),
    ):
      tasks.execute(shards.Writer(64, None), path)
    self.assertEqual(os.listdir(self.data_dir), ['task.task'])

  def test_versions_cover_the_code_of_workers(self):
    folder = pathlib.Path(versions.__file__).parent
    reached, ahead = set(), ['shards', 'validation_split']
    while ahead:
      name = ahead.pop()
      if name not in reached | {'fingerprint', 'versions'}:
        reached.add(name)
        text = (folder / f'{name}.py').read_text()
        ahead += re.findall(
          r'^from beam_pipelines import (\w+)', text, re.MULTILINE
        )
    self.assertEqual(set(versions.WORKER_MODULES), reached)

  def test_lost_shard_is_noticed(self):
    small = _configure(self.data_dir, self.archive)
    with (
      mock.patch.object(tasks, 'execute', lambda work, path: None),
      self.assertRaisesRegex(
        RuntimeError, 'success, but did not process .*-00000-of-00004 with 9 '
      ),
    ):
      small.build()
    self.assertFalse(os.path.exists(small.directory))

  def test_all_bad_images_are_named(self):
    images = 'train/n99000003/images/n99000003'
    with zipfile.ZipFile(self.archive) as archive:
      good = archive.read(f'{sample_archives.ROOT}{images}_2.JPEG')
    archive = sample_archives.rewrite(
      self.archive,
      os.path.join(self.data_dir, 'bad.zip'),
      {f'{images}_0.JPEG': b'<html>', f'{images}_2.JPEG': good[:-300]},
    )
    small = _configure(self.data_dir, archive)
    with self.assertRaisesRegex(
      errors.InputError,
      '^Found 2 unusable images; dataset.max_bad_images allows 0:\n'
      f'  tiny-imagenet-200/{images}_0.JPEG: not a JPEG file: it begins with '
      f"b'<html>'.\n  tiny-imagenet-200/{images}_2.JPEG: it cannot be "
      r'decoded: image file is truncated \(.*\)\.\n',
    ):
      small.build()
    self.assertFalse(os.path.exists(small.directory))

    (work,) = pathlib.Path(small.directory).parent.iterdir()
    inodes = {path.name: path.stat().st_ino for path in work.glob('*-of-*')}
    dataclasses.replace(small, max_bad_images=2).build()
    for path in pathlib.Path(small.directory).glob('*.tfrecord*'):
      self.assertEqual(path.stat().st_ino, inodes[path.name])

  def test_images_whatever_their_endings(self):
    folder = self.create_tempdir()
    image = io.BytesIO()
    Image.new('RGB', (64, 64)).save(image, 'JPEG')
    for name in ('0/a.jfif', '0/b', '1/c.jpg', '1/d.txt'):
      name = f'n0000000{name}'
      folder.create_file(name, image.getvalue(), mode='wb')
    folder.create_file('n00000001/notes.doc', 'These are dogs.')
    folder.create_file('n00000001/readme.txt', 'These are dogs.')
    source = ilsvrc.Ilsvrc(
      source=folder.full_path,
      class_names=None,
      keep_classes=None,
      drop_classes=None,
      grouping=None,
      examples_per_group=None,
      validation_fraction=0.0,
    )
    small = _configure(self.data_dir, 'unused', source=source, classes=2)
    with self.assertRaisesRegex(
      errors.InputError,
      '^Found 1 unusable images; .*\n  n00000001/notes.doc: not a JPEG file: ',
    ):
      small.build()
    small = dataclasses.replace(small, max_bad_images=1)
    small.build()
    self.assertCountEqual(_read(small.directory, 'train'), list('abcd'))

  def test_accepted_bad_images_are_left_out_and_listed(self):
    name = 'train/n99000003/images/n99000003_0.JPEG'
    archive = sample_archives.rewrite(
      self.archive, os.path.join(self.data_dir, 'bad.zip'), {name: b'<html>'}
    )
    small = _configure(self.data_dir, archive, max_bad_images=1)
    small.build()
    info = tfds.builder_from_directory(small.directory).info
    self.assertEqual(info.splits['train'].num_examples, 35)
    self.assertNotIn('n99000003_0', _read(small.directory, 'train'))
    with open(os.path.join(small.directory, 'rejected.jsonl')) as file:
      self.assertEqual(
        [json.loads(line) for line in file],
        [
          {
            'split': 'train',
            'id': 'n99000003_0',
            'member': f'tiny-imagenet-200/{name}',
            'reason': "not a JPEG file: it begins with b'<html>'",
          }
        ],
      )
    self.assertEmpty(verification.verify(small.directory).faults)
    stricter = dataclasses.replace(small, max_bad_images=0)
    self.assertEqual(
      stricter.mismatches(),
      [
        'dataset.max_bad_images: 1 images were left out, configured as 0',
      ],
    )

  def test_resized_and_held_out(self):
    folder = self.create_tempdir()
    random = np.random.default_rng(0)
    for wnid in ('n01440764', 'n01443537', 'n02085620'):
      for i in range(20):
        # Every class has the same images: copies must not be divided.
        pixels = np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8)
        image = Image.fromarray(pixels).resize((90 + i, 70))
        file = folder.create_file(f'{wnid}/{wnid}_{i}.JPEG')
        image.save(file.full_path, random.choice(['JPEG', 'PNG']))
    source = ilsvrc.Ilsvrc(
      source=folder.full_path,
      class_names=None,
      keep_classes=None,
      drop_classes=None,
      grouping=grouping.ByWordnetPrefix(3),
      examples_per_group=20,
      validation_fraction=0.3,
    )
    small = _configure(
      self.data_dir,
      'unused',
      source=source,
      classes=2,
      image_size=32,
      resize=resize.Resize('mitchell', None, resize.Jpeg(98, '4:4:4')),
    )
    small.build()
    found = verification.verify(small.directory)
    self.assertEmpty(found.faults)
    self.assertEqual(sum(found.counts.values()), 40)
    self.assertBetween(found.counts['validation'], 3, 25)
    self.assertEqual(found.class_names, ['n014', 'n020'])
    self.assertEqual(found.wordnet_ids, ['n01440764 n01443537', 'n02085620'])
    for split, share in (('train', (0.3, 1)), ('validation', (0, 0.3))):
      for key, example in _read(small.directory, split).items():
        path = os.path.join(folder.full_path, key[:9], f'{key}.JPEG')
        content = pathlib.Path(path).read_bytes()
        self.assertEqual(example['image'], small.resize.apply(content, 32))
        hashed = len(content).to_bytes(8) + content[-4096:]
        first = hashlib.sha256(hashed).digest()[:8]
        self.assertBetween(int.from_bytes(first) / 2**64, *share)

  def test_real_images_of_ilsvrc_in_61_groups(self):
    if not os.path.exists(ILSVRC):
      self.skipTest('TINYGIN_SHARED_DATA names no folder with real images')
    dataset = loading.load(
      ['gin/data/ilsvrc61.gin'],
      [
        f'dataset.data_dir = {self.data_dir!r}; ilsvrc.source = {ILSVRC!r};'
        'ilsvrc.examples_per_group = None'
      ],
      root='dataset',
    ).build()
    found = verification.verify(dataset.build())
    self.assertEmpty(found.faults)
    self.assertLen(found.class_names, 61)
    self.assertEqual(sum(found.counts.values()), 105)
    gin.clear_config()

  def test_images_of_another_size(self):
    small = _configure(self.data_dir, self.archive, image_size=32)
    with self.assertRaisesRegex(
      errors.InputError, 'Found 72 unusable images.*\n.*: 64 x 64 pixels, mode'
    ):
      small.build()

  def test_missing_archive_leaves_nothing(self):
    small = _configure(self.data_dir, os.path.join(self.data_dir, 'none.zip'))
    with self.assertRaisesRegex(errors.InputError, 'No such file: .*none.zip'):
      small.build()
    self.assertEmpty(os.listdir(self.data_dir))

  def test_number_of_classes_is_asserted(self):
    small = _configure(self.data_dir, self.archive, classes=200)
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'dataset.classes must be 12, the number of classes in {self.archive}. '
      f'Received: 200.',
    ):
      small.build()

  def test_parameter_that_differs_is_named(self):
    other = dataclasses.replace(self.built, examples_per_shard=11)
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'{self.built.directory} was built with other parameters:\n'
      f'  dataset.examples_per_shard: built with 10, configured as 11\n'
      f'Delete that folder, or give this data set another dataset.name or '
      f'dataset.data_dir.',
    ):
      other.is_built()

  def test_lost_metadata(self):
    small = _configure(self.data_dir, self.archive)
    shutil.copytree(self.built.directory, small.directory)
    metadata = pathlib.Path(small.directory, 'metadata.json')
    for damage in (lambda: metadata.write_text('{'), metadata.unlink):
      damage()
      with self.assertRaisesRegex(
        errors.InputError,
        r'was built with other parameters:\n(.*\n)*  dataset.classes: '
        r'built with None, configured as 12\n(.*\n)*Delete that folder, or ',
      ):
        small.is_built()

  def test_parameter_of_a_build_that_was_waited_for(self):
    first = _configure(self.data_dir, self.archive)
    second = _configure(self.data_dir, self.archive, examples_per_shard=11)
    read_index = indexing.read_index

    def overtaken(*arguments):
      indexing.read_index = read_index
      first.build()
      return read_index(*arguments)

    with (
      mock.patch.object(indexing, 'read_index', overtaken),
      self.assertRaisesRegex(
        errors.InputError,
        'dataset.examples_per_shard: built with 10, configured as 11',
      ),
    ):
      second.build()

  def test_source_that_differs_is_named(self):
    other = dataclasses.replace(self.built, source=sample_archives.SMALL)
    self.assertIn(
      'synthetic.seed: built with None, configured as 7', other.mismatches()
    )

  def test_built_set_outlives_its_archive(self):
    gone = dataclasses.replace(
      self.built, source=stanford.Stanford(os.path.join(self.folder, 'gone'))
    )
    self.assertTrue(gone.is_built())

  def test_unchanged_source_is_not_read_again(self):
    with mock.patch.object(
      stanford.Stanford, 'identity', side_effect=AssertionError
    ):
      self.assertTrue(_configure(self.built.data_dir, self.archive).is_built())

  def test_other_content_at_another_path_is_noticed(self):
    archive = os.path.join(self.data_dir, 'other.zip')
    dataclasses.replace(sample_archives.SMALL, seed=8).write(archive)
    other = dataclasses.replace(self.built, source=stanford.Stanford(archive))
    with self.assertRaisesRegex(errors.InputError, 'stanford.members: built'):
      other.is_built()

  def test_metadata_holds_fingerprint_and_checksums(self):
    with open(os.path.join(self.built.directory, 'metadata.json')) as file:
      metadata = json.load(file)
    self.assertEqual(
      metadata['fingerprint'], fingerprint.digest(metadata['parameters'])
    )
    self.assertEqual(
      metadata['sha256'].keys(), _digests(self.built.directory).keys()
    )


if __name__ == '__main__':
  tf.test.main()
