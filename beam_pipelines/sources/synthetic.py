"""A small image set that is drawn, not photographed.

Twelve classes of colour, texture and shape, each of which several classes have
in common: none of the three alone tells the classes apart. Place, size,
rotation, hue, lighting, background and noise change from image to image. The
images are packed in the layout of tiny-imagenet-200 and go the same way as the
real archive.
"""

import colorsys
import dataclasses
import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Annotated
from typing import NamedTuple

import gin
import numpy as np
import tqdm
from annotated_types import Ge
from annotated_types import Interval
from PIL import Image

from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines.sources import stanford

# Part of the content's identity: another drawing needs another number.
_DRAWING_VERSION = 1
_ROOT = 'tiny-imagenet-200'
_SIZE = 64
_SUPERSAMPLING = 2
_JPEG_QUALITY = 90
_ARCHIVE_DATE = (1980, 1, 1, 0, 0, 0)

_HUES = {
  'red': 0.0,
  'yellow': 0.14,
  'green': 0.36,
  'blue': 0.6,
  'purple': 0.8,
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


class _Drawing(NamedTuple):
  """One image.

  Attributes:
    pixels: 64 x 64 x 3, uint8.
    box: around the object: x0, y0, x1, y1 in pixels.
  """

  pixels: np.ndarray
  box: tuple[int, int, int, int]


@gin.register('synthetic')
@dataclasses.dataclass(frozen=True)
class Synthetic:
  """Draws labelled images, packed as an archive like tiny-imagenet-200.

  The same values give the same archive. Image i of a class is the same however
  many others there are.

  Attributes:
    seed: of everything that is random.
    train_images: for each class.
    validation_images: for each class.
    test_images: for each class.
    noise: standard deviation of the pixel noise, of a range of 1.
    greyscale: fraction of the images that are stored without colour.
  """

  seed: int
  train_images: Annotated[int, Ge(1)]
  validation_images: Annotated[int, Ge(1)]
  test_images: Annotated[int, Ge(0)]
  noise: Annotated[float, Ge(0)]
  greyscale: Annotated[float, Interval(ge=0, le=1)]

  def identity(self) -> dict[str, object]:
    """Returns all that the archive's content depends on."""
    return {
      **fingerprint.values(self),
      'synthetic.drawing_version': _DRAWING_VERSION,
    }

  def index(self, downloads: str) -> indexing.Index:
    """Lists the examples, after drawing them unless that is done already.

    Args:
      downloads: the directory for the archive.
    """
    digest = hashlib.sha256(repr(self.identity()).encode()).hexdigest()
    path = os.path.join(downloads, f'synthetic-{digest[:16]}.zip')
    if not os.path.exists(path):
      os.makedirs(downloads, exist_ok=True)
      self.write(path)
    return stanford.index_archive(path)

  def write(self, path: str) -> None:
    """Draws all images into a zip archive, which appears once complete."""
    handle, partial = tempfile.mkstemp('.part', dir=os.path.dirname(path))
    try:
      with (
        os.fdopen(handle, 'wb') as file,
        zipfile.ZipFile(file, 'w') as archive,
      ):
        for name, content in self._files():
          # The entry's own date keeps equal content equal in bytes.
          archive.writestr(
            zipfile.ZipInfo(f'{_ROOT}/{name}', _ARCHIVE_DATE), content
          )
      os.rename(partial, path)
    finally:
      if os.path.exists(partial):
        os.remove(partial)

  def _files(self) -> Iterator[tuple[str, bytes | str]]:
    """Yields the name and content of each file of the archive."""
    ids = [f'n9900{label:04}' for label in range(len(_CLASSES))]
    yield 'wnids.txt', _text([id_] for id_ in ids)
    yield 'words.txt', _text(zip(ids, _CLASSES, strict=True))
    total = self.train_images + self.validation_images + self.test_images
    with tqdm.tqdm(
      total=total * len(ids), desc='drawing', unit=' images', disable=None
    ) as progress:
      for label, id_ in enumerate(ids):
        boxes = []
        for i in range(self.train_images):
          jpeg, box = self._draw('train', label, i)
          boxes.append((f'{id_}_{i}.JPEG', *box))
          yield f'train/{id_}/images/{id_}_{i}.JPEG', jpeg
          progress.update()
        yield f'train/{id_}/{id_}_boxes.txt', _text(boxes)
      annotations = []
      for i in range(self.validation_images * len(ids)):
        index, label = divmod(i, len(ids))
        jpeg, box = self._draw('val', label, index)
        annotations.append((f'val_{i}.JPEG', ids[label], *box))
        yield f'val/images/val_{i}.JPEG', jpeg
        progress.update()
      yield 'val/val_annotations.txt', _text(annotations)
      for i in range(self.test_images * len(ids)):
        index, label = divmod(i, len(ids))
        yield f'test/images/test_{i}.JPEG', self._draw('test', label, index)[0]
        progress.update()

  def _draw(
    self, split: str, label: int, index: int
  ) -> tuple[bytes, tuple[int, int, int, int]]:
    """Returns a JPEG and the box around its object."""
    random = _random(self.seed, split, label, index)
    drawing = draw(_CLASSES[label], random, self.noise)
    image = Image.fromarray(drawing.pixels)
    if random.random() < self.greyscale:
      image = image.convert('L')
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=_JPEG_QUALITY)
    return buffer.getvalue(), drawing.box


