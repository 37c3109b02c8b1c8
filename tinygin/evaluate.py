"""Evaluates checkpoints of a run on every example of a split, once each.

  ./bazelw run //tinygin:evaluate -- --run_dir=runs/NAME --checkpoint=best

Writes the metrics, also by class, and the confusion matrix to the run's
`evaluations/`, as JSON and as a picture. If the run averages its weights, the
average is evaluated; --weights=raw evaluates the weights themselves. Another
process can follow a run that is training and evaluate each new checkpoint:

  ./bazelw run //tinygin:evaluate -- --run_dir=runs/NAME --follow
"""

import json
import pathlib

from absl import flags

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import native_output
from tinygin.config import paths
from tinygin.training import run_directory

_RUN_DIR = flags.DEFINE_string(
  'run_dir', None, "A run's directory.", required=True
)
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'latest', 'best, latest or the number of a step.'
)
_SPLIT = flags.DEFINE_string(
  'split', None, "A TFDS split. Default: the run's validation split."
)
_WEIGHTS = flags.DEFINE_enum(
  'weights',
  'average',
  ['average', 'raw'],
  'Weights to evaluate: their average, if the run has one, or raw.',
)
_AVERAGE_FLIPS = flags.DEFINE_bool(
  'average_flips',
  False,
  'Average the probabilities of each image and its mirror image.',
)
_FOLLOW = flags.DEFINE_bool(
  'follow',
  False,
  'Evaluate each checkpoint not yet evaluated, until the run has ended.',
)


def main(argv: list[str]) -> None:
  """Evaluates, writes and prints the metrics as JSON."""
  del argv
  if _FOLLOW.value and flags.FLAGS['checkpoint'].present:
    raise errors.InputError(
      f'--checkpoint={_CHECKPOINT.value} and --follow cannot be combined.'
    )
  directory = pathlib.Path(paths.find(_RUN_DIR.value))
  with native_output.hidden():
    experiment = run_directory.load(directory).build()
    from tinygin.training import evaluation

  evaluated = evaluation.RunEvaluation(
    experiment,
    directory,
    _SPLIT.value or experiment.validation_split,
    weights=_WEIGHTS.value,
    average_flips=_AVERAGE_FLIPS.value,
  )
  if _FOLLOW.value:
    outcomes = evaluated.follow()
  else:
    outcomes = [evaluated.evaluate(_CHECKPOINT.value)]
  for outcome in outcomes:
    print(json.dumps(outcome, indent=2), flush=True)


if __name__ == '__main__':
  entry_point.run(main)
