"""Trains what gin files declare.

  ./bazelw run //tinygin:train -- --gin_file=gin/quickstart.gin

A run that was stopped continues from its last checkpoint:

  ./bazelw run //tinygin:train -- --resume=runs/NAME
"""

import contextlib
import datetime
import pathlib
import shlex
from typing import Any

from absl import flags

from tinygin.config import entry_point
from tinygin.config import errors
from tinygin.config import loading
from tinygin.config import native_output
from tinygin.config import paths
from tinygin.training import run_directory

_DRY = flags.DEFINE_bool('dry', False, 'Train, but write no run directory.')
_SUMMARY = flags.DEFINE_bool('summary', False, "Print the network's layers.")
_CHECK = flags.DEFINE_bool(
  'check', False, 'Take five steps, and print what the run needs.'
)
_OVERFIT = flags.DEFINE_integer(
  'overfit',
  None,
  'Train on this many images only, and say whether the loss goes to zero.',
  lower_bound=1,
)
_RESUME = flags.DEFINE_string(
  'resume', None, 'Continue the run in this directory, with its config.gin.'
)
_RESUME_LAST = flags.DEFINE_bool(
  'resume_last', False, 'Continue the most recently started run in runs/.'
)
_ALLOW_CHANGES = flags.DEFINE_bool(
  'allow_changes',
  False,
  'Continue with other durations, logging or memory limits than so far.',
)
entry_point.define_config_flags()
for flag in (
  ('levels', 'LEVELS = ({},)', 'Blocks of each level: 3,5,7.'),
  ('width', 'WIDTH = {}', 'Channels of the first level.'),
  ('classes', 'CLASSES = {}', 'Classes of the data set.'),
  ('batch_size', 'BATCH_SIZE = {}', 'Examples in a step.'),
  ('epochs', 'EPOCHS = {}', 'Length of the training, in epochs.'),
  ('lr', 'LEARNING_RATE = {}', 'Learning rate.'),
  ('dropout', 'DROPOUT = {}', 'Fraction dropped by the head.'),
  ('l1', 'L1 = {}', "L1 regularization of the head's kernel."),
  ('l2', 'L2 = {}', "L2 regularization of the head's kernel."),
  ('seed', 'SEED = {}', 'Seed of everything random.'),
):
  entry_point.define_macro_flag(*flag)


def main(argv: list[str]) -> int:
  """Trains, prints a summary and returns the exit status."""
  del argv
  resumed = _resumed()
  modes = [
    *(['resume'] if resumed else []),
    *(n for n in ('dry', 'check', 'overfit') if flags.FLAGS[n].value),
  ]
  if len(modes) > 1:
    raise errors.InputError(
      f'--{modes[0]} and --{modes[1]} cannot be combined.'
    )
  if resumed and not flags.FLAGS.gin_file:
    flags.FLAGS.gin_file = [f'{resumed}/{run_directory.CONFIG}']
    given = flags.FLAGS.gin_bindings
    # Appended, so that messages number the user's bindings from 0.
    if not any('data_dir' in each for each in given):
      found = run_directory.data_bindings(pathlib.Path(resumed))
      flags.FLAGS.gin_bindings = [*given, *found]
  with native_output.hidden():
    configuration = entry_point.load_from_flags('train')
    bound_at = configuration.place('run_dir')
    if resumed and bound_at.is_flag:
      raise errors.InputError(
        f'A resumed run keeps its directory, {resumed}. Remove the binding of '
        f'train.run_dir at {bound_at}.'
      )
    experiment = configuration.build()
    # Imports TensorFlow, which takes seconds, so the input is checked first.
    from tinygin.models import summary
    from tinygin.training import workers

  if _SUMMARY.value:
    print(summary.table(experiment.build_model()))
    return 0
  if _CHECK.value or _OVERFIT.value:
    return _rehearse(experiment)
  cluster = workers.Workers(experiment.strategy)
  run_dir = resumed or experiment.run_dir
  # Only the first worker writes to the run's directory.
  keeps = not (_DRY.value or cluster.number)
  with configuration.located(), cluster.reporting_lost_workers():
    cluster.check_same(configuration.text(), run_dir)
    with (
      run_directory.locked(paths.resolve(run_dir), datetime.datetime.now())
      if keeps
      else contextlib.nullcontext()
    ) as directory:
      result = _train(experiment, configuration, directory)
  if not cluster.number:
    print(entry_point.as_started(_closing(result, directory)))
  return 0


