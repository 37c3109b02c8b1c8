"""Uses the builder as TFDS's users and TFDS's own test case do."""

import os
import subprocess
import sys
import tempfile
from unittest import mock

import cloudpickle
import numpy as np
import tensorflow_datasets as tfds
from absl.testing import absltest

from beam_pipelines import dataset
from beam_pipelines import tiny_imagenet
from beam_pipelines.sources import download
from beam_pipelines.sources import stanford
from tests.beam_pipelines import sample_archives

# TFDS's test case imports its tests of features, which need `dill`.
sys.modules.setdefault('dill', cloudpickle)

READ_WITHOUT_OUR_CODE = """
import sys
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory(sys.argv[1])
found = builder.as_dataset('train', as_supervised=True)
print(len(list(found)), type(builder).__name__)
assert not any('beam_pipelines' in name for name in sys.modules)
"""


def _config(source):
  return tiny_imagenet.TinyImagenetConfig(
    name='small',
    dataset=dataset.Dataset(
      name='small',
      data_dir='unused',
      source=source,
      classes=12,
      image_size=64,
      resize=None,
      examples_per_shard=20,
      max_bad_images=0,
    ),
  )


class BuilderTest(tfds.testing.DatasetBuilderTestCase):
  DATASET_CLASS = tiny_imagenet.Builder
  BUILDER_CONFIG_NAMES_TO_TEST = [_config(sample_archives.SMALL)]
  EXAMPLE_DIR = os.path.dirname(__file__)  # Nothing of it is read.
  # The builder locks a folder, which is the system's business.
  MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False
  SPLITS = {'train': 36, 'validation': 24, 'test': 12}


class TinyImagenetTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.data_dir = tempfile.mkdtemp(dir=absltest.TEST_TMPDIR.value)
    cls.archive = os.path.join(cls.data_dir, 'small.zip')
    sample_archives.SMALL.write(cls.archive)
    official = stanford.official_archive()
    cls.builder = tiny_imagenet.Builder(
      data_dir=cls.data_dir, config=_config(stanford.Stanford(official.url))
    )
    with mock.patch.object(download, 'fetch', return_value=cls.archive):
      cls.builder.download_and_prepare()

  def test_configurations(self):
    configs = tiny_imagenet.Builder.builder_configs
    self.assertEqual(list(configs), ['stanford', 'quickstart'])
    for name, config in configs.items():
      self.assertNotEmpty(config.description)
      self.assertEqual(config.dataset.name, name)
    self.assertEqual(configs['quickstart'].dataset.classes, 12)
    self.assertEqual(
      configs['stanford'].dataset.source.source, stanford.official_archive().url
    )
    default = self.builder.get_default_builder_config()
    self.assertEqual(default.name, 'stanford')

  def test_metadata(self):
    self.assertNotEmpty(self.builder.get_metadata().tags)
    self.assertIn('Tiny ImageNet', self.builder.info.description)
    self.assertIn('@techreport', self.builder.info.citation)
    self.assertIn('stanford', self.builder.info.homepage)

  def test_checksums(self):
    official = stanford.official_archive()
    info = tiny_imagenet.Builder.url_infos[official.url]
    self.assertEqual(
      (info.size, info.checksum), (official.size, official.sha256)
    )

  def test_sizes(self):
    for builder in (
      self.builder,
      tfds.builder_from_directory(self.builder.data_dir),
    ):
      self.assertEqual(builder.info.download_size, 248_100_043)
      self.assertEqual(
        builder.info.dataset_size,
        sum(split.num_bytes for split in builder.info.splits.values()),
      )
      self.assertGreater(builder.info.dataset_size, 10_000)

  def test_examples_fit_the_features(self):
    features = self.builder.info.features
    self.assertEqual(
      (features['image'].shape, features['image'].np_dtype),
      ((64, 64, 3), np.uint8),
    )
    for found in self.builder.as_dataset().values():
      self.assertEqual(found.element_spec, features.get_tensor_spec())

  def test_ids_are_no_paths(self):
    for example in tfds.as_numpy(self.builder.as_dataset('train')):
      self.assertRegex(example['id'].decode(), r'^n\d{8}_\d+$')

  def test_sub_splits_and_shuffling(self):
    found = self.builder.as_dataset(split='train[:50%]', shuffle_files=True)
    self.assertLen(list(found), 18)

  def test_is_read_without_this_project(self):
    result = subprocess.run(
      [sys.executable, '-c', READ_WITHOUT_OUR_CODE, self.builder.data_dir],
      cwd=self.create_tempdir().full_path,
      env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
      text=True,
      capture_output=True,
      check=False,
    )
    self.assertEqual(result.stdout, '36 ReadOnlyBuilder\n', result.stderr)


if __name__ == '__main__':
  tfds.testing.test_main()
