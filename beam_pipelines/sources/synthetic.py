"""A small image set that is drawn, not photographed.

Each of the twelve classes has a color, a texture and a shape, and shares each
of them with other classes, so no single feature identifies a class. Place,
size, rotation, hue, lighting, background and noise vary from image to image.
The images are packed in the layout of tiny-imagenet-200 and are read like the
real archive.
"""

import dataclasses
import hashlib
import io
import itertools
import os
import zipfile
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Annotated

import gin
import numpy as np
import tqdm
from annotated_types import Ge
from annotated_types import Interval
from PIL import Image
from PIL import ImageChops
from PIL import ImageDraw

from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines.sources import stanford
from tinygin.config import files

# Part of the content's identity: raise it when the drawing changes.
_DRAWING_VERSION = 2
_ROOT = 'tiny-imagenet-200'
_SIZE = 64
_SUPERSAMPLING = 2
_JPEG_QUALITY = 90
_ARCHIVE_DATE = (1980, 1, 1, 0, 0, 0)

_HUES = {'red': 0, 'yellow': 50, 'green': 130, 'blue': 216, 'purple': 288}
# The first corner's angle, in turns, and the corners' distances from the
# center; the object's radius is 1.
_SHAPES = {
  'disc': (0, [0.92] * 40),
  'square': (1 / 8, [1.06] * 4),
  'triangle': (0, [1.08] * 3),
  'star': (0, [1.0, 0.42] * 5),
  'ring': (0, [0.97] * 40),
}
_CLASSES = (
  'red striped disc',
  'red dotted disc',
  'blue striped disc',
  'blue checked square',
  'green checked square',
  'green dotted square',
  'green plain triangle',
  'yellow striped triangle',
  'yellow dotted star',
  'purple dotted star',
  'purple checked ring',
  'blue plain ring',
)
# x0, y0, x1, y1 in pixels, all of them inside the box.
_Box = tuple[int, int, int, int]


@gin.register('synthetic')
@dataclasses.dataclass(frozen=True)
class Synthetic:
  """Draws labeled images, packed as an archive like tiny-imagenet-200.

  Equal values give an equal archive. Image i of a class does not depend on the
  number of images.

  Attributes:
    seed: seed of all random numbers.
    train_images: training images per class.
    validation_images: validation images per class.
    test_images: test images per class.
    noise: standard deviation of the pixel noise, on a scale of 0 to 1.
    greyscale: fraction of the images that are stored without color.
  """

  seed: Annotated[int, Ge(0)]
  train_images: Annotated[int, Ge(1)]
  validation_images: Annotated[int, Ge(1)]
  test_images: Annotated[int, Ge(0)]
  noise: Annotated[float, Ge(0)]
  greyscale: Annotated[float, Interval(ge=0, le=1)]

  def identity(self) -> dict[str, object]:
    """Returns everything that the archive's content depends on."""
    return {
      **fingerprint.values(self),
      'synthetic.drawing_version': _DRAWING_VERSION,
    }

  def index(self, downloads: str) -> indexing.Index:
    """Lists the examples, after drawing them unless that is done already.

    Args:
      downloads: the folder for the archive.
    """
    digest = hashlib.sha256(repr(self.identity()).encode()).hexdigest()
    path = os.path.join(downloads, f'synthetic-{digest[:16]}.zip')
    if not files.exists(path):
      self.write(path)
    index = stanford.index_archive(path)
    return dataclasses.replace(index, identity=self.identity())

  def write(self, path: str) -> None:
    """Draws all images into a zip archive, which appears once complete."""
    images = self.train_images + self.validation_images + self.test_images
    with files.write(path) as file, zipfile.ZipFile(file, 'w') as archive:
      for name, content in tqdm.tqdm(
        self._files(), 'drawing', images * len(_CLASSES), disable=None
      ):
        # The entry's own date keeps equal content equal in bytes.
        entry = zipfile.ZipInfo(f'{_ROOT}/{name}', _ARCHIVE_DATE)
        archive.writestr(entry, content)

  def _files(self) -> Iterator[tuple[str, bytes | str]]:
    """Yields the name and content of each file of the archive."""
    ids = [f'n9900{label:04}' for label in range(len(_CLASSES))]
    yield 'wnids.txt', _table([id_] for id_ in ids)
    yield 'words.txt', _table(zip(ids, _CLASSES, strict=True))
    for label, id_ in enumerate(ids):
      boxes = []
      for i in range(self.train_images):
        jpeg, box = self._draw('train', label, i)
        boxes.append((f'{id_}_{i}.JPEG', *box))
        yield f'train/{id_}/images/{id_}_{i}.JPEG', jpeg
      yield f'train/{id_}/{id_}_boxes.txt', _table(boxes)
    annotations = []
    for i in range(self.validation_images * len(ids)):
      index, label = divmod(i, len(ids))
      jpeg, box = self._draw('val', label, index)
      annotations.append((f'val_{i}.JPEG', ids[label], *box))
      yield f'val/images/val_{i}.JPEG', jpeg
    yield 'val/val_annotations.txt', _table(annotations)
    for i in range(self.test_images * len(ids)):
      index, label = divmod(i, len(ids))
      yield f'test/images/test_{i}.JPEG', self._draw('test', label, index)[0]

  def _draw(self, split: str, label: int, index: int) -> tuple[bytes, _Box]:
    """Returns a JPEG and the box around its object."""
    # Only `Generator.random` gives the same numbers in all versions of NumPy.
    random = np.random.Generator(
      np.random.Philox([self.seed, *split.encode(), label, index])
    )
    image, box = draw(_CLASSES[label], random, self.noise)
    if random.random() < self.greyscale:
      image = image.convert('L')
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=_JPEG_QUALITY)
    return buffer.getvalue(), box


