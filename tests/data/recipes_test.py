"""Recipes of augmentation: each loads, fits the quickstart and is short."""

import pathlib

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tinygin.config import loading
from tinygin.config import paths
from tinygin.data import batches
from tinygin.data import source

ROOT = pathlib.Path(paths.project_root())
BASE = ROOT / 'gin/quickstart.gin'
RECIPES = sorted((ROOT / 'gin/augment').glob('*.gin'))


class RecipesTest(parameterized.TestCase):
  @parameterized.named_parameters((path.stem, path) for path in RECIPES)
  def test_changes_images(self, path):
    # The quickstart brings the flips itself.
    files = [BASE] if path.stem == 'flip' else [BASE, path]
    experiment = loading.load(list(map(str, files)), [], root='train').build()
    images = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3))
    split = source.Split(
      name='train',
      images=tf.constant(images, tf.uint8),
      labels=tf.range(12, dtype=tf.int64),
      class_names=tuple('abcdefghijkl'),
    )
    plain, augmented = (
      batches.first(split, seed=0, augmentation=augmentation, count=12)[0]
      for augmentation in ([], experiment.augmentation)
    )
    self.assertEqual(augmented.shape, (12, 64, 64, 3))
    self.assertGreater(np.mean(plain != augmented), 0.2)

  def test_there_are_recipes_with_headers(self):
    self.assertContainsSubset(
      {'demo', 'flip', 'standard', 'strong'}, {path.stem for path in RECIPES}
    )
    for path in RECIPES:
      self.assertStartsWith(path.read_text(), '# ')


if __name__ == '__main__':
  absltest.main()
