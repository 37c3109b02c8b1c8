"""Finds every kind of damage and reports each in a sentence."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import weakref
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from beam_pipelines import contact_sheet
from beam_pipelines import dataset
from beam_pipelines import verification
from tests.beam_pipelines import sample_archives


def _records(path):
  return [
    tf.train.Example.FromString(record)
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
  ]


class VerifyDatasetTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.dataset = dataset.Dataset(
      name='small',
      data_dir=tempfile.mkdtemp(' [a] \\ {*}', dir=absltest.TEST_TMPDIR.value),
      source=sample_archives.SMALL,
      classes=12,
      image_size=64,
      resize=None,
      examples_per_shard=12,
      max_bad_images=0,
    )
    cls.built = cls.dataset.build()

  def setUp(self):
    super().setUp()
    self.copy = pathlib.Path(self.create_tempdir().full_path, 'copy')
    shutil.copytree(self.built, self.copy)
    (self.train,) = self.copy.glob('*-train.tfrecord-00000-of-*')

  def _change(self, change, path=None):
    """Rewrites a record file, with its checksum, after changing an example."""
    path = path or self.train
    examples = _records(path)
    change(examples)
    with tf.io.TFRecordWriter(str(path)) as writer:
      for example in examples:
        writer.write(example.SerializeToString())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    self._edit_metadata(lambda each: each['sha256'].update({path.name: digest}))

  def _edit_metadata(self, edit):
    path = self.copy / 'metadata.json'
    metadata = json.loads(path.read_text())
    edit(metadata)
    path.write_text(json.dumps(metadata))

  def _faults(self):
    return verification.verify(str(self.copy)).faults

  def test_intact(self):
    found = verification.verify(str(self.copy))
    self.assertEmpty(found.faults)
    self.assertEqual(found.counts, {'train': 36, 'validation': 24, 'test': 12})
    self.assertEqual(
      {label: len(images) for label, images in found.samples.items()},
      dict.fromkeys(range(12), 5),
    )
    self.assertEqual(found.class_counts['train'], dict.fromkeys(range(12), 3))

  def test_changed_byte(self):
    content = bytearray(self.train.read_bytes())
    content[2000] ^= 1
    self.train.write_bytes(content)
    record, checksum = self._faults()
    self.assertRegex(
      checksum, f'^{self.train.name}: the SHA-256 must be .* Received: '
    )
    self.assertStartsWith(
      record, f'{self.train.name}: a record is damaged: corrupted record'
    )

  def test_missing_and_undeclared_files(self):
    self.train.rename(self.train.with_name('more.tfrecord'))
    self.assertEqual(
      self._faults(),
      [
        'more.tfrecord is not part of the data set.',
        f'{self.train.name} is missing.',
      ],
    )

  def test_lost_example(self):
    count = len(_records(self.train))
    self._change(lambda examples: examples.pop())
    self.assertEqual(
      self._faults(),
      [f'{self.train.name} must hold {count} examples. Received: {count - 1}.'],
    )

  @parameterized.parameters(
    (12, 'train', 'from 0 to 11'),
    (-1, 'train', 'from 0 to 11'),
    (3, 'test', 'from -1 to -1'),
  )
  def test_label_out_of_range(self, label, split, expected):
    (path,) = self.copy.glob(f'*-{split}.tfrecord-00000-of-*')
    key = _records(path)[0].features.feature['id'].bytes_list.value[0].decode()

    def change(examples):
      examples[0].features.feature['label'].int64_list.value[0] = label

    self._change(change, path)
    self.assertEqual(
      self._faults(),
      [f'{path.name}, {key}: the label must be {expected}. Received: {label}.'],
    )

  def test_bad_images(self):
    small = pathlib.Path(self.create_tempdir().full_path, 'small.jpeg')
    Image.new('RGB', (9, 8)).save(small)

    def change(examples):
      for example, image in zip(
        examples, (b'<html>', small.read_bytes()), strict=False
      ):
        example.features.feature['image'].bytes_list.value[0] = image

    self._change(change)
    faults = self._faults()
    self.assertLen(faults, 2)
    self.assertRegex(
      faults[0], r': the image must be \(64, 64, 3\)\. Received: none: cannot'
    )
    self.assertEndsWith(faults[1], 'Received: (8, 9, 3).')

  def test_id_twice(self):
    def change(examples):
      examples[0].features.feature['id'].CopyFrom(
        examples[1].features.feature['id']
      )

    self._change(change)
    (fault,) = self._faults()
    self.assertRegex(
      fault, '^train: the id n99.* must be unique. Received: 2 times.$'
    )

  @parameterized.parameters(True, False)
  def test_image_in_two_splits(self, made_here):
    (path,) = self.copy.glob('*-validation.tfrecord-00000-of-*')
    image = _records(path)[0].features.feature['image']

    def change(examples):
      examples[0].features.feature['image'].CopyFrom(image)

    self._change(change)
    if made_here:
      self._edit_metadata(
        lambda each: each['parameters'].update(
          {'ilsvrc.validation_fraction': 0.1}
        )
      )
    found = verification.verify(str(self.copy))
    texts = [each for each in found.faults if 'fingerprint' not in each]
    (text,) = texts if made_here else found.notes
    self.assertLen(texts, int(made_here))
    self.assertRegex(
      text, '^1 images are in both (train|validation) and .*: .* = '
    )

  def test_changed_parameters(self):
    self._edit_metadata(
      lambda each: each['parameters'].update({'dataset.image_size': 32})
    )
    (fault,) = self._faults()
    self.assertStartsWith(fault, 'metadata.json: the fingerprint must be ')

  @parameterized.parameters('{', '[]')
  def test_unreadable_metadata(self, content):
    (self.copy / 'metadata.json').write_text(content)
    self.assertRegex(
      self._faults()[0],
      '^metadata.json: the fingerprint must be .* Received: none.$',
    )

  def test_rejected_images_are_counted(self):
    self._edit_metadata(lambda each: each.update({'rejected': 2}))
    self.assertEqual(
      self._faults(), ['rejected.jsonl must list 2 images. Received: 0.']
    )
    (self.copy / 'rejected.jsonl').write_text('{')
    (fault,) = self._faults()
    self.assertStartsWith(
      fault,
      'rejected.jsonl must list 2 images. Received: none, as it is damaged: ',
    )

  def test_contact_sheet_shows_the_images(self):
    found = verification.verify(str(self.copy))
    path = self.copy / 'contact_sheet.png'
    contact_sheet.write(found, str(path))
    sheet = np.asarray(Image.open(path))
    for label, images in found.samples.items():
      row = sheet[66 * label : 66 * label + 64]
      for i, image in enumerate(images):
        left = 220 + 66 * i
        np.testing.assert_array_equal(row[:, left : left + 64], image)

  def test_memory_holds_only_the_samples_and_one_file(self):
    directory = dataclasses.replace(
      self.dataset, name='files', examples_per_shard=1
    ).build()
    decode, images, most = verification._decode, [], 0

    def count(content):
      nonlocal most
      image = decode(content)
      images.append(weakref.ref(image))
      most = max(most, sum(each() is not None for each in images))
      return image

    with (
      mock.patch.object(verification, '_decode', count),
      mock.patch.object(verification, '_SAMPLES', 1),
    ):
      found = verification.verify(directory)
    self.assertLen(found.samples, 12)
    self.assertBetween(most, 12, 14)

  def test_folder_that_cannot_be_written(self):
    (self.copy / 'classes.tsv').mkdir()
    result = subprocess.run(
      [sys.executable, '-m', 'beam_pipelines.verify_dataset',
       f'--data_dir={self.copy}'],
      env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
      text=True, capture_output=True, check=False,
    )  # fmt: skip
    self.assertEqual((result.returncode, result.stderr), (0, ''))
    self.assertRegex(result.stdout, '36 train.*\n  Note: .*not written: ')

  def test_program(self):
    unreadable = self.create_tempdir().full_path
    shutil.copytree(self.copy, f'{unreadable}/a')
    shutil.copytree(self.copy, f'{unreadable}/b')
    pathlib.Path(unreadable, 'b/dataset_info.json').write_text('{')
    self._edit_metadata(lambda each: each.update({'rejected': 2}))
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)}
    results = [
      subprocess.run(
        [sys.executable, '-m', 'beam_pipelines.verify_dataset',
         f'--data_dir={path}'],
        env=environment, text=True, capture_output=True, check=False,
      )
      for path in (self.built, self.copy, self.copy / 'none', unreadable)
    ]  # fmt: skip
    good, damaged, absent, undeclared = results
    self.assertEqual((good.returncode, good.stderr), (0, ''))
    self.assertIn('36 train, 24 validation, 12 test; 12 classes', good.stdout)
    with open(os.path.join(self.built, 'classes.tsv')) as file:
      self.assertEqual(
        file.read().splitlines()[:2],
        [
          'label\twordnet_ids\tname\ttrain\tvalidation\ttest',
          '0\tn99000000\tred striped disc\t3\t2\t0',
        ],
      )
    self.assertEqual(damaged.returncode, 1)
    self.assertEqual(
      damaged.stderr,
      f'{self.copy} is damaged. Faults: 1.\n'
      '  rejected.jsonl must list 2 images. Received: 0.\n',
    )
    self.assertEqual(absent.returncode, 2)
    self.assertIn('contains no dataset_info.json', absent.stderr)
    self.assertEqual((undeclared.returncode, undeclared.stdout), (2, ''))
    self.assertRegex(
      undeclared.stderr,
      f'^{unreadable}/b must be a data set that TFDS can read. Received: '
      'ParseError: .*. Delete that folder and build the data set again.\n$',
    )


if __name__ == '__main__':
  absltest.main()
