"""Classifies images with a trained network.

  ./bazelw run //tinygin:predict -- --run_dir=runs/NAME IMAGE…

IMAGE is a BMP, GIF, JPEG, PNG, TIFF or WebP file, or a folder of such files.
"""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

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
  'sheet', None, 'A PNG file to write, of the images and predictions.'
)
_SUFFIXES = ['.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp']
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

  images = np.stack([_read(file, experiment.dataset) for file in files])
  classifier = prediction.Classifier.restore(
    experiment, directory, run_flags.CHECKPOINT.value, run_flags.WEIGHTS.value
  )
  found = [
    {'image': paths.display(file), 'predictions': ranked}
    for file, ranked in zip(files, _predict(classifier, images), strict=True)
  ]
  if _SHEET.value:
    _write_sheet(images, found)
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
    if each.suffix.lower() in _SUFFIXES
    and not paths.is_clutter(each.relative_to(path).as_posix())
  )
  if not inside:
    raise errors.InputError(
      f'The folder {name} holds no images ({", ".join(_SUFFIXES)}).'
    )
  return inside


def _read(file: str, dataset: 'source.BuildableDataset') -> np.ndarray:
  try:
    return dataset.conform(pathlib.Path(file).read_bytes())
  except (OSError, errors.InputError) as error:
    raise errors.InputError(
      f'Cannot read the image {paths.display(file)}: {errors.reason(error)}.'
    ) from error


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


def _write_sheet(images: np.ndarray, found: list[dict]) -> None:
  from tinygin.reporting import pictures

  captions = [
    '\n'.join([os.path.basename(each['image']), *_lines(each, 2)])
    for each in found
  ]
  sheet = pictures.grid(images, captions, min(len(images), _COLUMNS))
  path = paths.resolve(_SHEET.value)
  try:
    sheet.save(path, 'PNG')
  except OSError as error:
    raise errors.InputError(
      f'Cannot write --sheet={path}: {error.strerror}.'
    ) from error


def _text(found: list[dict]) -> str:
  blocks = [
    '\n'.join([each['image'], *(f'  {line}' for line in _lines(each, 4))])
    for each in found
  ]
  return '\n'.join(blocks)


def _lines(found: dict, digits: int) -> list[str]:
  return [
    f'{each["probability"]:.{digits}f} {each["name"]}'
    for each in found['predictions']
  ]


if __name__ == '__main__':
  flags.mark_flag_as_required('run_dir')
  entry_point.run(main, takes='arguments')
