"""Resizes images, with the same result on every machine.

The kernels (Mitchell, Lanczos, Catmull-Rom) are applied by two matrix products.
The matrices hold multiples of 2^-15, so that every sum is exact. The product
along the columns, over bytes, is exact in float32. The product along the rows
is exact in float64. So neither the order of summation nor the processor changes
a bit of the result. The box filter is Pillow's, in integers.

Mitchell and Netravali, Reconstruction filters in computer graphics, 1988.
"""

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable
from typing import Annotated
from typing import Literal
from typing import NamedTuple

import gin
import numpy as np
from annotated_types import Ge
from annotated_types import Gt
from annotated_types import Interval
from PIL import Image
from PIL import ImageFilter
from PIL import ImageOps
from PIL import UnidentifiedImageError

FORMATS = ['BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP']
MAX_PIXELS = Image.MAX_IMAGE_PIXELS
_WEIGHT_STEP = 2.0**-15
_BLOCK_ROWS = 4
# For products with more multiplications, OpenBLAS uses several threads. These
# would slow each other down, because each core has a worker.
_ONE_THREAD = 250_000


class BadImageError(Exception):
  """An image cannot be part of the data set; the text says why."""


@gin.register('jpeg')
@dataclasses.dataclass(frozen=True)
class Jpeg:
  """JPEG.

  Attributes:
    quality: libjpeg's quality.
    subsampling: chroma subsampling; 4:4:4 keeps the full resolution.
  """

  quality: Annotated[int, Interval(ge=1, le=100)]
  subsampling: Literal['4:4:4', '4:2:2', '4:2:0']

  format = 'jpeg'

  def encode(self, image: Image.Image) -> bytes:
    """Encodes an RGB image."""
    buffer = io.BytesIO()
    image.save(
      buffer, 'JPEG', quality=self.quality, subsampling=self.subsampling
    )
    return buffer.getvalue()


@gin.register('png')
@dataclasses.dataclass(frozen=True)
class Png:
  """PNG: lossless, at about four times the size.

  Attributes:
    compression: compression level of zlib.
  """

  compression: Annotated[int, Interval(ge=0, le=9)]

  format = 'png'

  def encode(self, image: Image.Image) -> bytes:
    """Encodes an RGB image."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG', compress_level=self.compression)
    return buffer.getvalue()


@gin.register('unsharp_mask')
@dataclasses.dataclass(frozen=True)
class UnsharpMask:
  """Sharpens a resized image: adds its difference from a blurred copy.

  Attributes:
    radius: radius of the Gaussian blur, in pixels.
    percent: percentage of the difference that is added.
    threshold: smallest difference that is added, on a scale of 0 to 255.
  """

  radius: Annotated[float, Gt(0)]
  percent: Annotated[int, Ge(1)]
  threshold: Annotated[int, Interval(ge=0, le=255)]

  def apply(self, image: Image.Image) -> Image.Image:
    """Returns the sharpened image."""
    return image.filter(
      ImageFilter.UnsharpMask(self.radius, self.percent, self.threshold)
    )


@gin.register('resize')
@dataclasses.dataclass(frozen=True)
class Resize:
  """Resizes images to squares, without keeping their proportions.

  Reads JPEG and PNG files, whatever their names. Grayscale becomes RGB with
  three equal channels. CMYK, including Adobe's inverted CMYK, becomes RGB. Of
  16 bits per channel, the upper 8 are kept. Transparent parts become white.
  Images are rotated upright as EXIF says. The result has no metadata.

  Attributes:
    filter: `box` is the mean of the pixels, and the fastest.
    unsharp_mask: sharpens the result; None: no sharpening.
    encoding: `@jpeg()` or `@png()`.
  """

  filter: Literal['box', 'catmull_rom', 'lanczos', 'mitchell']
  unsharp_mask: UnsharpMask | None
  encoding: Jpeg | Png

  def apply(self, content: bytes, size: int) -> bytes:
    """Resizes an image.

    Args:
      content: an encoded image.
      size: height and width of the result, in pixels.

    Returns:
      The encoded result.

    Raises:
      BadImageError: the content cannot be decoded or resized.
    """
    return self.encode(_decode(content, ['JPEG', 'PNG']), size)

  def encode(self, image: Image.Image, size: int) -> bytes:
    """Resizes and encodes an RGB image."""
    image = resample(image, size, self.filter)
    if self.unsharp_mask is not None:
      image = self.unsharp_mask.apply(image)
    return self.encoding.encode(image)


def conform(
  content: bytes, size: int, resize: Resize | None, filter_name: str
) -> Image.Image:
  """Returns an image converted like the images of a data set.

  An image of the right size keeps its pixels. The first frame of an animation
  is used.

  Args:
    content: an encoded image of one of `FORMATS`.
    size: height and width of the result, in pixels.
    resize: resizes the data set's images; None: the source has the right size.
    filter_name: resizes the image if `resize` is None.

  Raises:
    BadImageError: the content cannot be decoded or resized.
  """
  image = _decode(content, FORMATS)
  if image.size == (size, size):
    return image
  if resize is None:
    return resample(image, size, filter_name)
  return _decode(resize.encode(image, size), FORMATS)


def is_image(content: bytes) -> bool:
  """Whether a file's content begins like an image of one of `FORMATS`."""
  try:
    Image.open(io.BytesIO(content), formats=FORMATS)
  except UnidentifiedImageError:
    return False
  except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
    return True  # Damaged or too large.
  return True


