"""The training loop."""

import contextlib
import dataclasses
import io
import pathlib
import signal
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tinygin.config import errors
from tinygin.data import batches
from tinygin.data import records
from tinygin.data import source
from tinygin.reporting import logs
from tinygin.reporting import progress
from tinygin.training import checkpoints
from tinygin.training import durations
from tinygin.training import evaluation
from tinygin.training import experiment as experiments
from tinygin.training import learner as learners
from tinygin.training import metrics
from tinygin.training import overview
from tinygin.training import plateaus
from tinygin.training import profiling
from tinygin.training import run_directory
from tinygin.training import signals
from tinygin.training import steps
from tinygin.training import workers


def train(
  experiment: experiments.Experiment,
  directory: pathlib.Path,
  may_build: bool,
  describe: Callable[[int], None],
) -> dict[str, Any]:
  """Trains until the end of the run, from wherever the directory stands.

  Args:
    experiment: what to train.
    directory: the run's directory, locked by the caller.
    may_build: whether a missing data set is built.
    describe: is called with the step from which the run goes on, once nothing
      is left that could be refused.

  Returns:
    What `result.json` holds.

  Raises:
    InputError: the configuration does not fit the data, a checkpoint does not
      fit the configuration, or logs are missing.
    StoppedError: SIGTERM or SIGINT arrived; the state is saved.
    RunError: the loss is no longer finite, the memory does not suffice, the
      data cannot be read any more, or a checkpoint or logs cannot be written.
  """
  _check_replicas(experiment)
  data_directory = source.prepare(experiment.dataset, may_build)
  training_split, validation_split = (
    source.read(data_directory, split, experiment.memory_limit_mib)
    for split in (experiment.train_split, experiment.validation_split)
  )
  timeline = durations.Timeline(
    training_split.size, experiment.batch_size, experiment.epochs
  )
  learner = learners.Learner.build(
    experiment, timeline, len(training_split.class_names)
  )
  saved = checkpoints.Checkpoints(
    directory / run_directory.CHECKPOINTS, learner.variables()
  )
  saved.sweep()
  restored = saved.restore_newest()
  if restored is None and experiment.init_from is not None:
    learner.initialize(experiment.init_from, experiment.init_head)
  spread = workers.Workers(experiment.strategy)
  restored = spread.share_state(restored, learner.variables())
  state = State.restored(restored)
  _check_length(timeline, state.step)
  # Those are of the chief's files; other workers' directories are new.
  lengths = {} if spread.number else state.log_lengths
  with contextlib.closing(logs.Logs(directory, lengths)) as log:
    describe(state.step)
    run_directory.write_classes(directory, training_split.class_names)
    saved.prune(experiment.keep_checkpoints, state.best_step)
    learner.rate_scale.assign(state.plateau.scale)
    run = _Run(
      experiment, timeline, learner, directory, saved, state, log, spread
    )
    run.print_overview(training_split, validation_split)
    if restored is None:
      overview.write_start(
        log, directory, experiment, learner.model, training_split
      )
    run.loop(training_split, validation_split)
    result = run.finish()
    spread.leave_together()
    return result


@dataclasses.dataclass
class State:
  """Where a run is: what a checkpoint holds beside the variables.

  Attributes:
    step: training steps done.
    loss: mean loss of the last steps.
    gradient_norm: global norm of the last step's gradients, before clipping.
    interval: sums of metrics since the last line of training metrics.
    period: sums of metrics since the last evaluation.
    validation: metrics of the last evaluation.
    best: metrics of the best evaluation by top-1, and its step.
    plateau: what the reduction on a plateau has seen.
    stopping: what early stopping has seen.
    images: images trained on, and `seconds` that took, over all starts.
    seconds: see `images`.
    log_lengths: bytes of each log.
  """

  step: int = 0
  loss: float | None = None
  gradient_norm: float | None = None
  interval: list[float] = dataclasses.field(default_factory=metrics.no_sums)
  period: list[float] = dataclasses.field(default_factory=metrics.no_sums)
  validation: dict[str, Any] | None = None
  best: dict[str, Any] | None = None
  plateau: plateaus.State = dataclasses.field(default_factory=plateaus.State)
  stopping: plateaus.State = dataclasses.field(default_factory=plateaus.State)
  images: int = 0
  seconds: float = 0.0
  log_lengths: dict[str, int] = dataclasses.field(default_factory=dict)

  @property
  def best_step(self) -> int:
    """The step of the best evaluation; before the first, this step."""
    return self.best['step'] if self.best else self.step

  @classmethod
  def restored(cls, saved: dict[str, Any] | None) -> 'State':
    """Returns the state that a checkpoint holds, or that of a new run."""
    state = cls(**(saved or {}))
    if saved:
      state.plateau = plateaus.State(**saved['plateau'])
      state.stopping = plateaus.State(**saved['stopping'])
    return state


