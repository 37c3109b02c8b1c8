"""Shows runs in TensorBoard, on http://localhost:6006.

./bazelw run //tinygin:tensorboard -- --logdir=runs
"""

import os
import sys

from absl import flags

from tinygin.config import entry_point
from tinygin.config import paths

_LOGDIR = flags.DEFINE_string(
  'logdir', None, "A run's directory, or a folder of runs.", required=True
)
_HOST = flags.DEFINE_string(
  'host', 'localhost', 'The address to serve on; 0.0.0.0 for all addresses.'
)
_PORT = flags.DEFINE_integer('port', 6006, 'The port to serve on.')


def main(argv: list[str]) -> None:
  """Replaces this process by TensorBoard."""
  del argv
  # In this process, TensorBoard's flags would clash with those above.
  command = [
    *(sys.executable, '-m', 'tensorboard.main'),
    f'--logdir={paths.find(_LOGDIR.value)}',
    f'--host={_HOST.value}',
    f'--port={_PORT.value}',
  ]
  os.execv(sys.executable, command)


if __name__ == '__main__':
  entry_point.run(main)
