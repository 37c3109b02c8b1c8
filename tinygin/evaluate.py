"""Evaluates checkpoints of a run on every example of a split, once each.

  ./bazelw run //tinygin:evaluate -- --run_dir=runs/NAME --checkpoint=best

Writes the metrics, also by class, and the confusion matrix to the run's
`evaluations/`, as JSON and as a picture. If the run averages its weights, the
average is evaluated; --weights=raw evaluates the weights themselves. Another
process can follow a run that is training and evaluate each new checkpoint:

  ./bazelw run //tinygin:evaluate -- --run_dir=runs/NAME --follow
"""

import json

from absl import flags

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.training import run_flags

_SPLIT = flags.DEFINE_string(
  'split', None, "A TFDS split. Default: the run's validation split."
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
      f'--checkpoint={run_flags.CHECKPOINT.value} and --follow cannot be '
      'combined.'
    )
  experiment, directory = run_flags.load()
  from tinygin.training import evaluation

  evaluated = evaluation.RunEvaluation(
    experiment,
    directory,
    _SPLIT.value or experiment.validation_split,
    weights=run_flags.WEIGHTS.value,
    average_flips=_AVERAGE_FLIPS.value,
  )
  if _FOLLOW.value:
    outcomes = evaluated.follow()
  else:
    outcomes = [evaluated.evaluate(run_flags.CHECKPOINT.value)]
  for outcome in outcomes:
    print(json.dumps(outcome, indent=2), flush=True)


if __name__ == '__main__':
  flags.mark_flag_as_required('run_dir')
  flags.set_default(run_flags.CHECKPOINT, 'latest')
  entry_point.run(main)
