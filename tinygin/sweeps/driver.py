"""Runs the trials of a sweep, several at a time."""

import math
import pathlib
import signal
import statistics
import sys
import threading
import time

import optuna
from optuna.trial import FrozenTrial

from tinygin.config import errors
from tinygin.reporting import history
from tinygin.sweeps import declaration
from tinygin.sweeps import runs
from tinygin.sweeps import studies
from tinygin.training import signals

_POLL_SECONDS = 1.0


class Driver:
  """Takes trials from a study and trains them."""

  def __init__(
    self,
    sweep: declaration.Sweep,
    study: optuna.Study,
    directory: pathlib.Path,
  ):
    """Prepares the sweep.

    Args:
      sweep: the declared sweep.
      study: its study.
      directory: the sweep's directory, locked.
    """
    self._sweep = sweep
    self._study = study
    self._directory = directory
    self._base = sweep.base()
    self._lock = threading.Lock()
    self._runs: list[runs.Run] = []
    self._error: Exception | None = None

  def run(self) -> None:
    """Runs trials until all points are done, here or in other processes.

    Raises:
      RunError: the base experiment was edited meanwhile.
      StoppedError: SIGINT, SIGTERM or SIGHUP arrived; the runs have saved.
    """
    with signals.collected(
      signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    ) as self._received:
      while any(unfinished := studies.unfinished(self._study, self._sweep)):
        if waiting := unfinished[0]:
          self._optimize(waiting)
        else:  # Other processes run the last trials.
          time.sleep(_POLL_SECONDS)
          optuna.storages.fail_stale_trials(self._study)
        self._check()

  def _optimize(self, waiting: int) -> None:
    """Runs trials in threads until no point waits for a process."""
    # Start enough trials to keep `parallel` runs going, even if one trial has
    # one run left.
    others = math.ceil((self._sweep.parallel - 1) / len(self._sweep.seeds))
    self._study.optimize(
      self._objective,
      n_jobs=min(waiting, 1 + others),
      catch=(Exception,),
      callbacks=[self._finish],
    )

  def _objective(self, trial: optuna.Trial) -> float:
    """Trains a trial with each seed; returns the mean of the metric."""
    point = studies.point(self._study, self._sweep, trial)
    if point is None:
      raise errors.RunError('Another process runs this point.')
    trial.set_user_attr(studies.REASON, None)
    try:
      with self._lock:
        studies.suggest(trial, self._sweep, point)
      values = self._train(trial, point)
    except optuna.TrialPruned:
      self._report(point, trial, 'pruned')
      raise
    except runs.FailedError as error:
      trial.set_user_attr(studies.REASON, str(error))
      self._report(point, trial, f'failed, {error}')
      raise
    except Exception as error:
      self._error = self._error or error  # It stops the other trials, too.
      raise
    trial.set_user_attr('values', values)
    mean = statistics.fmean(values)
    self._report(point, trial, f'{self._sweep.metric} {mean:.4f}')
    return mean

  def _train(self, trial: optuna.Trial, point: int) -> list[float]:
    """Returns the metric of the run of each seed."""
    seeds = self._sweep.seeds
    pending, running = [*seeds], dict[int, runs.Run]()
    values, reported = dict[int, float](), set[int]()
    try:
      while pending or running:
        self._check()
        if pending and (run := self._start(trial, point, pending[0])):
          running[pending.pop(0)] = run
        for seed, run in [*running.items()]:
          ended = run.ended()  # Checked first, so that no metric is missed.
          if seed == seeds[0]:
            self._judge(trial, run, ended, reported)
          if ended:
            del running[seed]
            values[seed] = run.result(self._sweep.metric)
        time.sleep(_POLL_SECONDS)
    finally:
      for run in running.values():
        run.stop()
      for run in running.values():
        run.wait()
    return [values[seed] for seed in seeds]

  def _check(self) -> None:
    """Raises the error that stops the sweep, if there is one."""
    if self._received and not self._error:
      self._error = errors.StoppedError(
        self._received[0],
        'the states of the runs are saved. The same command continues.',
      )
    if self._error:
      raise self._error

  def _start(
    self, trial: optuna.Trial, point: int, seed: int
  ) -> runs.Run | None:
    """Starts a run; returns None if enough of them are running.

    The first run builds the data set if it is missing, so the others wait until
    it has metrics.
    """
    directory = self._directory / 'trials' / f'{point:04d}-seed{seed}'
    with self._lock:
      self._runs = [each for each in self._runs if not each.ended()]
      begun = any(self._directory.glob(f'trials/*/{history.METRICS}'))
      if len(self._runs) >= (self._sweep.parallel if begun else 1):
        return None
      if self._sweep.base() != self._base:
        raise errors.RunError(
          'The base experiment was edited during the sweep. Restore it, then '
          'start the sweep again to continue.'
        )
      bindings = self._sweep.bindings(trial.params, seed, str(directory))
      arguments = [f'--gin_file={each}' for each in self._sweep.gin_files]
      arguments += [f'--gin_bindings={each}' for each in bindings]
      self._runs.append(runs.Run(arguments, directory, self._free_device()))
      return self._runs[-1]

  def _free_device(self) -> str | None:
    """Returns a device that no run uses; None if the sweep names no devices."""
    if self._sweep.devices is None:
      return None
    free = list(self._sweep.devices)
    for run in self._runs:
      free.remove(run.device)
    return free[0]

  def _judge(
    self, trial: optuna.Trial, run: runs.Run, ended: bool, reported: set[int]
  ) -> None:
    """Reports new evaluations to the pruner.

    Raises:
      TrialPruned: the pruner stopped the trial before its run ended.
    """
    metric = self._sweep.metric
    for step, value in history.values(run.directory, 'validation', metric):
      if step not in reported:
        reported.add(step)
        trial.report(value, step)
        if trial.should_prune() and not ended:
          raise optuna.TrialPruned

  def _report(self, point: int, trial: optuna.Trial, outcome: str) -> None:
    values = ', '.join(
      f'{key} = {each:.4g}' if isinstance(each, float) else f'{key} = {each}'
      for key, each in trial.params.items()
    )
    print(f'trial {point}: {values}: {outcome}', file=sys.stderr)

  def _finish(self, study: optuna.Study, _: FrozenTrial) -> None:
    """Enqueues stopped trials; ends the loop if no point waits."""
    studies.retry_points(study, self._sweep)
    if self._error or not studies.unfinished(study, self._sweep)[0]:
      study.stop()
