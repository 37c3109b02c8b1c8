"""Runs the trials of a sweep, several at a time."""

import dataclasses
import pathlib
import signal
import statistics
import sys
import time

import optuna
import tqdm
from optuna.trial import TrialState

from tinygin.config import errors
from tinygin.reporting import history
from tinygin.sweeps import declaration
from tinygin.sweeps import runs
from tinygin.sweeps import studies
from tinygin.training import signals

_POLL_SECONDS = 1.0


@dataclasses.dataclass
class _Active:
  """A trial some of whose runs are not done.

  Attributes:
    trial: the trial.
    pending: seeds with which no run has started.
    running: runs by seed.
    values: the metric of the runs that are done, by seed.
    failure: why it has failed, if it has.
    pruned: whether it was pruned.
  """

  trial: optuna.Trial
  pending: list[int]
  running: dict[int, runs.Run] = dataclasses.field(default_factory=dict)
  values: dict[int, float] = dataclasses.field(default_factory=dict)
  failure: str = ''
  pruned: bool = False

  def give_up(self) -> None:
    """Ends the runs of a trial that has failed or was pruned."""
    self.pending.clear()
    for run in self.running.values():
      run.stop()


class Driver:
  """Takes trials from a study and runs them until none is left."""

  def __init__(
    self,
    sweep: declaration.Sweep,
    study: optuna.Study,
    directory: pathlib.Path,
  ):
    """Prepares.

    Args:
      sweep: the declared sweep.
      study: its study.
      directory: the sweep's directory, locked.
    """
    self._sweep = sweep
    self._study = study
    self._directory = directory
    self._trials = studies.Trials(study, sweep, directory)
    self._active: list[_Active] = []
    self._base = sweep.base()

  def run(self) -> None:
    """Runs trials until none is left.

    Raises:
      RunError: the base experiment was edited meanwhile.
      StoppedError: SIGINT, SIGTERM or SIGHUP arrived; the runs have saved.
    """
    trials = studies.points(self._study)
    with (
      signals.collected(
        signal.SIGINT, signal.SIGTERM, signal.SIGHUP
      ) as received,
      tqdm.tqdm(
        total=len(trials),
        initial=sum(each.state.is_finished() for each in trials),
        unit='trial',
        disable=None,
      ) as self._progress,
    ):
      try:
        while not received and self._fill():
          self._show()
          time.sleep(_POLL_SECONDS)
          self._poll()
        self._show()
      finally:
        self._stop()
    if received:
      raise errors.StoppedError(
        received[0],
        'the states of the runs are saved. The same command goes on.',
      )

  def _fill(self) -> bool:
    """Starts runs where there is room; returns whether any goes on."""
    while self._running() < self._room():
      waiting = [each for each in self._active if each.pending]
      if not waiting:
        trial = self._trials.take()
        if trial is None:
          break
        self._active.append(_Active(trial, [*self._sweep.seeds]))
        continue
      self._start(waiting[0])
    return bool(self._active)

  def _running(self) -> int:
    return sum(len(each.running) for each in self._active)

  def _room(self) -> int:
    """Returns how many runs may go on.

    One until a first has metrics: it builds the data set, if that is missing.
    """
    begun = self._directory.glob(f'trials/*/{history.METRICS}')
    return self._sweep.parallel if any(begun) else 1

  def _start(self, active: _Active) -> None:
    if self._sweep.base() != self._base:
      raise errors.RunError(
        'The base experiment was edited while the sweep went on. Put it back, '
        'and start the sweep again to go on.'
      )
    seed = active.pending.pop(0)
    point = active.trial.user_attrs['point']
    directory = self._directory / 'trials' / f'{point:04d}-seed{seed}'
    bindings = self._sweep.bindings(active.trial.params, seed, str(directory))
    arguments = [f'--gin_file={each}' for each in self._sweep.gin_files]
    arguments += [f'--gin_bindings={each}' for each in bindings]
    active.running[seed] = runs.Run(arguments, directory)

  def _poll(self) -> None:
    for active in [*self._active]:
      for seed, run in [*active.running.items()]:
        ended = run.ended()  # First: what a run writes last is read below.
        if seed == self._sweep.seeds[0]:
          self._report(active, run)
        if ended:
          del active.running[seed]
          self._ended(active, seed, run)
      if not active.running and not active.pending:
        self._active.remove(active)
        self._tell(active)

  def _report(self, active: _Active, run: runs.Run) -> None:
    """Reports new evaluations to the pruner."""
    trial, metric = active.trial, self._sweep.metric
    known = self._study.get_trials(False)[trial.number].intermediate_values
    for step, value in history.values(run.directory, 'validation', metric):
      if step in known or active.pruned:
        continue
      trial.report(value, step)
      # What has ended needs no pruning.
      if trial.should_prune() and not run.ended():
        active.pruned = True
        active.give_up()

  def _ended(self, active: _Active, seed: int, run: runs.Run) -> None:
    if active.pruned or active.failure:
      return
    try:
      active.values[seed] = run.result(self._sweep.metric)
    except errors.RunError as error:
      active.failure = f'seed {seed}: {error}'
      active.give_up()

  def _tell(self, active: _Active) -> None:
    trial, metric = active.trial, self._sweep.metric
    if active.pruned:
      self._study.tell(trial, state=TrialState.PRUNED)
      what = 'pruned'
    elif active.failure:
      trial.set_user_attr('reason', active.failure)
      self._study.tell(trial, state=TrialState.FAIL)
      what = f'failed, {active.failure}'
    else:
      values = [active.values[seed] for seed in self._sweep.seeds]
      trial.set_user_attr('values', values)
      mean = statistics.fmean(values)
      self._study.tell(trial, mean)
      what = f'{metric} {mean:.4f}'
    bound = ', '.join(
      f'{key} = {each:.4g}' if isinstance(each, float) else f'{key} = {each}'
      for key, each in trial.params.items()
    )
    self._progress.write(
      f'trial {trial.user_attrs["point"]}: {bound}: {what}', file=sys.stderr
    )

  def _show(self) -> None:
    """Shows on a terminal how far the sweep is."""
    if self._progress.disable:
      return
    trials = studies.points(self._study)
    count = {
      state: sum(each.state == state for each in trials) for state in TrialState
    }
    values = [
      each.value for each in trials if each.state == TrialState.COMPLETE
    ]
    best = max if self._sweep.direction == 'maximize' else min
    words = [
      f'{self._running()} running',
      f'{count[TrialState.FAIL]} failed',
      f'{count[TrialState.PRUNED]} pruned',
    ]
    if values:
      words.append(f'best {self._sweep.metric} {best(values):.4f}')
    self._progress.n = sum(each.state.is_finished() for each in trials)
    self._progress.set_postfix_str(', '.join(words))

  def _stop(self) -> None:
    """Stops what runs; their trials stay open, to be gone on with."""
    started = [run for each in self._active for run in each.running.values()]
    for run in started:
      run.stop()
    for run in started:
      run.wait()
