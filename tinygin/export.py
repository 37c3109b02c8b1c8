"""Exports a trained network for use in other programs.

  ./bazelw run //tinygin:export -- --run_dir=runs/NAME --output=classifier

The extension of --output selects the format:

  FILE.keras  the network alone, for Keras
  FILE.onnx   the network with its preprocessing, for any ONNX runtime
  FOLDER      a SavedModel that takes encoded images, for TensorFlow
"""

import os

from absl import flags

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import native_output
from tinygin.config import paths
from tinygin.training import run_flags

_OUTPUT = flags.DEFINE_string(
  'output',
  None,
  'The path of the export: FILE.keras, FILE.onnx or a folder.',
  required=True,
)


def main(argv: list[str]) -> None:
  """Exports the network."""
  del argv
  output = paths.resolve(_OUTPUT.value)
  if os.path.exists(output):
    raise errors.InputError(
      f'{output} exists already; choose another --output.'
    )
  experiment, directory = run_flags.load()
  with native_output.hidden():
    from tinygin.training import exporting

    classifier = exporting.export(
      experiment,
      directory,
      run_flags.CHECKPOINT.value,
      run_flags.WEIGHTS.value,
      output,
    )
  print(
    f'Wrote {output}: {len(classifier.class_names)} classes, weights of step '
    f'{classifier.step:,}. Its probabilities were checked against the run.'
  )


if __name__ == '__main__':
  flags.mark_flag_as_required('run_dir')
  entry_point.run(main)
