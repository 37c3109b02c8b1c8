"""Augmentations: what each does, and that only seed and position decide."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from PIL import ImageEnhance
from PIL import ImageOps

from tinygin.data import augmentation
from tinygin.data import colors
from tinygin.data import mixing
from tinygin.data import randaugment
from tinygin.data import randomness
from tinygin.data import resampling

STRONG = {
  'flip': augmentation.HorizontalFlip(probability=0.5),
  'crop': augmentation.PadAndCrop(padding=3, edge='reflect'),
  'resized': augmentation.RandomResizedCrop(area=0.3, aspect_ratio=1.5),
  'affine': augmentation.RandomAffine(
    rotation=45.0, shift=0.1, zoom=0.1, edge='nearest'
  ),
  'colors': augmentation.ColorJitter(
    brightness=0.4, contrast=0.4, saturation=0.4
  ),
  'cutout': augmentation.Cutout(probability=0.7, size=0.5, value=128.0),
  'randaugment': randaugment.RandAugment(
    operations=3, magnitude=9.0, edge='wrap'
  ),
  'mixup': mixing.Mixup(probability=0.7, concentration=0.4),
  'cutmix': mixing.CutMix(probability=0.7, concentration=1.0),
}
NEUTRAL = {
  'flip': augmentation.HorizontalFlip(probability=0.0),
  'crop': augmentation.PadAndCrop(padding=0, edge='constant'),
  'resized': augmentation.RandomResizedCrop(area=1.0, aspect_ratio=1.0),
  'affine': augmentation.RandomAffine(
    rotation=0.0, shift=0.0, zoom=0.0, edge='constant'
  ),
  'colors': augmentation.ColorJitter(
    brightness=0.0, contrast=0.0, saturation=0.0
  ),
  'cutout': augmentation.Cutout(probability=0.0, size=0.5, value=0.0),
  'cutout of size 0': augmentation.Cutout(probability=1.0, size=0.0, value=0.0),
  'randaugment': randaugment.RandAugment(
    operations=11, magnitude=0.0, edge='constant'
  ),
  'mixup': mixing.Mixup(probability=0.0, concentration=0.4),
  'cutmix': mixing.CutMix(probability=0.0, concentration=1.0),
}
SIZE = 12


def _batch(size=SIZE, height=16, width=20):
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, (size, height, width, 3))
  labels = np.eye(5)[generator.integers(0, 5, size)]
  return tf.constant(images, tf.float32), tf.constant(labels, tf.float32)


def _random(seed=1, first=0, size=SIZE):
  return randomness.Generator(
    seed, tf.range(first, first + size, dtype=tf.int64)
  )


class EveryAugmentationTest(parameterized.TestCase):
  @parameterized.named_parameters(STRONG.items())
  def test_keeps_shape_type_and_range(self, augment):
    images, labels = augment(*_batch(), _random())
    self.assertEqual((images.dtype, labels.dtype), (tf.float32, tf.float32))
    self.assertEqual(images.shape, (SIZE, 16, 20, 3))
    self.assertBetween(tf.reduce_min(images), 0, 255)
    # Bilinear weights sum to one but for rounding.
    self.assertLessEqual(tf.reduce_max(images), 255.001)
    np.testing.assert_allclose(tf.reduce_sum(labels, 1), np.ones(SIZE), 1e-6)

  @parameterized.named_parameters(NEUTRAL.items())
  def test_without_strength_changes_nothing(self, augment):
    before = _batch()
    after = augment(*before, _random())
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])

  @parameterized.named_parameters(STRONG.items())
  def test_seeds_differ(self, augment):
    first, _ = augment(*_batch(), _random(seed=1))
    second, _ = augment(*_batch(), _random(seed=2))
    self.assertGreater(np.mean(first != second), 0.02)

  @parameterized.named_parameters(STRONG.items())
  def test_does_not_depend_on_how_positions_are_batched(self, augment):
    images, labels = _batch()

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(
      seed=st.integers(0, 2**31 - 1),
      first=st.integers(0, 10**6).map(lambda half: 2 * half),
      cut=st.integers(1, SIZE // 2 - 1).map(lambda half: 2 * half),
    )
    def check(seed, first, cut):
      whole = augment(images, labels, _random(seed, first))
      parts = [
        augment(images[a:b], labels[a:b], _random(seed, first + a, b - a))
        for a, b in ((0, cut), (cut, SIZE))
      ]
      for place in (0, 1):
        joined = tf.concat([part[place] for part in parts], 0)
        np.testing.assert_array_equal(whole[place], joined)

    check()


class GeometryTest(parameterized.TestCase):
  def test_flipping_twice_changes_nothing(self):
    flip = augmentation.HorizontalFlip(probability=1.0)
    before, labels = _batch()
    once, _ = flip(before, labels, _random())
    np.testing.assert_array_equal(once, before[:, :, ::-1])
    twice, _ = flip(once, labels, _random())
    np.testing.assert_array_equal(twice, before)

  def test_flips_the_share_asked_for(self):
    images, labels = _batch(size=2000, height=1, width=2)
    flip = augmentation.HorizontalFlip(probability=0.3)
    flipped, _ = flip(images, labels, _random(size=2000))
    share = np.mean(np.any(flipped != images, axis=(1, 2, 3)))
    self.assertAlmostEqual(share, 0.3, delta=0.05)

  def test_crops_are_those_of_the_padded_image(self):
    images, labels = _batch(size=200, height=4, width=5)
    crop = augmentation.PadAndCrop(padding=2, edge='reflect')
    cropped, _ = crop(images, labels, _random(size=200))
    found = set()
    for image, result in zip(images.numpy(), cropped.numpy(), strict=True):
      padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), 'symmetric')
      places = [
        (y, x)
        for y in range(5)
        for x in range(5)
        if np.array_equal(padded[y : y + 4, x : x + 5], result)
      ]
      self.assertNotEmpty(places)
      found.update(places)
    self.assertLen(found, 25)

  @parameterized.product(
    edge=['constant', 'nearest', 'reflect', 'wrap'],
    dtype=[tf.float32, tf.uint8],
  )
  def test_translations_are_warps_bit_for_bit(self, edge, dtype):
    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(
      height=st.integers(3, 9), width=st.integers(3, 9), seed=st.integers()
    )
    def check(height, width, seed):
      images, _ = _batch(height=height, width=width)
      random = np.random.default_rng(abs(seed))
      x, y = (
        tf.constant(random.integers(2 - side, side - 1, SIZE), tf.int32)
        for side in (width, height)
      )
      ours = resampling.translate(
        tf.cast(images, dtype), edge=edge, shift=(x, y)
      )
      floats = tf.cast(x, tf.float32), tf.cast(y, tf.float32)
      warped = resampling.warp(images, edge=edge, shift=floats)
      self.assertEqual(ours.dtype, dtype)
      np.testing.assert_array_equal(ours, warped)

    check()

  @parameterized.parameters('constant', 'nearest', 'reflect')
  def test_zooms_are_warps(self, edge):
    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(
      height=st.integers(1, 9), width=st.integers(2, 9), seed=st.integers()
    )
    def check(height, width, seed):
      images, _ = _batch(height=height, width=width)
      random = np.random.default_rng(abs(seed))
      scale = [tf.constant(random.uniform(0.2, 2, SIZE), tf.float32)] * 2
      shift = [
        tf.constant(random.uniform(-side, side, SIZE), tf.float32)
        for side in (width, height)
      ]
      ours = resampling.zoom(images, edge=edge, scale=scale, shift=shift)
      warped = resampling.warp(images, edge=edge, scale=scale, shift=shift)
      np.testing.assert_allclose(ours, warped, atol=0.02)

    check()

  def test_zooms_wrap_around(self):
    images, _ = _batch()
    ones, half = tf.ones(SIZE), tf.fill([SIZE], 0.5)
    zoomed = resampling.zoom(
      images, edge='wrap', scale=(ones, ones), shift=(half, 0 * half)
    )
    mean = (images + np.roll(images, -1, axis=2)) / 2
    np.testing.assert_allclose(zoomed, mean, rtol=1e-6)

  def test_a_quarter_turn(self):
    images, _ = _batch(height=9, width=9)
    turned = resampling.warp(images, edge='nearest', angle=np.pi / 2)
    np.testing.assert_allclose(turned, np.rot90(images, axes=(1, 2)), atol=0.01)

  def test_shift_and_scale(self):
    images, _ = _batch()
    shifted = resampling.warp(images, edge='wrap', shift=(2.0, -3.0))
    np.testing.assert_array_equal(
      shifted, np.roll(images, shift=(3, -2), axis=(1, 2))
    )
    halved = resampling.warp(images, edge='nearest', scale=(2.0, 1.0))
    pairs = tf.reshape(images, [SIZE, 16, 10, 2, 3])
    np.testing.assert_allclose(
      halved[:, :, 5:15], tf.reduce_mean(pairs, 3), rtol=1e-5
    )

  def test_each_image_is_moved_by_its_own_numbers(self):
    images, _ = _batch()
    shift = tf.range(SIZE, dtype=tf.float32)
    shifted = resampling.warp(images, edge='wrap', shift=(shift, 0.0))
    for number in range(SIZE):
      np.testing.assert_array_equal(
        shifted[number], np.roll(images[number], -number, axis=1)
      )

  def test_resized_crops_stay_inside(self):
    # Brightness rises from left to right: a crop's least and greatest tell
    # where it lies.
    ramp = np.broadcast_to(np.arange(64.0)[:, None], (64, 64, 3))
    images = tf.constant(np.stack([ramp] * 300), tf.float32)
    crop = augmentation.RandomResizedCrop(area=0.25, aspect_ratio=1.0)
    cropped, _ = crop(images, tf.zeros([300, 1]), _random(size=300))
    left, right = cropped[:, 32, 0, 0], cropped[:, 32, -1, 0]
    share = ((right - left) / 63) ** 2
    self.assertBetween(tf.reduce_min(share), 0.22, 0.3)
    self.assertBetween(tf.reduce_max(share), 0.95, 1)
    self.assertLess(tf.reduce_min(left), 3)
    self.assertGreater(tf.reduce_max(left), 25)

  def test_cutout_covers_a_box(self):
    images = tf.zeros([500, 10, 10, 3])
    cutout = augmentation.Cutout(probability=0.5, size=0.4, value=100.0)
    covered, _ = cutout(images, tf.zeros([500, 1]), _random(size=500))
    areas = np.sum(covered[..., 0] == 100, axis=(1, 2))
    self.assertAlmostEqual(np.mean(areas > 0), 0.5, delta=0.1)
    self.assertEqual(max(areas), 16)
    self.assertLess(min(areas[areas > 0]), 16)  # Cut off at the border.


class ColorsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.images, _ = _batch(size=1)
    self.pillow = Image.fromarray(self.images.numpy()[0].astype(np.uint8))

  @parameterized.product(
    names=[
      ('brightness', 'Brightness'),
      ('contrast', 'Contrast'),
      ('saturation', 'Color'),
      ('sharpness', 'Sharpness'),
    ],
    factor=[0.0, 0.3, 1.0, 1.7],
  )
  def test_does_what_pillow_does(self, names, factor):
    ours = getattr(colors, names[0])(self.images, tf.constant([factor]))
    theirs = getattr(ImageEnhance, names[1])(self.pillow).enhance(factor)
    # Pillow rounds on the way, and smooths no pixels at the border.
    np.testing.assert_allclose(
      ours[0, 1:-1, 1:-1], np.asarray(theirs)[1:-1, 1:-1], atol=2
    )

  @parameterized.parameters(0, 1, 4)
  def test_posterize(self, bits):
    ours = colors.posterize(self.images, tf.constant([float(bits)]))
    theirs = ImageOps.posterize(self.pillow, 8 - bits)
    np.testing.assert_array_equal(ours[0], theirs)

  @parameterized.parameters(0.0, 0.25, 1.0)
  def test_solarize(self, amount):
    ours = colors.solarize(self.images, tf.constant([amount]))
    theirs = ImageOps.solarize(self.pillow, 256 * (1 - amount))
    np.testing.assert_array_equal(ours[0], theirs)


class RandAugmentTest(parameterized.TestCase):
  @parameterized.product(
    operations=[1, 2, 11], edge=['constant', 'nearest', 'reflect']
  )
  def test_does_the_operations_in_their_order(self, operations, edge):
    augment = randaugment.RandAugment(operations, magnitude=7.0, edge=edge)
    images, labels = _batch()
    ours, _ = augment(images, labels, _random())
    amount = augment._amounts(_random())
    expected = resampling.warp(
      images,
      edge=edge,
      angle=np.pi / 6 * amount['rotate'],
      shear=(0.3 * amount['shear_x'], 0.3 * amount['shear_y']),
      shift=(9 * amount['shift_x'], 7.2 * amount['shift_y']),
    )
    for name in ('brightness', 'contrast', 'saturation', 'sharpness'):
      expected = getattr(colors, name)(expected, 1 + 0.9 * amount[name])
    bits = tf.round(4 * tf.abs(amount['posterize']))
    expected = colors.posterize(expected, bits)
    expected = colors.solarize(expected, tf.abs(amount['solarize']))
    # Rounding can decide at the steps of the last two.
    wrong = np.abs(ours - expected) > 0.01
    self.assertLess(np.mean(wrong), 0.005)

  def test_does_as_many_operations_as_asked_for(self):
    augment = randaugment.RandAugment(operations=3, magnitude=5, edge='wrap')
    amounts = augment._amounts(_random(size=3000))
    done = np.stack([amounts[name] for name in randaugment.OPERATIONS])
    np.testing.assert_array_equal(np.sum(done != 0, 0), np.full(3000, 3))
    np.testing.assert_array_equal(np.unique(done), np.float32([-0.5, 0, 0.5]))
    # Each operation is as frequent as the others, in both directions.
    for value in (-0.5, 0.5):
      shares = np.mean(done == value, axis=1)
      np.testing.assert_allclose(shares, 3 / 11 / 2, atol=0.04)


if __name__ == '__main__':
  absltest.main()