def check(content: bytes, size: int) -> None:
  """Raises `BadImageError` unless a JPEG has size x size pixels and decodes."""
  image = _open(content, ['JPEG'])
  if image.size != (size, size) or image.mode not in ('L', 'RGB'):
    width, height = image.size
    raise BadImageError(f'{width} x {height} pixels, mode {image.mode}')
  _load(image)


def resample(image: Image.Image, size: int, filter_name: str) -> Image.Image:
  """Returns an RGB image resized to size x size pixels."""
  if filter_name == 'box':
    return image.resize((size, size), Image.Resampling.BOX)
  pixels = np.asarray(image)
  height, width, channels = pixels.shape
  columns = _multiply(
    _weights(filter_name, height, size, np.float32),
    pixels.reshape(height, -1).astype(np.float32),
  )
  # Moving whole pixels is faster than moving single numbers.
  rows = np.ascontiguousarray(columns.view(f'V{4 * channels}').T)
  rows = rows.view(np.float32).astype(np.float64)
  result = _multiply(_weights(filter_name, width, size, np.float64), rows)
  result = (result + 0.5).clip(0, 255).astype(np.uint8)  # Rounds down.
  result = result.reshape(size, size, channels).swapaxes(0, 1)
  return Image.fromarray(np.ascontiguousarray(result))


def _open(content: bytes, formats: list[str]) -> Image.Image:
  try:
    return Image.open(io.BytesIO(content), formats=formats)
  except UnidentifiedImageError as error:
    kinds = ' or '.join(', '.join(formats).rsplit(', ', 1))
    raise BadImageError(
      f'not a {kinds} file: it begins with {content[:8]!r}'
    ) from error
  except Image.DecompressionBombError as error:
    raise BadImageError(f'more than {MAX_PIXELS:,} pixels') from error
  except (OSError, SyntaxError, ValueError) as error:
    raise BadImageError(f'it cannot be decoded: {error}') from error


def _load(image: Image.Image) -> None:
  try:
    image.load()
  except (OSError, SyntaxError, ValueError) as error:
    raise BadImageError(f'it cannot be decoded: {error}') from error


def _decode(content: bytes, formats: list[str]) -> Image.Image:
  """Returns an RGB image, upright and without metadata."""
  image = _open(content, formats)
  width, height = image.size
  if width * height > MAX_PIXELS:
    raise BadImageError(
      f'{width} x {height} pixels, more than {MAX_PIXELS:,} pixels in total'
    )
  if image.mode in ('I', 'F'):
    raise BadImageError(f'32 bits a channel, mode {image.mode}')
  _load(image)
  # Pillow's EXIF parser raises exceptions of many types.
  with contextlib.suppress(Exception):
    ImageOps.exif_transpose(image, in_place=True)
  if image.mode.startswith('I;16'):  # Pillow itself cuts colors to 8 bits.
    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(white, image)
  if image.mode != 'RGB':
    image = image.convert('RGB')
  image.info.clear()  # Otherwise `save` would write comments and profiles.
  return image


class _Block(NamedTuple):
  """Some rows of a matrix, without the columns that are zero in all of them."""

  rows: slice
  columns: slice
  weights: np.ndarray


def _multiply(blocks: list[_Block], values: np.ndarray) -> np.ndarray:
  product = np.empty((blocks[-1].rows.stop, values.shape[1]), values.dtype)
  for block in blocks:
    step = max(_ONE_THREAD // block.weights.size, 1)
    for start in range(0, values.shape[1], step):
      part = slice(start, start + step)
      np.matmul(
        block.weights,
        values[block.columns, part],
        out=product[block.rows, part],
      )
  return product


@functools.lru_cache(1024)
def _weights(
  filter_name: str, before: int, after: int, dtype: type
) -> list[_Block]:
  """Returns the matrix (after, before) that resizes one dimension."""
  kernel, support = _KERNELS[filter_name]
  scale = max(before / after, 1.0)
  centers = (np.arange(after)[:, None] + 0.5) * before / after
  distances = np.abs(np.arange(before) + 0.5 - centers) / scale
  weights = np.where(distances < support, kernel(distances), 0.0)
  weights /= weights.sum(1, keepdims=True)
  weights = np.round(weights / _WEIGHT_STEP)
  # The largest weight takes the rounding error, so that gray stays gray.
  missing = 1 / _WEIGHT_STEP - weights.sum(1)
  weights[np.arange(after), weights.argmax(1)] += missing
  weights *= _WEIGHT_STEP
  blocks = []
  for start in range(0, after, _BLOCK_ROWS):
    rows = slice(start, min(start + _BLOCK_ROWS, after))
    used = np.flatnonzero(weights[rows].any(0))
    columns = slice(int(used[0]), int(used[-1]) + 1)
    block = np.ascontiguousarray(weights[rows, columns], dtype)
    blocks.append(_Block(rows, columns, block))
  return blocks


def _cubic(b: float, c: float) -> Callable[[np.ndarray], np.ndarray]:
  """Returns Mitchell and Netravali's kernel for distances of 0 to 2."""

  def kernel(x: np.ndarray) -> np.ndarray:
    near = (12 - 9 * b - 6 * c) * x**3 + (12 * b + 6 * c - 18) * x**2
    far = -(b + 6 * c) * x**3 + (6 * b + 30 * c) * x**2
    far += -(12 * b + 48 * c) * x + 8 * b + 24 * c
    return np.where(x < 1, near + 6 - 2 * b, far) / 6

  return kernel


_KERNELS = {
  'catmull_rom': (_cubic(0.0, 0.5), 2.0),
  'lanczos': (lambda x: np.sinc(x) * np.sinc(x / 3), 3.0),
  'mitchell': (_cubic(1 / 3, 1 / 3), 2.0),
}
