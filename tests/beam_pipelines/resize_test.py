import io
import os
import pathlib
import shutil
import subprocess

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from PIL import ImageCms

from beam_pipelines import resize

EXACT = resize.Resize('mitchell', None, resize.Png(1))
SHARED_DATA = os.environ.get('TINYGIN_SHARED_DATA', '')


def _encode(image, kind='PNG', **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _pixels(content):
  return np.asarray(Image.open(io.BytesIO(content))).astype(float)


def _random_image(height, width, seed=0):
  values = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
  return Image.fromarray(values.astype(np.uint8))


def _kernel(name, x):
  """The filters as their publications define them, for one distance."""
  if name == 'box':
    return 1.0 if -0.5 < x <= 0.5 else 0.0
  x = abs(x)
  if name == 'lanczos':
    return float(np.sinc(x) * np.sinc(x / 3)) if x < 3 else 0.0
  b, c = {'mitchell': (1 / 3, 1 / 3), 'catmull_rom': (0.0, 0.5)}[name]
  if x < 1:
    p = (12 - 9 * b - 6 * c, -18 + 12 * b + 6 * c, 0, 6 - 2 * b)
  elif x < 2:
    p = (-b - 6 * c, 6 * b + 30 * c, -12 * b - 48 * c, 8 * b + 24 * c)
  else:
    return 0.0
  return (p[0] * x**3 + p[1] * x**2 + p[2] * x + p[3]) / 6


def _reference(pixels, size, name):
  """Resizes in float64, one weight at a time."""
  for axis in (0, 1):
    before = pixels.shape[axis]
    scale = max(before / size, 1)
    weights = np.array(
      [
        [
          _kernel(name, (i + 0.5 - (o + 0.5) * before / size) / scale)
          for i in range(before)
        ]
        for o in range(size)
      ]
    )
    weights /= weights.sum(1, keepdims=True)
    pixels = np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis)
  return pixels


def _imagemagick():
  """Returns the path of ImageMagick's program; None where there is none."""
  for folder in os.get_exec_path():
    if convert := shutil.which('convert', path=folder):
      version = subprocess.run([convert, '-version'], capture_output=True)
      if b'ImageMagick' in version.stdout:
        return convert
  return None


def _psnr(found, expected):
  return 10 * np.log10(255**2 / np.mean((found - expected) ** 2))


