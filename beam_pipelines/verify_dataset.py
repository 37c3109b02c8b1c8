"""Re-reads a built data set and proves that it is what it says it is.

./bazelw run //beam_pipelines:verify_dataset -- --data_dir=data

Beside each data set it writes `contact_sheet.png`, a row of images for each
class, and `classes.tsv`. Exit status: 0, all is well; 1, something is wrong;
2, a data set does not even say what it should hold.
"""

import logging
import os

from absl import flags
from etils import epath

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import native_output
from tinygin.config import paths

_DATA_DIR = flags.DEFINE_string(
  'data_dir',
  None,
  'A data set, or a folder with data sets in it.',
  required=True,
)
_FAULTS_SHOWN = 20


def main(argv: list[str]) -> None:
  """Verifies all data sets in a folder."""
  del argv
  directories = _find(paths.resolve(_DATA_DIR.value))
  with native_output.hidden():
    import tensorflow  # noqa: F401  Hides what it writes at first.

    from beam_pipelines import contact_sheet
    from beam_pipelines import verification
  logging.disable(logging.INFO)  # TFDS tells of each file that it reads.
  for directory in directories:
    verification.read_info(directory)  # Else faults of others would be lost.
  failed = []
  for directory in directories:
    result = verification.verify(directory)
    contact_sheet.write(result, os.path.join(directory, 'contact_sheet.png'))
    contact_sheet.write_table(result, os.path.join(directory, 'classes.tsv'))
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
  if failed:
    raise errors.RunError('\n'.join(failed))
  print('All is well: counts, checksums, images, labels, splits, fingerprint.')


def _find(root: str) -> list[str]:
  # data_dir/name/configuration/version
  found = [
    os.fspath(path.parent)
    for depth in range(4)
    for path in epath.Path(root).glob('*/' * depth + 'dataset_info.json')
  ]
  if not found:
    raise errors.InputError(
      f'--data_dir must be a data set, or a folder with data sets in it. '
      f'Received: {root}, where there is no dataset_info.json.'
    )
  return sorted(found)


def _describe(directory: str, faults: list[str]) -> str:
  shown = faults[:_FAULTS_SHOWN]
  if len(faults) > len(shown):
    shown.append(f'and {len(faults) - len(shown):,} more.')
  return f'{directory} is damaged, {len(faults):,} faults:\n  ' + '\n  '.join(
    shown
  )


if __name__ == '__main__':
  entry_point.run(main)