def draw(
  class_name: str, random: np.random.Generator, noise: float
) -> _Drawing:
  """Draws one image.

  Args:
    class_name: colour, texture and shape, such as `red striped disc`.
    random: where place, size, rotation and so on come from.
    noise: standard deviation of the pixel noise, of a range of 1.
  """
  colour, texture, shape = class_name.split()
  x, y = _grid(_SIZE * _SUPERSAMPLING)
  radius = _uniform(random, 0.5, 0.8)
  centre_x, centre_y = _uniform(random, radius - 1, 1 - radius, 2)
  angle = _uniform(random, -0.3, 0.3)
  u = (np.cos(angle) * (x - centre_x) + np.sin(angle) * (y - centre_y)) / radius
  v = (np.cos(angle) * (y - centre_y) - np.sin(angle) * (x - centre_x)) / radius

  mask = _SHAPES[shape](u, v)
  marks = mask & _TEXTURES[texture](u, v, random)
  paint, ink = _colours(_HUES[colour], random)
  covered, inked = _coverage(mask), _coverage(marks)
  x, y = _grid(_SIZE)
  image = (
    (1 - covered) * _background(x, y, random)
    + (covered - inked) * paint
    + inked * ink
  )
  image = image * _lighting(x, y, random) + noise * _noise(random, image.shape)
  pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
  return _Drawing(pixels, _bounding_box(mask))


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns x, 1 x size, and y, size x 1, of the pixels' centres in -1 to 1."""
  centres = (np.arange(size) + 0.5) / (size / 2) - 1
  return centres[None, :], centres[:, None]


def _coverage(mask: np.ndarray) -> np.ndarray:
  """Returns how much of each pixel a supersampled mask covers, 64 x 64 x 1."""
  blocks = mask.reshape(_SIZE, _SUPERSAMPLING, _SIZE, _SUPERSAMPLING)
  return blocks.mean((1, 3))[..., None]


def _random(
  seed: int, split: str, label: int, index: int
) -> np.random.Generator:
  """Returns a generator of its own for each image.

  Only its doubles are used, whose stream has been the same in all versions of
  NumPy; those of its distributions may change.
  """
  key = hashlib.sha256(f'{seed}/{split}/{label}/{index}'.encode()).digest()
  return np.random.Generator(
    np.random.Philox(key=np.frombuffer(key[:16], '<u8'))
  )


def _uniform(
  random: np.random.Generator,
  low: float,
  high: float,
  shape: int | tuple[int, ...] | None = None,
) -> np.ndarray:
  return low + (high - low) * random.random(shape)


