"""Flags of the programs that load the network of a run."""

import pathlib
from typing import Any

from absl import flags

from tinygin.config import native_output
from tinygin.training import run_directory

RUN_DIR = flags.DEFINE_string('run_dir', None, "A run's directory.")
CHECKPOINT = flags.DEFINE_string(
  'checkpoint', 'best', 'best, latest or the number of a step.'
)
WEIGHTS = flags.DEFINE_enum(
  'weights',
  'average',
  ['average', 'raw'],
  'The moving averages of the weights, if the run has them, or the weights of '
  'the step itself.',
)


def load() -> tuple[Any, pathlib.Path]:
  """Returns the run's `experiment.Experiment`, and its directory.

  Raises:
    InputError: as `run_directory.load`.
  """
  directory = run_directory.find(RUN_DIR.value)
  with native_output.hidden():
    return run_directory.load(directory).build(), directory
