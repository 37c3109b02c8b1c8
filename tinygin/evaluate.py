"""Evaluates a checkpoint of a run on every example of a split, once each.

bazel run //tinygin:evaluate -- --run_dir=runs/NAME --checkpoint=best
"""

import json
import pathlib

from absl import flags

from tinygin.config import entry_point
from tinygin.config import loading
from tinygin.config import native_output
from tinygin.config import paths

_RUN_DIR = flags.DEFINE_string(
  'run_dir', None, "A run's directory.", required=True
)
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'latest', 'best, latest or the number of a step.'
)
_SPLIT = flags.DEFINE_string(
  'split', None, "A TFDS split. Without: the run's validation split."
)


def main(argv: list[str]) -> int:
  """Evaluates, writes and prints the metrics as JSON."""
  del argv
  directory = pathlib.Path(paths.find(_RUN_DIR.value))
  with native_output.hidden():
    configuration = loading.load([f'{directory}/config.gin'], [], root='train')
    experiment = configuration.build()
    from tinygin.training import evaluation

  split = _SPLIT.value or experiment.validation_split
  outcome = evaluation.evaluate(experiment, directory, _CHECKPOINT.value, split)
  print(json.dumps(outcome, indent=2))
  return 0


if __name__ == '__main__':
  entry_point.run(main)
