"""Preprocessing: the values of standardized images."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tinygin.data import preprocessing


class PreprocessingTest(absltest.TestCase):
  def test_per_image(self):
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (3, 8, 6, 3))
    images[2] = 77
    result = preprocessing.per_image_standardization(
      tf.constant(images, tf.float32)
    ).numpy()
    np.testing.assert_allclose(result.mean((1, 2, 3)), np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(result.std((1, 2, 3)), [1, 1, 0], atol=1e-5)

  def test_by_the_data_set(self):
    standardize = preprocessing.DatasetStandardization(
      mean=(10.0, 20.0, 30.0), deviation=(1.0, 2.0, 4.0)
    )
    images = tf.constant([[[[10.0, 24.0, 22.0]]]])
    np.testing.assert_array_equal(standardize(images), [[[[0, 2, -2]]]])


if __name__ == '__main__':
  absltest.main()
