"""Classifies images with a trained network.

  ./bazelw run //tinygin:predict -- --run_dir=runs/NAME IMAGE…

IMAGE is a BMP, GIF, JPEG, PNG, TIFF or WebP file, or a folder of such files.
"""

import json
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from PIL import Image

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import paths
from tinygin.training import run_flags

if TYPE_CHECKING:
  from tinygin.data import source
  from tinygin.training import prediction

_FORMAT = flags.DEFINE_enum(
  'format', 'text', ['text', 'json'], 'How predictions are printed.'
)
_SHEET = flags.DEFINE_string(
  'sheet',
  None,
  'A picture to write of the images and predictions, such as sheet.png.',
)
_SUFFIXES = ['.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp']
_FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP')
_TOP = 5
_BATCH = 256
_COLUMNS = 6


def main(argv: list[str]) -> None:
  """Prints the most probable classes of each image."""
  files = [file for name in argv[1:] for file in _files(name)]
  if not files:
    raise errors.InputError('Name at least one image or folder of images.')
  experiment, directory = run_flags.load()
  from tinygin.training import prediction

  images = _read(files, experiment.dataset)
  classifier = prediction.Classifier.restore(
    experiment, directory, run_flags.CHECKPOINT.value, run_flags.WEIGHTS.value
  )
  found = [
    {'image': paths.display(file), 'predictions': ranked}
    for file, ranked in zip(files, _predict(classifier, images), strict=True)
  ]
  if _SHEET.value:
    _write_sheet(images, found, classifier.class_names)
  print(
    json.dumps(found, indent=2) if _FORMAT.value == 'json' else _text(found)
  )


def _files(name: str) -> list[str]:
  """Returns the named file, or the images in the named folder."""
  path = pathlib.Path(paths.find(name))
  if not path.is_dir():
    return [str(path)]
  inside = sorted(
    str(each)
    for each in path.rglob('*')
    if each.is_file()
    and (each.suffix.lower() in _SUFFIXES or _is_image(each))
    and not paths.is_clutter(each.relative_to(path).as_posix())
  )
  if not inside:
    raise errors.InputError(f'The folder {name} holds no images.')
  return inside


def _is_image(path: pathlib.Path) -> bool:
  """Whether a file begins like an image, whatever its name."""
  try:
    Image.open(path, formats=_FORMATS).close()
  except OSError:  # Also if it begins like something else.
    return False
  except (SyntaxError, ValueError, Image.DecompressionBombError):
    pass  # `_read` says what is wrong with it.
  return True


def _read(files: list[str], dataset: 'source.BuildableDataset') -> np.ndarray:
  """Reads the images, conformed to the data set.

  Raises:
    InputError: some cannot be read; the message names all of them.
  """
  images, faults = [], []
  for file in files:
    try:
      images.append(dataset.conform(pathlib.Path(file).read_bytes()))
    except (OSError, errors.InputError) as error:
      faults.append(f'\n  {paths.display(file)}: {errors.reason(error)}.')
  if faults:
    raise errors.InputError(
      f'Cannot read {len(faults)} of {len(files)} images:{"".join(faults)}'
    )
  return np.stack(images)


def _predict(
  classifier: 'prediction.Classifier', images: np.ndarray
) -> Iterator[list[dict[str, int | float | str]]]:
  """Yields the most probable classes of each image, best first."""
  for start in range(0, len(images), _BATCH):
    rows = classifier.probabilities(images[start : start + _BATCH]).numpy()
    for row in rows:
      yield [
        {
          'class_id': int(number),
          'name': classifier.class_names[number],
          'probability': float(row[number]),
        }
        for number in np.argsort(-row, kind='stable')[:_TOP]
      ]


def _write_sheet(
  images: np.ndarray, found: list[dict], class_names: Sequence[str]
) -> None:
  from tinygin.reporting import drawing
  from tinygin.reporting import pictures

  names = drawing.drawable(class_names)
  files = [os.path.basename(each['image']) for each in found]
  captions = [
    '\n'.join(
      [
        file,
        *(
          f'{ranked["probability"]:.2f} {names[ranked["class_id"]]}'
          for ranked in each['predictions']
        ),
      ]
    )
    for file, each in zip(drawing.drawable(files, 'image'), found, strict=True)
  ]
  sheet = pictures.grid(images, captions, min(len(images), _COLUMNS))
  try:
    sheet.save(paths.resolve(_SHEET.value))
  except (OSError, ValueError) as error:
    raise errors.InputError(
      '--sheet must be a picture file that can be written, such as sheet.png. '
      f'Received: --sheet={_SHEET.value} ({error}).'
    ) from error


def _text(found: list[dict]) -> str:
  lines = []
  for each in found:
    lines.append(each['image'])
    lines += [
      f'  {ranked["probability"]:.4f} {ranked["name"]}'
      for ranked in each['predictions']
    ]
  return '\n'.join(lines)


if __name__ == '__main__':
  flags.mark_flag_as_required('run_dir')
  entry_point.run(main, takes='arguments')
