"""Small archives for tests."""

import zipfile

from beam_pipelines.sources import synthetic

ROOT = 'tiny-imagenet-200/'
CLASSES = 12
SMALL = synthetic.Synthetic(
  seed=7,
  train_images=3,
  validation_images=2,
  test_images=1,
  noise=0.05,
  greyscale=0.2,
)


def rewrite(
  source: str,
  target: str,
  changes: dict[str, bytes | None],
  compression: int = zipfile.ZIP_STORED,
) -> str:
  """Copies a zip file with members replaced, added, or left out (None)."""
  with (
    zipfile.ZipFile(source) as old,
    zipfile.ZipFile(target, 'w', compression) as new,
  ):
    contents = {name: old.read(name) for name in old.namelist()}
    contents.update({ROOT + name: each for name, each in changes.items()})
    for name, content in contents.items():
      if content is not None:
        new.writestr(name, content)
  return target


def read_plainly(path: str) -> dict[str, dict[str, tuple]]:
  """Reads an archive as its documentation says, with zipfile alone.

  Returns:
    For each split, by file name without ending: (JPEG, WordNet id, pixel box),
    the last two None in the test split.
  """
  splits = {'train': {}, 'validation': {}, 'test': {}}
  with zipfile.ZipFile(path) as archive:

    def rows(name):
      text = archive.read(ROOT + name).decode()
      return [line.split('\t') for line in text.splitlines()]

    for (wnid,) in rows('wnids.txt'):
      for file, *box in rows(f'train/{wnid}/{wnid}_boxes.txt'):
        jpeg = archive.read(f'{ROOT}train/{wnid}/images/{file}')
        splits['train'][file[:-5]] = (jpeg, wnid, tuple(map(int, box)))
    for file, wnid, *box in rows('val/val_annotations.txt'):
      jpeg = archive.read(f'{ROOT}val/images/{file}')
      splits['validation'][file[:-5]] = (jpeg, wnid, tuple(map(int, box)))
    for name in archive.namelist():
      if name.startswith(ROOT + 'test/images/') and name.endswith('.JPEG'):
        key = name.rsplit('/', 1)[-1][:-5]
        splits['test'][key] = (archive.read(name), None, None)
  return splits
