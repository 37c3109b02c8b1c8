"""Writes a trained network for use elsewhere.

  ./bazelw run //tinygin:export -- --run_dir=runs/NAME --output=classifier

The ending of the output decides: `.keras` is the network alone, `.onnx` the
network with its preprocessing; anything else is the folder of a SavedModel,
which takes the bytes of images.
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
  """Writes the network and says what it takes."""
  del argv
  output = paths.resolve(_OUTPUT.value)
  if os.path.exists(output):
    raise errors.InputError(
      f'--output must be new. Received: {output}, which exists.'
    )
  directory = pathlib.Path(paths.find(_RUN_DIR.value))
  with native_output.hidden():
    experiment = run_directory.load(directory).build()
    from tinygin.training import exporting
    from tinygin.training import prediction

    classifier = prediction.Classifier.restore(
      experiment, directory, _CHECKPOINT.value, _WEIGHTS.value
    )
    exporting.export(classifier, experiment.dataset.filter, output)
  names = len(classifier.class_names)
  print(f'Step {classifier.step:,} of {names} classes written to {output}.')


if __name__ == '__main__':
  entry_point.run(main)