def draw(
  class_name: str, random: np.random.Generator, noise: float
) -> tuple[Image.Image, _Box]:
  """Draws one image.

  Args:
    class_name: color, texture and shape, such as `red striped disc`.
    random: draws place, size, rotation and so on.
    noise: standard deviation of the pixel noise, on a scale of 0 to 1.

  Returns:
    An RGB image of 64 x 64 pixels, and the box around its object.
  """
  color, texture, shape = class_name.split()
  radius = _uniform(random, 0.5, 0.8)
  center = _uniform(random, radius - 1, 1 - radius, 2)
  sine, cosine = (f(_uniform(random, -0.3, 0.3)) for f in (np.sin, np.cos))

  def fill(layer: Image.Image, polygon: np.ndarray, value: int = 255) -> None:
    points = center + radius * polygon @ [[cosine, sine], [-sine, cosine]]
    points = (points + 1) * layer.width / 2
    ImageDraw.Draw(layer).polygon([*map(tuple, points)], value)

  side = _SIZE * _SUPERSAMPLING
  mask, marks = (Image.new('L', (side, side)) for _ in range(2))
  fill(mask, _polygon(*_SHAPES[shape]))
  if shape == 'ring':
    fill(mask, _polygon(0, [0.47] * 40), 0)
  for polygon in _texture(texture, random):
    fill(marks, polygon)
  marks = ImageChops.multiply(mask, marks).reduce(_SUPERSAMPLING)
  mask = mask.reduce(_SUPERSAMPLING)
  image = _background(random)
  hue = (_HUES[color] + _uniform(random, -9, 9)) % 360
  image.paste(_color(hue, *_uniform(random, 70, 95, 2)), mask=mask)
  image.paste(_color(hue, 15, 97 if random.random() < 0.5 else 12), mask=marks)
  x0, y0, x1, y1 = mask.getbbox()
  return _photograph(image, random, noise), (x0, y0, x1 - 1, y1 - 1)


def _polygon(turn: float, radii: list[float]) -> np.ndarray:
  """Returns the corners of a polygon around 0, clockwise from the top."""
  angles = 2 * np.pi * (np.arange(len(radii)) / len(radii) + turn)
  return np.stack([np.sin(angles), -np.cos(angles)], 1) * np.c_[radii]


def _texture(name: str, random: np.random.Generator) -> Iterator[np.ndarray]:
  """Yields the polygons of a texture that covers an object of radius 1."""
  cell = 1 / _uniform(random, 2, 3)
  shift = random.random(2)
  square = cell * _polygon(1 / 8, [0.5**0.5] * 4)
  for place in itertools.product(range(-4, 5), repeat=2):
    middle = cell * (shift + place)
    if name == 'dotted':
      yield middle + cell * _polygon(0, [0.3] * 12)
    elif name == 'striped':
      yield middle + square * (0.45, 1.0)
    elif name == 'checked' and sum(place) % 2:
      yield middle + square


def _background(random: np.random.Generator) -> Image.Image:
  """Returns clouds that blend two dull colors."""
  near, far = (
    Image.new('RGB', (_SIZE, _SIZE), _color(hue * 360, dull * 40, value * 85))
    for hue, dull, value in random.random((2, 3)) * [1, 1, 0.6] + [0, 0, 0.4]
  )
  clouds = (random.random((4, 4)) * 255).astype(np.uint8)
  blend = Image.fromarray(clouds).resize(near.size, Image.Resampling.BICUBIC)
  return Image.composite(near, far, blend)


def _photograph(
  image: Image.Image, random: np.random.Generator, noise: float
) -> Image.Image:
  """Lights a scene from one side, and adds noise."""
  angle = _uniform(random, 0, 2 * np.pi)
  axis = np.linspace(-1, 1, _SIZE)
  across = axis * np.cos(angle) + np.c_[axis] * np.sin(angle)
  light = _uniform(random, 0.75, 1.1) * (1 + random.random() / 4 * across)
  pixels = np.asarray(image) / 255 * light[..., None]
  # The sum of three uniform numbers: bell-shaped, with a deviation of 1.
  pixels += noise * 2 * (random.random((3, *pixels.shape)) - 0.5).sum(0)
  return Image.fromarray((pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def _uniform(
  random: np.random.Generator, low: float, high: float, size: int | None = None
) -> np.ndarray:
  return low + (high - low) * random.random(size)


def _color(hue: float, saturation: float, value: float) -> str:
  """Returns a color for Pillow, of degrees and percents."""
  return f'hsv({hue:.2f}, {saturation:.2f}%, {value:.2f}%)'


def _table(rows: Iterable[Iterable[object]]) -> str:
  return ''.join('\t'.join(map(str, row)) + '\n' for row in rows)
