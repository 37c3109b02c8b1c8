"""Builds the TFDS data set that gin files declare.

./bazelw run //beam_pipelines:build_dataset -- --gin_file=gin/data/mini.gin

`--runner` and all other flags of Beam's are passed to Beam.
"""

import functools
import json
import sys
import time

from absl import app
from absl import flags
from etils import epath

from beam_pipelines import runners
from tinygin.config import entry_point

_DASK_WORKERS = flags.DEFINE_integer(
  'dask_workers',
  None,
  'Build with so many processes of this machine, by a Dask cluster of its own.',
  lower_bound=1,
)
entry_point.define_config_flags()


def main(argv: list[str], beam_arguments: list[str]) -> None:
  """Builds the configured data set and says what is in it."""
  del argv
  configuration = entry_point.load_from_flags('dataset', other_roots=['train'])
  dataset = configuration.build()
  if dataset.is_built():
    print(f'Built already: {dataset.directory}')
    return
  start = time.monotonic()
  with runners.options(beam_arguments, _DASK_WORKERS.value) as options:
    directory = epath.Path(dataset.build(options))
  info = json.loads((directory / 'dataset_info.json').read_text())
  metadata = json.loads((directory / 'metadata.json').read_text())
  counts = ', '.join(
    f'{sum(map(int, split["shardLengths"])):,} {split["name"]}'
    for split in info['splits']
  )
  seconds = time.monotonic() - start
  print(f'Built {directory} in {seconds:.1f} s: {counts} examples.')
  if rejected := metadata['rejected']:
    print(f'Left out {rejected:,} images: see {directory}/rejected.jsonl.')


if __name__ == '__main__':
  app.define_help_flags()  # Else --help would be handed to Beam.
  sys.argv, _beam_arguments = runners.split_arguments(
    sys.argv, set(flags.FLAGS)
  )
  entry_point.run(functools.partial(main, beam_arguments=_beam_arguments))