class _Run:
  """The course of a run."""

  def __init__(
    self,
    experiment: experiments.Experiment,
    timeline: durations.Timeline,
    learner: learners.Learner,
    directory: pathlib.Path,
    saved: checkpoints.Checkpoints,
    state: State,
    log: logs.Logs,
    spread: workers.Workers,
  ):
    self._experiment = experiment
    self._timeline = timeline
    self._learner = learner
    self._directory = directory
    self._checkpoints = saved
    self._state = state
    self._logs = log
    self._profile = profiling.Profile(experiment.profile_steps, directory)
    self._workers = spread
    self._progress = progress.Progress(
      timeline.total_steps,
      experiment.batch_size,
      time.monotonic(),
      # One report, by the chief.
      io.StringIO() if spread.number else sys.stderr,
    )
    self._progress.images = state.images
    self._progress.seconds = state.seconds

  def print_overview(
    self, training_split: source.Split, validation_split: source.Split
  ) -> None:
    """Prints what is about to be trained."""
    model = self._learner.model
    replicas = self._experiment.strategy.num_replicas_in_sync
    start = f' from step {self._state.step:,}' if self._state.step else ''
    self._progress.note(
      f'{model.name}, {model.count_params():,} parameters; '
      f'{training_split.size:,} training and {validation_split.size:,} '
      f'validation images of {len(training_split.class_names)} classes; '
      f'{self._timeline.total_steps:,} steps of {self._experiment.batch_size} '
      f'on {replicas} {"replica" if replicas == 1 else "replicas"}{start}'
    )

  def loop(
    self, training_split: source.Split, validation_split: source.Split
  ) -> None:
    """Trains, logs, evaluates and saves until the last step."""
    experiment, state = self._experiment, self._state
    log_every = self._timeline.steps(experiment.log_every)
    evaluate_every = self._timeline.steps(experiment.evaluate_every)
    if not self._ended():  # One that is to be longer now had ended.
      (self._directory / run_directory.RESULT).unlink(missing_ok=True)
    train_steps = self._learner.training_step(experiment).loop()
    evaluate = evaluation.Evaluation(
      experiment, self._learner.model, validation_split
    )
    iterator = self._training_batches(training_split)
    self._progress.resume(time.monotonic())
    with (
      contextlib.closing(self._progress),
      contextlib.closing(self._profile) as profile,
      signals.collected(signal.SIGINT, signal.SIGTERM) as received,
    ):
      while not self._ended():
        profile.start(state.step)
        count = min(
          *profile.distances(state.step),
          experiment.steps_per_loop,
          log_every - state.step % log_every,
          evaluate_every - state.step % evaluate_every,
          self._timeline.total_steps - state.step,
        )
        marked = profile.marked(state.step)
        memory = steps.memory_for(_batch(experiment))
        with memory, records.reading(), marked:
          outcome = train_steps(iterator, tf.constant(count))
        self._count(count, *(each.numpy() for each in outcome))
        profile.stop(state.step)
        self._show(passing=True)
        last = state.step == self._timeline.total_steps
        if last or state.step % log_every == 0:
          self._log()
        if last or state.step % evaluate_every == 0:
          self._evaluate(evaluate)
          self._save()
        # They stop together, for none can go on without the others.
        if number := self._workers.greatest(received[0] if received else 0):
          self._save()  # Nothing, where the evaluation just did.
          self._workers.leave_together()
          raise self._stopped(number)
        self._progress.resume(time.monotonic())
      if state.interval != metrics.no_sums():
        self._log()  # Early stopping ends a run between two lines.

  def finish(self) -> dict[str, Any]:
    """Writes `result.json` and returns what it holds."""
    self._logs.write_end()
    state = self._state
    result = {
      'status': 'completed',
      'step': state.step,
      'epochs': self._timeline.epoch(state.step),
      'validation': state.validation,
      'best': state.best,
      'images_per_second': self._progress.images_per_second,
      'seconds': self._progress.seconds,
    }
    run_directory.write_json(self._directory / run_directory.RESULT, result)
    return result

  def _training_batches(self, split: source.Split) -> Iterator:
    experiment = self._experiment
    return iter(
      batches.training(
        split,
        experiment.strategy,
        batch_size=experiment.batch_size,
        first_step=self._state.step,
        seed=experiment.seed,
        augmentation=experiment.augmentation,
        preprocessing=experiment.preprocessing,
      )
    )

  def _ended(self) -> bool:
    stopping = self._experiment.early_stopping
    return self._state.step >= self._timeline.total_steps or (
      stopping is not None and stopping.ends(self._state.stopping)
    )

  def _count(
    self,
    count: int,
    sums: np.ndarray,
    finite_steps: int,
    loss: float,
    norm: float,
  ) -> None:
    """Takes in what a loop returned."""
    state = self._state
    if finite_steps:
      state.loss = float(sums[0] / sums[-1])
    if finite_steps < count:
      raise self._diverged('loss', loss, state.step + finite_steps + 1)
    state.step += count
    state.gradient_norm = float(norm)
    state.interval = (np.array(state.interval) + sums).tolist()
    state.period = (np.array(state.period) + sums).tolist()
    self._progress.train(count, time.monotonic())

  def _stopped(self, number: int) -> errors.StoppedError:
    if self._workers.number:
      advice = 'Worker 0 says where.'
    else:
      advice = f'Go on with --resume={self._directory}.'
    return errors.StoppedError(number, f'the state is saved. {advice}')

  def _diverged(self, name: str, value: float, step: int) -> errors.RunError:
    saved = checkpoints.steps(self._directory / run_directory.CHECKPOINTS)
    last = f'that of step {saved[-1]}' if saved else 'there is none'
    loss = self._state.loss
    before = 'none' if loss is None else f'{loss:.4f}'
    optimizer = self._learner.optimizer
    optimizer.iterations.assign(step - 1)  # The loop has gone on since.
    rate = float(optimizer.learning_rate)
    return errors.RunError(
      f'The {name} must be finite. Received: {value} in step {step}, at a '
      f'learning rate of {rate:.6g}. The last finite loss: {before}. The '
      f'checkpoint to go back to: {last}. A lower learning rate or '
      'train.clip_norm may help.'
    )

  def _show(self, passing: bool = False) -> dict[str, float]:
    """Shows, and returns, the means over the steps since the last line."""
    state = self._state
    means = metrics.mean(state.interval)
    values = {'loss': means.loss, 'top1': means.top1, 'top5': means.top5}
    epoch = self._timeline.epoch(state.step)
    self._progress.show(state.step, epoch, values, passing)
    return values

  def _log(self) -> None:
    state = self._state
    values = self._show()
    state.interval = metrics.no_sums()
    self._logs.write(
      'train',
      state.step,
      {
        'epoch': self._timeline.epoch(state.step),
        **values,
        'learning_rate': float(self._learner.optimizer.learning_rate),
        'gradient_norm': state.gradient_norm,
        'weight_norm': self._learner.weight_norm(),
        'images_per_second': self._progress.images_per_second,
      },
    )

  def _evaluate(self, evaluate: evaluation.Evaluation) -> None:
    state = self._state
    outcome = evaluate()
    means = outcome.metrics()
    if not np.isfinite(means.loss):
      raise self._diverged('validation loss', means.loss, state.step)
    values = means.as_dict()
    if self._learner.weight_average:
      with self._learner.weight_average.applied():
        averaged = evaluate().metrics().as_dict()
      averaged.pop('count')
      values |= {f'average_{name}': each for name, each in averaged.items()}
    epoch = self._timeline.epoch(state.step)
    shown = {name: each for name, each in values.items() if name != 'count'}
    self._progress.evaluation(state.step, epoch, shown)
    self._logs.write('validation', state.step, {'epoch': epoch, **values})
    weights = self._learner.model.trainable_variables
    self._logs.write_histograms(
      state.step, {weight.path: weight.numpy() for weight in weights}
    )
    state.validation = values
    if state.best is None or values['top1'] > state.best['top1']:
      state.best = {'step': state.step, **values}
    self._watch(means)
    if self._ended():
      overview.write_end(self._logs, state.step, outcome, evaluate.split)

  def _watch(self, validation: metrics.Metrics) -> None:
    """Shows the outcome of an evaluation to what waits for a plateau."""
    state, experiment = self._state, self._experiment
    training = metrics.mean(state.period)
    state.period = metrics.no_sums()
    monitored = {
      'train_loss': training.loss,
      'train_top1': training.top1,
      'validation_loss': validation.loss,
      'validation_top1': validation.top1,
    }
    if plateau := experiment.reduce_on_plateau:
      state.plateau = plateau.after_evaluation(
        state.plateau,
        monitored[plateau.monitor],
        float(self._learner.optimizer.learning_rate),
      )
      self._learner.rate_scale.assign(state.plateau.scale)
    if stopping := experiment.early_stopping:
      state.stopping = stopping.after_evaluation(
        state.stopping, monitored[stopping.monitor]
      )

  def _save(self) -> None:
    state = self._state
    state.images = self._progress.images
    state.seconds = self._progress.seconds
    state.log_lengths = self._logs.flush()
    self._checkpoints.save(
      state.step,
      dataclasses.asdict(state),
      keep=self._experiment.keep_checkpoints,
      best_step=state.best_step,
    )


def _batch(experiment: experiments.Experiment) -> str:
  """Returns what a step takes memory for, and how it needs less."""
  replicas = experiment.strategy.num_replicas_in_sync
  parts = experiment.accumulation
  return (
    f'train.batch_size = {experiment.batch_size}, computed by {replicas} '
    f'{"replica" if replicas == 1 else "replicas"} in {parts} '
    f'{"part" if parts == 1 else "parts"} of '
    f'{experiment.batch_size // replicas // parts} each. A smaller '
    'train.batch_size needs less, and so does a higher train.accumulation.'
  )


def _check_replicas(experiment: experiments.Experiment) -> None:
  replicas = experiment.strategy.num_replicas_in_sync
  if experiment.jit_compile and replicas > 1:
    raise errors.InputError(
      f'train.jit_compile works on one replica only. Received: {replicas} '
      'replicas. Set train.jit_compile = False.'
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
      f'train.epochs must reach step {step:,}, up to which this run has come '
      f'already ({timeline.epoch(step):.4g} epochs). Received: '
      f'{timeline.length!r}, which ends at step {timeline.total_steps:,}.'
    )
