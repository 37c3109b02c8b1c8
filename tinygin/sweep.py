"""Trains the base experiment of a sweep with many values of its parameters.

  bazel run //tinygin:sweep -- --gin_file=gin/sweeps/quickstart.gin

The same command goes on with a sweep that was stopped.
"""

import pathlib

from absl import flags

from tinygin.config import entry_point
from tinygin.config import native_output
from tinygin.config import paths

_RERUN_FAILED = flags.DEFINE_bool(
  'rerun_failed', False, 'Run again, or go on with, the trials that failed.'
)
entry_point.define_config_flags()


def main(argv: list[str]) -> None:
  """Runs what is left of the sweep, prints and writes the ranked table."""
  del argv
  configuration = entry_point.load_from_flags('sweep')
  sweep = configuration.build()
  with native_output.hidden():  # The base experiment imports TensorFlow.
    sweep.check(configuration.where)
    texts = {'configuration': configuration.text(), 'experiment': sweep.base()}
  from tinygin.sweeps import directory
  from tinygin.sweeps import driver
  from tinygin.sweeps import results
  from tinygin.sweeps import studies

  path = pathlib.Path(paths.resolve(sweep.directory))
  with directory.locked(path) as lock:
    study = studies.open_study(sweep, path, texts)
    (path / directory.CONFIG).write_text(texts['configuration'])
    if _RERUN_FAILED.value:
      studies.retry_failed(study)
    driver.Driver(sweep, study, path, lock).run()
    results.write(study, sweep, path)
  print(results.text(*results.table(study, sweep)))
  print(f'\nSweep directory  {path}')
  print(f'TensorBoard      tensorboard --logdir={path}/trials')


if __name__ == '__main__':
  entry_point.run(main)
