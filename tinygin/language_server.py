"""Helps editors with gin files: mistakes, completion, definitions and more.

  tinygin language-server

Editors start it, and talk to it on stdin and stdout.
"""

import sys

from absl import flags

from tinygin.config import entry_point

_SEARCH_PATH = flags.DEFINE_multi_string(
  'gin_search_path',
  [],
  'A folder in which included files are searched, after the folder of the '
  'including file. Repeatable.',
)


def main(argv: list[str]) -> None:
  """Serves until the editor ends."""
  del argv
  from tinygin.editing import server  # Needs the extra `editor`.

  served = server.make('1', _SEARCH_PATH.value)
  # What is printed by mistake must not get between the messages.
  output, sys.stdout = sys.stdout.buffer, sys.stderr
  served.start_io(sys.stdin.buffer, output)


if __name__ == '__main__':
  entry_point.run(main)
