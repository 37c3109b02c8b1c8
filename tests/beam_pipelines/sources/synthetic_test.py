import dataclasses
import io
import os
import zipfile

import fsspec
import numpy as np
from absl.testing import absltest
from PIL import Image

from beam_pipelines import archives
from beam_pipelines.sources import stanford
from beam_pipelines.sources import synthetic
from tests.beam_pipelines import sample_archives


def _random():
  return np.random.Generator(np.random.Philox([1, 2]))


class SyntheticTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.downloads = self.create_tempdir().full_path

  def _write(self, **changes):
    source = dataclasses.replace(sample_archives.SMALL, **changes)
    path = os.path.join(
      self.downloads, f'{len(os.listdir(self.downloads))}.zip'
    )
    source.write(path)
    return path

  def test_same_values_same_bytes(self):
    first, second = self._write(), self._write()
    with open(first, 'rb') as one, open(second, 'rb') as other:
      self.assertEqual(one.read(), other.read())

  def test_the_drawing_is_that_of_version_2(self):
    # When this fails for a change of the drawing, raise _DRAWING_VERSION.
    image, _ = synthetic.draw('red striped disc', _random(), 0.05)
    self.assertEqual((image.size, image.mode), ((64, 64), 'RGB'))
    self.assertEqual(
      np.asarray(image)[::21, 31].tolist(),
      [[125, 145, 126], [103, 119, 116], [218, 51, 46], [98, 133, 153]],
    )

  def test_another_seed_draws_other_images(self):
    name = 'tiny-imagenet-200/val/images/val_0.JPEG'
    with (
      zipfile.ZipFile(self._write()) as one,
      zipfile.ZipFile(self._write(seed=8)) as other,
    ):
      self.assertNotEqual(one.read(name), other.read(name))

  def test_images_do_not_depend_on_how_many_there_are(self):
    with (
      zipfile.ZipFile(self._write()) as few,
      zipfile.ZipFile(self._write(train_images=5)) as more,
    ):
      images = [n for n in few.namelist() if n.endswith('.JPEG')]
      self.assertLen(images, 12 * (3 + 2 + 1))
      for name in images:
        self.assertEqual(few.read(name), more.read(name), name)

  def test_all_images_differ(self):
    with zipfile.ZipFile(self._write()) as archive:
      images = [archive.read(n) for n in archive.namelist() if '.JPEG' in n]
    self.assertLen(set(images), 72)

  def test_greyscale_fraction(self):
    for fraction, modes in ((0.0, {'RGB'}), (1.0, {'L'})):
      with zipfile.ZipFile(self._write(greyscale=fraction)) as archive:
        found = {
          Image.open(io.BytesIO(archive.read(name))).mode
          for name in archive.namelist()
          if name.endswith('.JPEG')
        }
      self.assertEqual(found, modes)

  def test_objects_lie_within_their_boxes(self):
    image, box = synthetic.draw('green plain triangle', _random(), 0.0)
    pixels = np.asarray(image).astype(int)
    green = (pixels[..., 1] > pixels[..., 0] + 60) & (
      pixels[..., 1] > pixels[..., 2] + 60
    )
    rows, columns = green.nonzero()
    self.assertGreater(green.sum(), 200)
    for found, expected in (
      (columns.min(), box[0]),
      (rows.min(), box[1]),
      (columns.max(), box[2]),
      (rows.max(), box[3]),
    ):
      self.assertAlmostEqual(found, expected, delta=1)

  def test_index_draws_once_and_names_the_classes(self):
    source = sample_archives.SMALL
    index = source.index(self.downloads)
    self.assertLen(os.listdir(self.downloads), 1)
    drawn = os.path.getmtime(index.origin)
    self.assertEqual(source.index(self.downloads), index)
    self.assertEqual(os.path.getmtime(index.origin), drawn)
    self.assertEqual(index.class_names[0], 'red striped disc')
    self.assertLen(set(index.class_names), 12)
    self.assertEqual(
      {split: len(found) for split, found in index.splits.items()},
      {'train': 36, 'validation': 24, 'test': 12},
    )
    self.assertEqual(
      dataclasses.replace(
        stanford.index_archive(index.origin), identity=index.identity
      ),
      index,
    )

  def test_draws_into_a_bucket(self):
    index = sample_archives.SMALL.index('memory://drawn/downloads')
    (path,) = fsspec.filesystem('memory').find('/drawn')
    self.assertEqual(f'memory:/{path}', index.origin)
    local = sample_archives.SMALL.index(self.downloads)
    self.assertEqual(
      *(
        [archives.read(example.member) for example in each.splits['train']]
        for each in (index, local)
      )
    )

  def test_archive_has_the_mode_of_the_umask(self):
    before = os.umask(0o022)
    self.addCleanup(os.umask, before)
    self.assertEqual(os.stat(self._write()).st_mode & 0o777, 0o644)

  def test_identity_names_every_parameter(self):
    identity = sample_archives.SMALL.identity()
    fields = {
      f'synthetic.{f.name}' for f in dataclasses.fields(sample_archives.SMALL)
    }
    self.assertEqual(set(identity), fields | {'synthetic.drawing_version'})


if __name__ == '__main__':
  absltest.main()
