"""Trains the base experiment of a sweep with many values of its parameters.

  ./bazelw run //tinygin:sweep -- --gin_file=gin/sweeps/quickstart.gin

The same command continues a sweep that was stopped.
"""

import datetime
import shlex

from absl import flags

from tinygin.config import entry_point
from tinygin.config import native_output
from tinygin.config import paths
from tinygin.training import run_directory

_RERUN_FAILED = flags.DEFINE_bool(
  'rerun_failed', False, 'Run the failed trials again, or continue them.'
)
entry_point.define_config_flags()


def main(argv: list[str]) -> int:
  """Runs the trials that are not done; prints and writes the ranked table.

  Returns:
    The exit status: 1 if no trial was completed.
  """
  del argv
  configuration = entry_point.load_from_flags('sweep')
  sweep = configuration.build()
  with native_output.hidden():  # The base experiment imports TensorFlow.
    sweep.check(configuration.place)
    texts = {'configuration': configuration.text(), 'experiment': sweep.base()}
  from optuna.trial import TrialState

  from tinygin.sweeps import driver
  from tinygin.sweeps import results
  from tinygin.sweeps import studies

  with run_directory.locked(
    paths.resolve(sweep.directory),
    datetime.datetime.now(),
    'sweep',
    'sweep.directory',
  ) as path:
    study = studies.open_study(sweep, path, texts, _RERUN_FAILED.value)
    run_directory.write(
      path / run_directory.CONFIG, texts['configuration'].encode()
    )
    driver.Driver(sweep, study, path).run()
    table = results.write(study, sweep, path)
  print(table)
  print(f'Sweep directory  {shlex.quote(str(path))}')
  print(
    entry_point.as_started(
      'TensorBoard      ./bazelw run //tinygin:tensorboard -- '
      f'--logdir={shlex.quote(str(path / "trials"))}'
    )
  )
  return 0 if study.get_trials(False, [TrialState.COMPLETE]) else 1


if __name__ == '__main__':
  entry_point.run(main)
