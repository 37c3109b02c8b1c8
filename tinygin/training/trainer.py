"""The training loop."""

import contextlib
import dataclasses
import io
import pathlib
import shlex
import signal
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygin.config import errors
from tinygin.data import batches
from tinygin.data import source
from tinygin.reporting import callbacks
from tinygin.reporting import logs
from tinygin.reporting import progress
from tinygin.training import checkpoints
from tinygin.training import durations
from tinygin.training import evaluation
from tinygin.training import experiment as experiments
from tinygin.training import learner as learners
from tinygin.training import metrics
from tinygin.training import overview
from tinygin.training import profiling
from tinygin.training import run_directory
from tinygin.training import signals
from tinygin.training import state as states
from tinygin.training import workers


def train(
  experiment: experiments.Experiment,
  directory: pathlib.Path | None,
  may_build: bool,
  describe: Callable[[int], None],
) -> dict[str, Any]:
  """Trains to the end of the run, from its newest checkpoint if there is one.

  Args:
    experiment: the run's configuration.
    directory: the run's directory, locked by the caller. None: the run starts
      anew and writes nothing. With several workers, those other than the chief
      get the chief's state.
    may_build: whether to build the data set if it is missing.
    describe: called with the step from which training continues, after all
      checks of the input and before the first step.

  Returns:
    The content of `result.json`.

  Raises:
    InputError: the configuration does not fit the data, a checkpoint does not
      fit the configuration, or logs are missing.
    StoppedError: SIGINT, SIGTERM or SIGHUP arrived; the state is saved.
    RunError: the loss is not finite, the device runs out of memory, data files
      cannot be read, or checkpoints or logs cannot be written.
  """
  _check_replicas(experiment)
  data_directory = source.prepare(experiment.dataset, may_build)
  training, validation = (
    source.read(data_directory, split, experiment.memory_limit_mib)
    for split in (experiment.train_split, experiment.validation_split)
  )
  evaluation.check_labels(training, 'Training')
  timeline = durations.Timeline(
    training.size, experiment.batch_size, experiment.epochs
  )
  learner = learners.Learner(experiment, timeline, len(training.class_names))
  evaluate = evaluation.Evaluation(experiment, learner.model, validation)
  saved = directory and checkpoints.Checkpoints(
    directory / run_directory.CHECKPOINTS, learner.variables()
  )
  cluster = workers.Workers(experiment.strategy)
  state, is_new = _restore(experiment, learner, saved, cluster)
  _check_length(timeline, state.step)
  with (
    contextlib.closing(logs.Logs(directory, state.log_lengths)) as log,
    contextlib.closing(_progress(timeline, cluster)) as shown,
    contextlib.closing(
      profiling.Profile(experiment.profile_steps, directory)
    ) as profile,
    signals.collected(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received,
  ):
    describe(state.step)
    if directory:
      run_directory.write_classes(directory, training.class_names)
      saved.prune(experiment.keep_checkpoints, state.best_step)
    run = _Run(
      experiment,
      timeline,
      learner,
      directory,
      saved,
      state,
      log,
      shown,
      profile,
      cluster,
      received,
    )
    run.print_overview(training, validation)
    if is_new and directory:
      overview.write_start(log, directory, experiment, learner.model, training)
    iterator = run.batches(training)
    if run.ended():
      if state.is_evaluated:
        run.print_end()
    else:
      if directory:  # If there is a result, the run was extended.
        (directory / run_directory.RESULT).unlink(missing_ok=True)
      learner.trace(iterator)
    while True:
      # Also due at the start of a run that was stopped during an evaluation.
      if run.due(experiment.evaluate_every) and not state.is_evaluated:
        run.evaluate(evaluate)
        run.save()
      if run.ended():
        break
      run.train(iterator)
      if run.due(experiment.log_every):
        run.log_interval()
      number = run.signal()
      # Saved before the evaluation, which may fail or be stopped.
      if number or run.due(experiment.save_every, experiment.evaluate_every):
        run.save()
      if number:
        raise run.stopped(number)
    return run.finish()


@dataclasses.dataclass(frozen=True)
class _Run:
  """The parts of a run, and the operations of the training loop."""

  experiment: experiments.Experiment
  timeline: durations.Timeline
  learner: learners.Learner
  directory: pathlib.Path | None
  checkpoints: checkpoints.Checkpoints | None
  state: states.State
  log: logs.Logs
  progress: progress.Progress
  profile: profiling.Profile
  cluster: workers.Workers
  received: list[int]

  def print_overview(
    self, training: source.Split, validation: source.Split
  ) -> None:
    """Prints the size of the network, of the data and of the run."""
    model, timeline = self.learner.model, self.timeline
    replicas = self.experiment.strategy.num_replicas_in_sync
    start = f' from step {self.state.step:,}' if self.state.step else ''
    self.progress.note(
      f'{model.name}, {model.count_params():,} parameters; '
      f'{training.size:,} training and {validation.size:,} validation images '
      f'of {len(training.class_names)} classes; {timeline.total_steps:,} steps '
      f'of {timeline.batch_size} on {replicas} '
      f'{"replica" if replicas == 1 else "replicas"}{start}'
    )

  def print_end(self) -> None:
    """Says that the run had ended before, and how to train more."""
    if not self._ended_early():  # `finish` will say so.
      self.progress.note(
        f'This run is complete: all {self.timeline.total_steps:,} steps are '
        'done. To train longer, add '
        f'--resume={shlex.quote(str(self.directory))} --allow_changes and a '
        'greater train.epochs. To train again, choose another train.run_dir.'
      )

  def batches(self, split: source.Split) -> Iterator:
    """Returns the training batches from the present step on."""
    experiment = self.experiment
    return iter(
      batches.training(
        split,
        experiment.strategy,
        batch_size=experiment.batch_size,
        first_step=self.state.step,
        seed=experiment.seed,
        augmentation=experiment.augmentation,
        preprocessing=experiment.preprocessing,
      )
    )

  def due(self, *periods: str) -> bool:
    """Whether one of the periods ends at the present step."""
    return any(self.timeline.due(self.state.step, each) for each in periods)

  def ended(self) -> bool:
    """Whether the last step is done, or early stopping has ended the run."""
    return self.state.step >= self.timeline.total_steps or self._ended_early()

  def train(self, iterator: Iterator) -> None:
    """Takes steps until something else may be due."""
    experiment, state = self.experiment, self.state
    self.profile.start(state.step)
    steps = min(
      *self.profile.distances(state.step),
      *(
        self.timeline.steps_until(state.step, period)
        for period in (
          experiment.log_every,
          experiment.save_every,
          experiment.evaluate_every,
        )
      ),
      experiment.steps_per_loop,
    )
    start = time.monotonic()
    with self.profile.marked(state.step):
      trained = self.learner.train(iterator, steps)
    state.add(trained, time.monotonic() - start)
    if trained.steps < steps:
      raise self._diverged('loss', trained.loss, state.step + 1)
    self.profile.stop(state.step)
    self.progress.training(state.step, self._values(), passing=True)

  def log_interval(self) -> None:
    """Writes a line of training metrics over the steps since the last one."""
    state, values = self.state, self._values()
    self.progress.training(state.step, values)
    values |= {
      'learning_rate': state.learning_rate,
      'gradient_norm': state.gradient_norm,
      'weight_norm': self.learner.weight_norm(),
    }
    self.log.write('train', state.step, values)
    self._tell('train', values)
    state.start_interval()

  def evaluate(self, evaluate: evaluation.Evaluation) -> None:
    """Evaluates the network, updates the state and reports the metrics.

    Raises:
      StoppedError: a signal arrived.
      RunError: the loss is not finite.
    """
    outcome = self.learner.evaluate(evaluate, self._stop_if_signalled)
    means = outcome.metrics()
    if not np.isfinite(means.loss):
      raise self._diverged('validation loss', means.loss, self.state.step)
    self.state.judge(means, self.experiment)
    self.learner.rate_scale.assign(self.state.plateau.scale)
    self._report(means)
    if self.ended():
      overview.write_end(self.log, self.state.step, outcome, evaluate.split)

  def save(self) -> None:
    """Saves a checkpoint, or the state alone if the step is saved already."""
    if not self.checkpoints:
      return
    self.state.log_lengths = self.log.flush()
    self.checkpoints.save(
      self.state.step,
      dataclasses.asdict(self.state),
      keep=self.experiment.keep_checkpoints,
      best_step=self.state.best_step,
    )
    self._tell('checkpoint', {})

  def signal(self) -> int:
    """Returns the number of a signal that a worker has received, or 0."""
    return self.cluster.greatest(self.received[0] if self.received else 0)

  def stopped(self, number: int) -> errors.StoppedError:
    """Returns the error that ends a run whose state is saved."""
    self.cluster.leave_together()
    if self.directory:
      run = shlex.quote(str(self.directory))
      outcome = f'the state is saved. Continue with --resume={run}.'
    elif self.cluster.number:
      outcome = 'see the output of worker 0.'
    else:
      outcome = 'a dry run saves nothing.'
    return errors.StoppedError(number, outcome)

  def finish(self) -> dict[str, Any]:
    """Writes the result and returns it."""
    state = self.state
    if state.interval != metrics.no_sums():
      self.log_interval()  # Early stopping ends a run between two lines.
    if self._ended_early():
      stopping = self.experiment.early_stopping
      self.progress.note(
        f'Early stopping ended the run at step {state.step:,} of '
        f'{self.timeline.total_steps:,}: {stopping.monitor} did not improve in '
        f'{stopping.patience} evaluations.'
      )
    self.log.write_end()
    result = {
      'status': 'completed',
      'step': state.step,
      'epochs': self.timeline.epoch(state.step),
      'validation': state.validation,
      'best': state.best,
      'images_per_second': state.step
      * self.timeline.batch_size
      / state.seconds,
      'seconds': state.seconds,
    }
    if self.directory:
      run_directory.write_json(self.directory / run_directory.RESULT, result)
    self.cluster.leave_together()
    return result

  def _ended_early(self) -> bool:
    stopping = self.experiment.early_stopping
    return stopping is not None and stopping.ends(self.state.stopping)

  def _values(self) -> dict[str, float]:
    """Returns the metrics to show and log for the steps since the last line."""
    epoch = self.timeline.epoch(self.state.step)
    return {'epoch': epoch, **self.state.interval_values()}

  def _stop_if_signalled(self) -> None:
    if number := self.signal():
      raise self.stopped(number)  # The step was saved before its evaluation.

  def _report(self, means: metrics.Metrics) -> None:
    """Shows and logs the metrics of an evaluation, and the weights."""
    step = self.state.step
    values = {'epoch': self.timeline.epoch(step), **means.as_dict()}
    self.progress.evaluation(step, values)
    self.log.write('validation', step, values)
    self._tell('validation', values)
    weights = self.learner.model.trainable_variables
    self.log.write_histograms(
      step, {weight.path: weight.numpy() for weight in weights}
    )

  def _tell(self, kind: str, values: dict[str, float]) -> None:
    """Tells the callbacks what has happened, unless nothing is written."""
    if self.directory:
      callbacks.tell(
        self.experiment.callbacks,
        callbacks.Event(kind, self.state.step, values, self.directory),
      )

  def _diverged(self, name: str, value: float, step: int) -> errors.RunError:
    state = self.state
    before = []
    if self.directory:
      present = checkpoints.steps(self.directory / run_directory.CHECKPOINTS)
      before = [each for each in present if each < step]
    loss = 'none' if state.loss is None else f'{state.loss:.4f}'
    return errors.RunError(
      f'The {name} of step {step} is {value}, at a learning rate of '
      f'{state.learning_rate:.6g}. Last finite loss: {loss}. Last checkpoint '
      f'before: {f"step {before[-1]}" if before else "none"}. Reduce the '
      'learning rate or set train.clip_norm.'
    )


def _restore(
  experiment: experiments.Experiment,
  learner: learners.Learner,
  saved: checkpoints.Checkpoints | None,
  cluster: workers.Workers,
) -> tuple[states.State, bool]:
  """Returns the state of the newest checkpoint, and whether the run is new.

  Only the chief reads files. The other workers get all variables from it.
  """
  restored = None
  if saved:
    saved.sweep()
    restored = saved.restore_newest()
  if not (restored or cluster.number or experiment.init_from is None):
    learner.initialize()
  restored = cluster.share_state(restored, learner.variables())
  state = states.State.restored(restored)
  learner.rate_scale.assign(state.plateau.scale)
  return state, restored is None


def _progress(
  timeline: durations.Timeline, cluster: workers.Workers
) -> progress.Progress:
  # Only the chief reports.
  stream = io.StringIO() if cluster.number else sys.stderr
  return progress.Progress(timeline.total_steps, timeline.batch_size, stream)


def _check_replicas(experiment: experiments.Experiment) -> None:
  replicas = experiment.strategy.num_replicas_in_sync
  if experiment.jit_compile and replicas > 1:
    raise errors.InputError(
      'train.jit_compile works on one replica only: with several, programs '
      'that XLA has compiled can wait for each other forever. Received: '
      f'{replicas} replicas. Set train.jit_compile = False.'
    )
  number = replicas * experiment.accumulation
  if experiment.batch_size % number:
    raise errors.InputError(
      f'train.batch_size must be a multiple of {number}, for {replicas} '
      f'replicas{"" if number == replicas else " and train.accumulation"}. '
      f'Received: {experiment.batch_size}.'
    )


def _check_length(timeline: durations.Timeline, step: int) -> None:
  if step > timeline.total_steps:
    raise errors.InputError(
      f'train.epochs must not end before step {step:,}, which this run has '
      f'reached already ({timeline.epoch(step):.4g} epochs). Received: '
      f'{timeline.length!r}, which ends at step {timeline.total_steps:,}.'
    )
