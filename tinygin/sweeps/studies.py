"""The Optuna study of a sweep: which trials there are, and what came of them.

Every trial is enqueued when the study is made, under the number of its point.
So the processes that share a study take each point once, a grid is complete,
and whoever starts again finds what is left. How a point is sampled depends on
its number and on what is known, not on how often the sweep was stopped.
"""

import logging
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import sqlalchemy.exc
from optuna.trial import TrialState

from tinygin.config import differences
from tinygin.config import errors
from tinygin.sweeps import declaration
from tinygin.training import run_directory

# What may differ from start to start, and between machines.
_MAY_CHANGE = frozenset(
  f'sweep.{name}' for name in ('directory', 'storage', 'trials', 'parallel')
)


def open_study(
  sweep: declaration.Sweep, directory: pathlib.Path, texts: Mapping[str, str]
) -> optuna.Study:
  """Opens the sweep's study, or makes it, with all its trials.

  Args:
    sweep: the declared sweep.
    directory: where the SQLite file lies, unless the sweep names a storage.
    texts: the complete configurations that may not change, by title.

  Raises:
    InputError: the storage cannot be opened, or the study there is that of
      another sweep.
  """
  optuna.logging.set_verbosity(logging.WARNING)
  try:
    study = optuna.create_study(
      storage=sweep.storage or f'sqlite:///{directory}/study.db',
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
    raise errors.InputError(
      f'sweep.storage must be the URL of an Optuna storage. Received: '
      f'sweep.storage={sweep.storage!r} ({reason}).'
    ) from error
  for title, text in texts.items():
    saved = study.user_attrs.get(title)
    if saved is None:
      study.set_user_attr(title, text)
    else:
      _check_same(title, sweep.name, saved, text)
  known = {trial.user_attrs.get('point') for trial in study.get_trials(False)}
  if len(known) > len(sweep.points):
    raise errors.InputError(
      f'sweep.trials can only be raised: there are {len(known)} trials. '
      f'Received: sweep.trials={sweep.trials}.'
    )
  for point, parameters in enumerate(sweep.points):
    if point not in known:
      study.enqueue_trial(parameters, {'point': point})
  return study


def _check_same(title: str, name: str, saved: str, text: str) -> None:
  rows = [
    each
    for each in differences.differences(saved, text)
    if each.name not in _MAY_CHANGE
  ]
  if rows:
    table = differences.table(rows, ['parameter', 'saved', 'now'])
    raise errors.InputError(
      f'The sweep {name} was started with another {title}:\n\n{table}\n\nGo on '
      'with it as it was, or start another with sweep.name and sweep.directory.'
    )


class Trials:
  """The trials that this process takes from a study."""

  def __init__(
    self,
    study: optuna.Study,
    sweep: declaration.Sweep,
    directory: pathlib.Path,
  ):
    """Finds the trials that were cut when this process was stopped.

    Args:
      study: what `open_study` returned.
      sweep: the declared sweep.
      directory: the sweep's directory, which identifies this process.
    """
    self._study = study
    self._sweep = sweep
    identity = directory / 'worker'
    if not identity.exists():
      run_directory.write(identity, uuid.uuid4().hex.encode())
    self._worker = identity.read_text()
    self._cut = [
      trial
      for trial in study.get_trials(False, [TrialState.RUNNING])
      if sweep.storage is None or trial.user_attrs.get('worker') == self._worker
    ]

  def take(self) -> optuna.Trial | None:
    """Returns a trial with its parameters; None when none is left."""
    if self._cut:
      return self._sample(
        optuna.trial.Trial(self._study, self._cut.pop(0)._trial_id)
      )
    while self._study.get_trials(False, [TrialState.WAITING]):
      trial = self._study.ask()
      trial.set_user_attr('worker', self._worker)
      if any(each.number == trial.number for each in points(self._study)):
        return self._sample(trial)
      # Another process was faster, or has enqueued the same point.
      self._study.tell(trial, state=TrialState.FAIL)
    return None

  def _sample(self, trial: optuna.Trial) -> optuna.Trial:
    if self._sweep.sampler != 'grid':
      numbers = [self._sweep.sampler_seed, trial.user_attrs['point']]
      seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
      self._study.sampler = self._sweep.sampler(seed=seed)
    for name, domain in self._sweep.domains.items():
      if isinstance(domain, dict):
        trial.suggest_categorical(name, [*domain])
      elif isinstance(domain, optuna.distributions.IntDistribution):
        trial.suggest_int(name, domain.low, domain.high, step=domain.step)
      else:
        trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return trial


def points(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
  """Returns the trial that counts of each point, in order of the points.

  That is the first that has not failed, or the last failed one.
  """
  chosen: dict[int, optuna.trial.FrozenTrial] = {}
  for trial in study.get_trials(False):
    point = trial.user_attrs.get('point')
    earlier = chosen.get(point)
    if point is not None and (
      earlier is None or earlier.state == TrialState.FAIL
    ):
      chosen[point] = trial
  return [trial for _, trial in sorted(chosen.items())]


def retry_failed(study: optuna.Study) -> None:
  """Enqueues again, with the same parameters, the points that have failed."""
  for trial in points(study):
    if trial.state == TrialState.FAIL:
      point: dict[str, Any] = {'point': trial.user_attrs['point']}
      study.enqueue_trial(trial.params, point)
