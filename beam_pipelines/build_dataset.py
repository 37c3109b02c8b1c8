"""Builds the TFDS data set that gin files declare.

./bazelw run //beam_pipelines:build_dataset -- --gin_file=gin/data/stanford.gin

Also takes `--runner` and all other flags of Beam.
"""

import contextlib
import json
import os
import shlex
import time

from absl import flags

from beam_pipelines import fingerprint
from beam_pipelines import runners
from tinygin.config import entry_point
from tinygin.config import files

_DASK_WORKERS = flags.DEFINE_integer(
  'dask_workers',
  None,
  'Build with this many processes on this machine, as a Dask cluster.',
  lower_bound=1,
)
entry_point.define_config_flags()


def main(argv: list[str]) -> None:
  """Builds the configured data set and prints what it contains."""
  workers = _DASK_WORKERS.value
  options = runners.parse(argv[1:], workers, set(flags.FLAGS))
  configuration = entry_point.load_from_flags('dataset', other_roots=['train'])
  dataset = configuration.build()
  if dataset.is_built():
    print(f'Already built: {shlex.quote(dataset.directory)}')
    return
  start = time.monotonic()
  with contextlib.ExitStack() as stack:
    if workers:
      stack.enter_context(runners.local_cluster(options, workers))
    directory = dataset.build(options)
  seconds = time.monotonic() - start
  info = json.loads(files.read(os.path.join(directory, 'dataset_info.json')))
  metadata = fingerprint.read(directory)
  counts = ', '.join(
    f'{sum(map(int, split["shardLengths"])):,} {split["name"]}'
    for split in info['splits']
  )
  quoted = shlex.quote(directory)
  print(f'Built {quoted} in {seconds:.1f} s: {counts} examples.')
  if rejected := metadata['rejected']:
    listed = shlex.quote(os.path.join(directory, fingerprint.REJECTED))
    print(f'Left out {rejected:,} images: see {listed}.')


if __name__ == '__main__':
  entry_point.run(main, takes='other flags')