def _resumed() -> str | None:
  """Returns the directory of the run to continue, if a flag names one."""
  if _RESUME.value and _RESUME_LAST.value:
    raise errors.InputError('--resume and --resume_last cannot be combined.')
  if _RESUME.value:
    directory = str(run_directory.find(_RESUME.value))
  elif _RESUME_LAST.value:
    runs = pathlib.Path(paths.resolve('runs'))
    started = list(runs.glob(f'*/{run_directory.PROVENANCE}'))
    if not started:
      raise errors.InputError(f'--resume_last found no run in {runs}.')
    last = max(started, key=lambda path: path.stat().st_mtime)
    directory = str(last.parent)
  else:
    return None
  run_directory.check_is_run(pathlib.Path(directory))
  return directory


def _rehearse(experiment: Any) -> int:
  """Does what --check or --overfit asks for; returns the exit status."""
  with native_output.hidden():
    from tinygin.training import rehearsal

  if _CHECK.value:
    print(rehearsal.check(experiment))
    return 0
  text, learns = rehearsal.overfit(experiment, _OVERFIT.value)
  print(text)
  return 0 if learns else 1


def _train(
  experiment: Any,
  configuration: loading.Configuration,
  directory: pathlib.Path | None,
) -> dict[str, Any]:
  """Trains in a locked directory, or writes nothing; returns the result."""
  with native_output.hidden():
    from tinygin.training import trainer

  if directory:
    run_directory.check_continuation(
      directory, configuration, _ALLOW_CHANGES.value
    )

  def describe(step: int) -> None:
    if directory:
      start = _start(experiment.seed, experiment.dataset.directory)
      run_directory.describe(directory, configuration, step, start)

  may_build = not _DRY.value
  return trainer.train(experiment, directory, may_build, describe)


def _start(seed: int, data_directory: str) -> dict[str, Any]:
  from tinygin.reporting import provenance

  return {
    'seed': seed,
    'data_set': provenance.data_set(data_directory),
    **provenance.describe(pathlib.Path(paths.checkout())),
  }


def _closing(result: dict[str, Any], directory: pathlib.Path | None) -> str:
  validation, best = result['validation'], result['best']
  lines = [
    '',
    f'Validation top-1 {validation["top1"]:.4f}, top-5 '
    f'{validation["top5"]:.4f}, loss {validation["loss"]:.4f} on '
    f'{validation["count"]:,} images after {result["epochs"]:.1f} epochs.',
    f'Best top-1 {best["top1"]:.4f} at step {best["step"]:,}. '
    f'{result["images_per_second"]:,.0f} images/s over '
    f'{result["seconds"]:.0f} s of training.',
  ]
  if directory:
    run, runs = (
      shlex.quote(str(path)) for path in (directory, directory.parent)
    )
    lines += [
      f'Run directory  {run}',
      f'TensorBoard    ./bazelw run //tinygin:tensorboard -- --logdir={runs}',
      f'Evaluate       ./bazelw run //tinygin:evaluate -- --run_dir={run}',
      f'Predict        ./bazelw run //tinygin:predict -- --run_dir={run} IMAGE',
      'Try next       change one line of the gin file, or --gin_bindings, then '
      'compare:',
      f'               ./bazelw run //tinygin:compare -- {run} OTHER_RUN',
    ]
  return '\n'.join(lines)


if __name__ == '__main__':
  entry_point.run(main)
