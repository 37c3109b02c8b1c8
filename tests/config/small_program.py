"""A program like the entry points, without TensorFlow.

./bazelw run //tests/config:small_program -- --gin_file=FILE
"""

import signal
import sys

from absl import flags
from absl import logging

from tinygin.config import entry_point

flags.DEFINE_integer('number', 1, 'A number.')
flags.DEFINE_enum('kind', 'a', ['a', 'b'], 'A kind.')
entry_point.define_config_flags()
entry_point.define_macro_flag('levels', 'LEVELS = ({},)', 'Blocks.')
entry_point.define_macro_flag('width', 'WIDTH = {}', 'Channels.')
entry_point.define_macro_flag('epochs', 'EPOCHS = {}', 'Epochs.')
entry_point.define_macro_flag('lr', 'LEARNING_RATE = {}', 'Rate.')


def main(argv: list[str]) -> int | None:
  """Prints what it builds."""
  del argv
  train = entry_point.load_from_flags('train').build()
  print(train.epochs, train.label)
  if train.label == 'fail':
    raise RuntimeError('A failure of the program.')
  if train.label == 'warn':
    logging.warning('Something of %s is missing.', train.label)
  if train.scale:
    train.scale(1.0)
  if train.label in ('SIGINT', 'SIGTERM'):
    signal.raise_signal(signal.Signals[train.label])
  if 'tensorflow' in sys.modules:
    print('TensorFlow was imported.')
  return train.count


if __name__ == '__main__':
  entry_point.run(main)
