"""Exports a trained network for use in other programs.

  ./bazelw run //tinygin:export -- --run_dir=runs/NAME --output=classifier

The ending of --output selects the format:

  FILE.keras  the network alone, for Keras
  FILE.onnx   the network with its preprocessing, for any ONNX runtime
  FOLDER      a SavedModel that takes encoded images, for TensorFlow
"""

import os
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
_WEIGHTS = flags.DEFINE_enum(
  'weights',
  'average',
  ['average', 'raw'],
  'The moving averages of the weights, where the run has them, or the weights '
  'of the step itself.',
)
_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'best', 'best, latest or the number of a step.'
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'FILE.keras, FILE.onnx or a folder.', required=True
)


def main(argv: list[str]) -> None:
  """Exports the network."""
  del argv
  output = paths.resolve(_OUTPUT.value)
  if os.path.exists(output):
    raise errors.InputError(
      f'{output} exists already; choose another --output.'
    )
  directory = pathlib.Path(paths.find(_RUN_DIR.value))
  with native_output.hidden():
    experiment = run_directory.load(directory).build()
    from tinygin.training import exporting

    classifier = exporting.export(
      experiment, directory, _CHECKPOINT.value, _WEIGHTS.value, output
    )
  print(
    f'Wrote {output}: {len(classifier.class_names)} classes, weights of step '
    f'{classifier.step:,}. Its probabilities were checked against the run.'
  )


if __name__ == '__main__':
  entry_point.run(main)