def _noise(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  """Returns the sum of three uniforms: bell-shaped, deviation 1."""
  return 2 * (random.random((3, *shape)) - 0.5).sum(0)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
  around = (np.arctan2(u, -v) / (2 * np.pi) * 5) % 1
  return np.hypot(u, v) <= 1 - 0.58 * (1 - np.abs(2 * around - 1))


_SHAPES = {
  'disc': lambda u, v: np.hypot(u, v) <= 0.92,
  'square': lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= 0.75,
  'triangle': lambda u, v: (v <= 0.6) & (1.85 * np.abs(u) <= v + 1.1),
  'ring': lambda u, v: np.abs(np.hypot(u, v) - 0.72) <= 0.25,
  'star': _star,
}


def _striped(
  u: np.ndarray, v: np.ndarray, random: np.random.Generator
) -> np.ndarray:
  return (u * _uniform(random, 2.0, 2.8) + random.random()) % 1 < 0.45


def _dotted(
  u: np.ndarray, v: np.ndarray, random: np.random.Generator
) -> np.ndarray:
  scale = _uniform(random, 2.0, 2.6)
  shift_u, shift_v = random.random(2)
  column = (u * scale + shift_u) % 1 - 0.5
  row = (v * scale + shift_v) % 1 - 0.5
  return np.hypot(column, row) < 0.3


def _checked(
  u: np.ndarray, v: np.ndarray, random: np.random.Generator
) -> np.ndarray:
  scale = _uniform(random, 2.4, 3.2)
  shift_u, shift_v = random.random(2)
  return (np.floor(u * scale + shift_u) + np.floor(v * scale + shift_v)) % 2 > 0


_TEXTURES = {
  'plain': lambda u, v, random: np.zeros_like(u, bool),
  'striped': _striped,
  'dotted': _dotted,
  'checked': _checked,
}


def _colours(
  hue: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
  """Returns an object's colour, and that of its marks: light or dark."""
  hue = (hue + _uniform(random, -0.025, 0.025)) % 1
  saturation, value = _uniform(random, 0.7, 0.95), _uniform(random, 0.7, 0.95)
  ink_value = 0.97 if random.random() < 0.5 else 0.12
  return (
    np.array(colorsys.hsv_to_rgb(hue, saturation, value)),
    np.array(colorsys.hsv_to_rgb(hue, 0.15, ink_value)),
  )


def _background(
  x: np.ndarray, y: np.ndarray, random: np.random.Generator
) -> np.ndarray:
  """Returns clouds that pass from one dull colour to another."""
  near, far = (
    np.array(
      colorsys.hsv_to_rgb(
        random.random(), _uniform(random, 0, 0.4), _uniform(random, 0.3, 0.85)
      )
    )
    for _ in range(2)
  )
  clouds = np.zeros((_SIZE, _SIZE))
  for frequency in (1.5, 3.0, 6.0):
    direction, phase = _uniform(random, 0, 2 * np.pi, 2)
    wave = x * np.cos(direction) + y * np.sin(direction)
    clouds += np.sin(frequency * wave * 2 + phase) / frequency
  blend = np.clip(0.5 + 0.5 * clouds, 0, 1)[..., None]
  return near * blend + far * (1 - blend)


def _lighting(
  x: np.ndarray, y: np.ndarray, random: np.random.Generator
) -> np.ndarray:
  """Returns the light at each pixel: bright or dim, from one side."""
  direction = _uniform(random, 0, 2 * np.pi)
  slope = _uniform(random, 0, 0.25)
  wave = x * np.cos(direction) + y * np.sin(direction)
  return (_uniform(random, 0.75, 1.1) * (1 + slope * wave))[..., None]


def _bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
  """Returns x0, y0, x1, y1, in pixels of the image, of a supersampled mask."""
  x, y = (np.flatnonzero(mask.any(axis)) // _SUPERSAMPLING for axis in (0, 1))
  return int(x[0]), int(y[0]), int(x[-1]), int(y[-1])


def _text(rows) -> str:
  return ''.join('\t'.join(map(str, row)) + '\n' for row in rows)
