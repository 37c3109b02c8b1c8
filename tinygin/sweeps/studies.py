"""The Optuna study of a sweep: its trials and how they are sampled.

A sweep has a fixed number of points. A trial is an attempt at a point. The
storage creates trials one after the other, and the index of a point is the rank
of its first trial, so no two processes take the same point. Optuna's retry
callback enqueues later attempts, which keep the parameters of the first one.
"""

import logging
import pathlib
import time
import warnings
from collections.abc import Mapping

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from tinygin.config import differences
from tinygin.config import errors
from tinygin.config import paths
from tinygin.sweeps import declaration

# The parameters that may differ between starts and between machines.
_MAY_CHANGE = frozenset(
  f'sweep.{name}'
  for name in ('directory', 'storage', 'trials', 'parallel', 'devices')
)
# A process that has been silent for this long is considered dead.
_HEARTBEAT_SECONDS, _SILENT_SECONDS = 30, 120
# How often a process tries to create the study.
_CREATIONS = 5
# The user attribute of a trial that holds the reason of its failure.
REASON = 'reason'

warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
retry = optuna.storages.RetryHeartbeatStaleTrialCallback()


def open_study(
  sweep: declaration.Sweep,
  directory: pathlib.Path,
  texts: Mapping[str, str],
  rerun_failed: bool,
) -> optuna.Study:
  """Opens the sweep's study and enqueues the trials that were stopped.

  Args:
    sweep: the declared sweep.
    directory: the sweep's directory, locked. It holds the SQLite file, unless
      the sweep names a storage.
    texts: the complete configurations that may not change, by title.
    rerun_failed: whether to enqueue also the trials that failed.

  Raises:
    InputError: the storage cannot be opened, or the study belongs to another
      sweep.
  """
  optuna.logging.set_verbosity(logging.ERROR)
  study = _create(sweep, directory)
  for title, text in texts.items():
    saved = study.user_attrs.get(title)
    if saved is None:
      study.set_user_attr(title, text)
    else:
      _check_same(title, sweep.name, saved, text)
  if sweep.storage is None:  # No other process can be running a trial.
    for trial in study.get_trials(states=[TrialState.RUNNING]):
      study.tell(trial.number, state=TrialState.FAIL)
  retry_points(study, sweep, rerun_failed)
  return study


def _create(sweep: declaration.Sweep, directory: pathlib.Path) -> optuna.Study:
  for _ in range(_CREATIONS):
    try:
      storage = optuna.storages.RDBStorage(
        _url(sweep.storage, directory),
        heartbeat_interval=_HEARTBEAT_SECONDS if sweep.storage else None,
        grace_period=_SILENT_SECONDS,
        heartbeat_stale_trial_callback=retry,
      )
      _serialize(storage.engine)
      return optuna.create_study(
        storage=storage,
        study_name=sweep.name,
        direction=sweep.direction,
        pruner=sweep.pruner or optuna.pruners.NopPruner(),
        load_if_exists=True,
      )
    except (
      optuna.exceptions.OptunaError,
      sqlalchemy.exc.SQLAlchemyError,
      ImportError,
      ValueError,
    ) as error:
      reason = str(error).split('\n')[0]
    time.sleep(0.2)  # Another process may be creating the tables.
  raise errors.InputError(
    f'sweep.storage must be the URL of an Optuna storage. Received: '
    f'sweep.storage={sweep.storage!r} ({reason}).'
  )


def _url(storage: str | None, directory: pathlib.Path) -> str:
  """Returns a storage's URL with the absolute path of an SQLite file."""
  if storage is None:
    url = sqlalchemy.URL.create('sqlite', database=str(directory / 'study.db'))
  else:
    url = sqlalchemy.make_url(storage)
    if url.get_backend_name() == 'sqlite' and url.database:
      url = url.set(database=paths.resolve(url.database))
  return url.render_as_string(hide_password=False)


def _serialize(engine: sqlalchemy.Engine) -> None:
  """Makes each transaction lock an SQLite file.

  SQLite ignores FOR UPDATE, so without a lock two processes, or two threads,
  could take the same trial. The method is that of SQLAlchemy's documentation:
  https://docs.sqlalchemy.org/en/21/dialects/sqlite.html.
  """
  if engine.dialect.name == 'sqlite':
    engine.dispose()
    sqlalchemy.event.listen(
      engine, 'connect', lambda each, _: setattr(each, 'isolation_level', None)
    )
    sqlalchemy.event.listen(
      engine, 'begin', lambda each: each.exec_driver_sql('BEGIN IMMEDIATE')
    )


def _check_same(title: str, name: str, saved: str, text: str) -> None:
  found = differences.differing(*map(differences.values, (saved, text)))
  rows = {name: row for name, row in found.items() if name not in _MAY_CHANGE}
  if rows:
    table = differences.table(rows, ['parameter', 'saved', 'now'])
    raise errors.InputError(
      f'The sweep {name} was started with another {title}:\n\n{table}\n\n'
      'Restore it, or start another sweep with sweep.name and sweep.directory.'
    )


def points(study: optuna.Study, sweep: declaration.Sweep) -> list[FrozenTrial]:
  """Returns the latest attempt at each point that was begun.

  Two processes may retry a trial at the same time. The first retry counts.
  """
  latest: dict[int, FrozenTrial] = {}
  for trial in study.trials:
    history = retry.retry_history(trial)
    earlier = latest.get(history[0] if history else trial.number)
    if not earlier or len(history) > len(retry.retry_history(earlier)):
      latest[history[0] if history else trial.number] = trial
  return [*latest.values()][: len(sweep.points)]


def point(
  study: optuna.Study, sweep: declaration.Sweep, trial: optuna.Trial
) -> int | None:
  """Returns the index of a trial's point; None if the trial is not needed.

  Processes that ask for a trial at the same time may get one more than the
  sweep needs, or two attempts at the same point.
  """
  numbers = [each.number for each in points(study, sweep)]
  return numbers.index(trial.number) if trial.number in numbers else None


def unfinished(
  study: optuna.Study, sweep: declaration.Sweep
) -> tuple[int, int]:
  """Returns the numbers of points that wait for a process and that run."""
  states = [each.state for each in points(study, sweep)]
  waiting = len(sweep.points) - len(states) + states.count(TrialState.WAITING)
  return waiting, states.count(TrialState.RUNNING)


def retry_points(
  study: optuna.Study, sweep: declaration.Sweep, rerun_failed: bool = False
) -> None:
  """Enqueues the trials that were stopped.

  Args:
    study: the sweep's study.
    sweep: the declared sweep.
    rerun_failed: whether to enqueue also the trials whose runs have failed.
  """
  for trial in points(study, sweep):
    if trial.state == TrialState.FAIL and (
      rerun_failed or not trial.user_attrs.get(REASON)
    ):
      retry(study, trial)


def suggest(trial: optuna.Trial, sweep: declaration.Sweep, index: int) -> None:
  """Samples the parameters of the trial of a point.

  Each point has a sampler of its own, so stopping a sweep does not change what
  it samples. The caller must hold a lock, because a study has one sampler.
  """
  trial.study.sampler = sweep.sampler_of(index)
  for name, domain in sweep.domains.items():
    if isinstance(domain, dict):
      trial.suggest_categorical(name, [*domain])
    else:
      is_int = isinstance(domain, optuna.distributions.IntDistribution)
      suggest = trial.suggest_int if is_int else trial.suggest_float
      suggest(name, domain.low, domain.high, step=domain.step, log=domain.log)
