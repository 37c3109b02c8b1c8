"""Starts a cluster on this machine and prints how to build a data set on it.

  python -m tools.clusters.start {dask,prism,flink,spark}

It runs until Ctrl-C. First download the engines with fetch.py. Any user of this
machine can run code through the ports of the cluster.
"""

import argparse
import pathlib
import shlex
import signal
import sys
import tempfile

from tools.clusters import engines
from tools.clusters import fetch


def main() -> int:
  """Runs a cluster; returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('engine', choices=['dask', 'prism', 'flink', 'spark'])
  start = getattr(engines, parser.parse_args().engine)
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  with tempfile.TemporaryDirectory() as folder:
    try:
      with start(pathlib.Path(folder)) as cluster:
        command = ['python', '-m', 'beam_pipelines.build_dataset',
                   '--gin_file=gin/data/quickstart.gin']  # fmt: skip
        print(f'Logs are in {folder}. Build with:', flush=True)
        print(shlex.join([*command, *cluster.flags]), flush=True)
        signal.pause()
    except fetch.MissingError as error:
      print(error, file=sys.stderr)
      return 2
    except KeyboardInterrupt:
      return 0


if __name__ == '__main__':
  sys.exit(main())
