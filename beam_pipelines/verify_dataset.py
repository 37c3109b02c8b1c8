"""Reads a built data set again and checks that it is intact.

./bazelw run //beam_pipelines:verify_dataset -- --data_dir=data

Writes `contact_sheet.png`, a row of images for each class, and `classes.tsv`
into each data set's folder. Exit status: 0, everything is intact; 1, something
is wrong; 2, TFDS cannot read a data set.
"""

import logging
import os

from absl import flags

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import files
from tinygin.config import native_output
from tinygin.config import paths

_DATA_DIR = flags.DEFINE_string(
  'data_dir',
  None,
  'A data set, or a folder that contains data sets.',
  required=True,
)
_FAULTS_SHOWN = 20


def main(argv: list[str]) -> None:
  """Verifies all data sets in a folder."""
  del argv
  directories = _find(paths.resolve(_DATA_DIR.value))
  with native_output.hidden():
    import tensorflow  # noqa: F401  Prints messages when first imported.

    from beam_pipelines import contact_sheet
    from beam_pipelines import verification
  logging.disable(logging.INFO)  # TFDS logs each file that it reads.
  for directory in directories:
    verification.read_info(directory)  # Reports unreadable ones first.
  failed = []
  for directory in directories:
    result = verification.verify(directory)
    counts = ', '.join(f'{n:,} {name}' for name, n in result.counts.items())
    print(
      f'{directory}: {counts}; {len(result.class_names):,} classes, '
      f'{result.rejected:,} images left out, fingerprint '
      f'{result.fingerprint[:16]}.'
    )
    for note in result.notes:
      print(f'  Note: {note}')
    if result.faults:
      failed.append(_describe(directory, result.faults))
    try:
      contact_sheet.write(result, os.path.join(directory, 'contact_sheet.png'))
      contact_sheet.write_table(result, os.path.join(directory, 'classes.tsv'))
    except OSError as error:
      print(
        f'  Note: contact_sheet.png and classes.tsv were not written: {error}.'
      )
  if failed:
    raise errors.RunError('\n'.join(failed))
  print('Intact: counts, checksums, images, labels, splits, fingerprint.')


def _find(root: str) -> list[str]:
  # `glob` would take the characters [, ] and * in `root` for a pattern.
  found, folders = [], [root]
  for _ in range(4):  # data_dir/name/configuration/version
    names = {each: files.names(each) for each in folders}
    found += [each for each in folders if 'dataset_info.json' in names[each]]
    folders = [
      os.path.join(each, name)
      for each in folders
      if each not in found
      for name in names[each]
    ]
  if not found:
    raise errors.InputError(
      f'--data_dir must be a data set, or a folder that contains data sets. '
      f'Received: {root}, which contains no dataset_info.json.'
    )
  return sorted(found)


def _describe(directory: str, faults: list[str]) -> str:
  shown = faults[:_FAULTS_SHOWN]
  if len(faults) > len(shown):
    shown.append(f'and {len(faults) - len(shown):,} more.')
  lines = '\n  '.join(shown)
  return f'{directory} is damaged. Faults: {len(faults):,}.\n  {lines}'


if __name__ == '__main__':
  entry_point.run(main)
