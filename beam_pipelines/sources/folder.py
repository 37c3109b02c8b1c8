"""Any folder of images: a folder for each class, with or without splits.

```
cat/IMG_1.jpg                      an image of the class `cat`
dog/park/a.png                     an image of the class `dog`

train/cat/IMG_1.jpg                the same with splits
val/cat/IMG_9.jpg                  or valid/, or validation/
test/cat/IMG_7.jpg                 if there is a test split
```
"""

import dataclasses
import os
from typing import Annotated

import gin
from annotated_types import Interval

from beam_pipelines import archives
from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines import resize
from tinygin.config import errors
from tinygin.config import files
from tinygin.config import paths

_VALIDATION = ('val', 'valid', 'validation')
# The images of each class, by their paths in the folder of the classes.
_Classes = dict[str, dict[str, archives.Member]]


@gin.register('folder')
@dataclasses.dataclass(frozen=True)
class Folder:
  """Images in a folder for each class, which is named after the class.

  The labels follow the sorted names of the classes. Hidden files and folders
  are ignored.

  Attributes:
    source: the path or URL of a folder, or of a zip or tar archive of one.
    validation_fraction: the approximate share of validation examples; see
      `validation_split`. None: `source` contains the folders `train` and `val`
      and, if there is a test split, `test`.
  """

  source: str
  validation_fraction: Annotated[float, Interval(gt=0, lt=1)] | None

  def identity(self) -> dict[str, object]:
    """See `indexing.Source`; files count by their names and sizes."""
    try:
      found = files.list_files(files.find(self.source, 'folder.source'))
      listing = fingerprint.digest([(file.name, file.size) for file in found])
    except errors.InputError:
      listing = fingerprint.UNKNOWN
    return {
      'folder.files': listing,
      'folder.validation_fraction': self.validation_fraction,
    }

  def index(self, downloads: str) -> indexing.Index:
    """Lists the examples; `downloads` is not needed.

    Raises:
      errors.InputError: the source is absent or damaged, an image lies outside
        the class folders, or a class has no images.
    """
    del downloads
    path = files.find(self.source, 'folder.source')
    members = {
      name: member
      for name, member in sorted(archives.members(path).items())
      if not _is_hidden(name)
    }
    folders = self._split_folders(path, members)
    found, faults = {}, []
    for split, folder in folders.items():
      found[split], more = _read(path, members, folder)
      faults += more
    names = tuple(sorted(found['train']))
    faults += [
      f'{folders[split]}{name} is no class of {folders["train"]}'
      for split, classes in found.items()
      for name in sorted(classes.keys() - set(names))
    ]
    if len(names) < 2:
      faults.append(
        f'it has one class only, {names[0]}' if names else 'it has no classes'
      )
    if faults:
      raise errors.InputError(
        f'{path} must contain a folder of images for each class. Received: '
        f'{indexing.shorten(faults)}.'
      )
    labels = {name: label for label, name in enumerate(names)}
    splits = {
      split: [
        indexing.Example(key, labels[name], indexing.NO_BOX, member)
        for name, images in classes.items()
        for key, member in images.items()
      ]
      for split, classes in found.items()
    }
    return indexing.Index(
      origin=path,
      wordnet_ids=names,
      class_names=names,
      splits={'train': [], 'validation': [], **splits},
      validation_fraction=self.validation_fraction or 0.0,
      identity=self.identity(),
    )

  def _split_folders(
    self, path: str, members: dict[str, archives.Member]
  ) -> dict[str, str]:
    """Returns the folder of each split, such as `train/`.

    Raises:
      errors.InputError: there are splits where none are declared, or none where
        they are.
    """
    tops = {name.partition('/')[0] for name in members if '/' in name}
    validation = sorted(tops.intersection(_VALIDATION))
    # An image in train/ itself would make `train` a class.
    divided = any(
      name.count('/') > 1 for name in members if name[:6] == 'train/'
    )
    if self.validation_fraction is not None:
      if divided:
        raise errors.InputError(
          f'folder.source must contain a folder for each class, as '
          f'folder.validation_fraction is {self.validation_fraction}. '
          f'Received: {path}, which contains splits. Bind '
          'folder.validation_fraction = None to use them, or folder.source to '
          'the folder train in it.'
        )
      return {'train': ''}
    if not divided or len(validation) != 1:
      raise errors.InputError(
        'folder.source must contain the folders train and val, each with a '
        'folder for each class, as folder.validation_fraction is None. '
        f'Received: {path}, which contains {indexing.shorten(sorted(tops))}. '
        'If these are the classes, bind folder.validation_fraction = 0.1.'
      )
    folders = {'train': 'train/', 'validation': f'{validation[0]}/'}
    return folders | ({'test': 'test/'} if 'test' in tops else {})


def _is_hidden(name: str) -> bool:
  return any(part.startswith('.') for part in name.split('/'))


def _read(
  path: str, members: dict[str, archives.Member], folder: str
) -> tuple[_Classes, list[str]]:
  """Returns the images of each class in the folder of a split, and faults."""
  found: _Classes = {
    name: {} for name in _folders_in(os.path.join(path, folder))
  }
  faults = []
  for name, member in members.items():
    if not name.startswith(folder):
      continue
    key = name.removeprefix(folder)
    if '/' not in key:
      if _is_image(member):
        faults.append(f'{name} lies outside the class folders')
    elif indexing.is_image(member):
      found.setdefault(key.partition('/')[0], {})[key] = member
  empty = sorted(name for name, images in found.items() if not images)
  faults += [f'{folder}{name} has no images' for name in empty]
  return found, faults


def _is_image(member: archives.Member) -> bool:
  """Whether a file begins like an image: not a README or a table."""
  try:
    return resize.is_image(archives.read(member))
  except (archives.CorruptMemberError, OSError):
    return False


def _folders_in(path: str) -> list[str]:
  """Returns the names of a local folder's folders, also of empty ones."""
  if not os.path.isdir(path):
    return []
  with os.scandir(path) as entries:
    return [
      entry.name
      for entry in entries
      if entry.is_dir()
      and not _is_hidden(entry.name)
      and not paths.is_clutter(entry.name)
    ]