class ResizeTest(parameterized.TestCase):
  @parameterized.product(
    name=('box', 'catmull_rom', 'lanczos', 'mitchell'),
    shape=((95, 131), (64, 200), (333, 100), (40, 30)),
  )
  def test_equals_a_reference_in_float64(self, name, shape):
    # Smooth, so that what is cut off at 0 and 255 does not count.
    image = _random_image(9, 9).resize(shape[::-1], Image.Resampling.BICUBIC)
    found = np.asarray(resize.resample(image, 64, name)).astype(float)
    expected = _reference(np.asarray(image).astype(float), 64, name)
    self.assertGreater(_psnr(found, expected.clip(0, 255)), 52)
    self.assertLess(np.abs(found - expected.clip(0, 255)).max(), 2)

  def test_real_images_equal_the_reference(self):
    paths = sorted(pathlib.Path(SHARED_DATA).glob('ilsvrc-sample/*/*.JPEG'))
    if not SHARED_DATA or not paths:
      self.skipTest('TINYGIN_SHARED_DATA names no folder with real images')
    for path in paths[:4]:
      image = Image.open(path).convert('RGB')
      pixels = np.asarray(image).astype(float)
      for name in ('box', 'catmull_rom', 'lanczos', 'mitchell'):
        found = np.asarray(resize.resample(image, 64, name)).astype(float)
        expected = _reference(pixels, 64, name).clip(0, 255)
        self.assertGreater(_psnr(found, expected), 52, (path, name))

  def test_agrees_with_imagemagick(self):
    convert = _imagemagick()
    if convert is None:
      self.skipTest('ImageMagick is not installed')
    folder = self.create_tempdir().full_path
    before, after = f'{folder}/before.png', f'{folder}/after.png'
    image = _random_image(20, 20).resize((150, 110), Image.Resampling.LANCZOS)
    image.save(before)
    subprocess.run(
      [convert, before, '-filter', 'Mitchell', '-resize', '64x64!', after],
      check=True,
    )
    found = np.asarray(resize.resample(image, 64, 'mitchell')).astype(float)
    expected = np.asarray(Image.open(after).convert('RGB')).astype(float)
    self.assertGreater(_psnr(found, expected), 50)

  @settings(deadline=None, max_examples=30, derandomize=True)
  @given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 70),
    st.integers(0, 255),
    st.sampled_from(['box', 'catmull_rom', 'lanczos', 'mitchell']),
  )
  def test_grey_stays_grey(self, height, width, size, grey, name):
    image = Image.new('RGB', (width, height), (grey, 255 - grey, 0))
    found = np.asarray(resize.resample(image, size, name))
    self.assertEqual(found.shape, (size, size, 3))
    self.assertTrue((found == [grey, 255 - grey, 0]).all())

  @parameterized.parameters('catmull_rom', 'lanczos', 'mitchell')
  def test_sums_are_exact_in_any_order(self, name):
    image = _random_image(500, 375)
    flipped = image.transpose(Image.Transpose.ROTATE_180)
    found = resize.resample(flipped, 64, name)
    np.testing.assert_array_equal(
      np.asarray(found.transpose(Image.Transpose.ROTATE_180)),
      np.asarray(resize.resample(image, 64, name)),
    )

  def test_greyscale(self):
    grey = _random_image(80, 90).convert('L')
    found = _pixels(EXACT.apply(_encode(grey, 'JPEG'), 64))
    self.assertEqual(found.shape, (64, 64, 3))
    self.assertTrue((found[..., :1] == found).all())

  def test_cmyk(self):
    red = Image.new('CMYK', (80, 80), (0, 255, 255, 0))
    for content in (_encode(red, 'JPEG', quality=100), _encode(red, 'TIFF')):
      if content.startswith(b'\xff\xd8'):
        found = _pixels(EXACT.apply(content, 64))
        self.assertLess(np.abs(found - [255, 0, 0]).max(), 5)

  def test_png_whatever_its_name(self):
    image = _random_image(64, 64)
    found = _pixels(resize.Resize('box', None, resize.Png(9)).apply(
      _encode(image), 64
    ))  # fmt: skip
    np.testing.assert_array_equal(found, np.asarray(image))

  def test_transparent_parts_become_white(self):
    image = Image.new('RGBA', (70, 70), (10, 20, 30, 0))
    found = _pixels(EXACT.apply(_encode(image), 64))
    self.assertTrue((found == 255).all())

  @parameterized.parameters(range(1, 9))
  def test_exif_sets_upright(self, orientation):
    upright = _random_image(8, 8).resize((90, 70), Image.Resampling.BICUBIC)
    undo = {
      2: Image.Transpose.FLIP_LEFT_RIGHT,
      3: Image.Transpose.ROTATE_180,
      4: Image.Transpose.FLIP_TOP_BOTTOM,
      5: Image.Transpose.TRANSPOSE,
      6: Image.Transpose.ROTATE_90,
      7: Image.Transpose.TRANSVERSE,
      8: Image.Transpose.ROTATE_270,
    }
    stored = upright
    if orientation != 1:
      stored = upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encode(stored, 'JPEG', quality=100, subsampling=0, exif=exif)
    found = EXACT.apply(content, 64)
    expected = np.asarray(resize.resample(upright, 64, 'mitchell'))
    self.assertGreater(_psnr(_pixels(found), expected), 40)
    self.assertNotIn(b'Exif', found)

  def test_broken_exif_does_no_harm(self):
    image = _random_image(70, 70)
    content = _encode(image, 'JPEG', exif=b'Exif\0\0II*\0\xff\xff\xff\xff')
    self.assertEqual(
      EXACT.apply(content, 64), EXACT.apply(_encode(image, 'JPEG'), 64)
    )

  @parameterized.product(
    filter_name=['box', 'mitchell'],
    encoding=[resize.Jpeg(98, '4:4:4'), resize.Png(1)],
  )
  def test_metadata_is_dropped(self, filter_name, encoding):
    image = _random_image(70, 70)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB'))
    described = _encode(
      image, 'JPEG', comment=b'a cat', icc_profile=profile.tobytes()
    )
    found = resize.Resize(filter_name, None, encoding)
    self.assertEqual(
      found.apply(described, 64), found.apply(_encode(image, 'JPEG'), 64)
    )

  def test_encodings(self):
    content = _encode(_random_image(70, 70))
    sizes = {}
    for subsampling, factors in (('4:4:4', 1), ('4:2:2', 2), ('4:2:0', 2)):
      jpeg = resize.Resize('box', None, resize.Jpeg(90, subsampling))
      image = Image.open(io.BytesIO(jpeg.apply(content, 64)))
      self.assertEqual((image.format, image.size), ('JPEG', (64, 64)))
      self.assertEqual(image.layer[0][1], factors)
      sizes[subsampling] = len(jpeg.apply(content, 64))
    self.assertLess(sizes['4:2:0'], sizes['4:2:2'])
    self.assertLess(sizes['4:2:2'], sizes['4:4:4'])
    better = resize.Resize('box', None, resize.Jpeg(98, '4:4:4'))
    self.assertGreater(len(better.apply(content, 64)), sizes['4:4:4'])

  def test_unsharp_mask(self):
    image = Image.new('RGB', (128, 128), 'black')
    image.paste((200, 200, 200), (64, 0, 128, 128))
    plain = resize.Resize('box', None, resize.Png(1))
    sharp = resize.Resize('box', resize.UnsharpMask(1.0, 100, 0), resize.Png(1))
    content = _encode(image)
    before, after = (
      _pixels(r.apply(content, 64))[9, :, 0] for r in (plain, sharp)
    )
    self.assertEqual(after[0], before[0])
    self.assertGreater(after[32], before[32])

  @parameterized.parameters(
    (b'<html></html>', "not a JPEG or PNG file: it begins with b'<html></'"),
    (
      _encode(_random_image(9, 9), 'GIF'),
      "not a JPEG or PNG file: it begins with b'GIF",
    ),
    (
      _encode(_random_image(99, 99), 'JPEG')[:-900],
      'it cannot be decoded: image',
    ),
    (
      _encode(Image.new('1', (10_000, 10_000))),
      '10000 x 10000 pixels, more than 89,478,485 pixels in total',
    ),
    (_encode(Image.new('1', (20_000, 20_000))), 'more than 89,478,485 pixels'),
  )
  def test_bad_images(self, content, reason):
    with self.assertRaises(resize.BadImageError) as raised:
      EXACT.apply(content, 64)
    self.assertStartsWith(str(raised.exception), reason)

  @parameterized.parameters('PNG', 'TIFF')
  def test_sixteen_bits_a_channel(self, kind):
    values = np.random.default_rng(0).integers(0, 1 << 16, (64, 64), np.uint16)
    content = _encode(Image.fromarray(values), kind)
    image = resize.conform(content, 64, None, 'box')
    for channel in np.moveaxis(np.asarray(image), -1, 0):
      np.testing.assert_array_equal(channel, values >> 8)

  def test_thirtytwo_bits_a_channel(self):
    for mode in ('I', 'F'):
      content = _encode(Image.new(mode, (70, 70)), 'TIFF')
      with self.assertRaisesRegex(resize.BadImageError, '^32 bits a channel'):
        resize.conform(content, 64, None, 'box')


if __name__ == '__main__':
  absltest.main()
