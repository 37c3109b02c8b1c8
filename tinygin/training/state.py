"""The counters of a run and its other state besides the variables."""

import dataclasses
from typing import Any

import numpy as np

from tinygin.training import experiment as experiments
from tinygin.training import learner as learners
from tinygin.training import metrics
from tinygin.training import plateaus


@dataclasses.dataclass
class State:
  """The counters of a run; saved in every checkpoint.

  Attributes:
    step: training steps done.
    seconds: seconds spent in training steps, over all starts.
    loss: mean loss of the last steps.
    learning_rate: learning rate of the last step.
    gradient_norm: global norm of the last step's gradients before clipping.
    interval: sums of metrics since the last line of training metrics.
    interval_seconds: seconds spent in training steps since that line.
    interval_waited: seconds of this time spent waiting for data.
    period: sums of metrics since the last evaluation.
    evaluated_step: step of the last evaluation.
    validation: metrics of the last evaluation.
    best: step and metrics of the evaluation with the highest top-1.
    plateau: state of the learning rate reduction.
    stopping: state of early stopping.
    log_lengths: size of each log file in bytes.
  """

  step: int = 0
  seconds: float = 0.0
  loss: float | None = None
  learning_rate: float | None = None
  gradient_norm: float | None = None
  interval: list[float] = dataclasses.field(default_factory=metrics.no_sums)
  interval_seconds: float = 0.0
  interval_waited: float = 0.0
  period: list[float] = dataclasses.field(default_factory=metrics.no_sums)
  evaluated_step: int = 0
  validation: dict[str, Any] | None = None
  best: dict[str, Any] | None = None
  plateau: plateaus.State = dataclasses.field(default_factory=plateaus.State)
  stopping: plateaus.State = dataclasses.field(default_factory=plateaus.State)
  log_lengths: dict[str, int] = dataclasses.field(default_factory=dict)

  @classmethod
  def restored(cls, saved: dict[str, Any] | None) -> 'State':
    """Returns the state of a checkpoint, or of a new run."""
    state = cls(**(saved or {}))
    if saved:
      state.plateau = plateaus.State(**saved['plateau'])
      state.stopping = plateaus.State(**saved['stopping'])
    return state

  @property
  def best_step(self) -> int:
    """Step of the best evaluation; before the first one, the current step."""
    return self.best['step'] if self.best else self.step

  @property
  def is_evaluated(self) -> bool:
    """Whether the current step was evaluated. Step 0 counts as evaluated."""
    return self.evaluated_step == self.step

  def add(self, trained: learners.Trained, seconds: float) -> None:
    """Adds finished training steps and the time that they took."""
    self.step += trained.steps
    self.seconds += seconds
    self.interval_seconds += seconds
    self.interval_waited += trained.waited
    if trained.steps:
      self.loss = float(trained.sums[0] / trained.sums[-1])
    self.learning_rate = trained.learning_rate
    self.gradient_norm = trained.gradient_norm
    self.interval = (np.array(self.interval) + trained.sums).tolist()
    self.period = (np.array(self.period) + trained.sums).tolist()

  def interval_values(self) -> dict[str, float]:
    """Returns metrics and speed of the steps since the last line."""
    means = metrics.mean(self.interval)
    return {
      'loss': means.loss,
      'top1': means.top1,
      'top5': means.top5,
      'images_per_second': means.count / self.interval_seconds,
      'waiting_for_data': self.interval_waited / self.interval_seconds,
    }

  def start_interval(self) -> None:
    """Starts the next interval between lines of training metrics."""
    self.interval = metrics.no_sums()
    self.interval_seconds = self.interval_waited = 0.0

  def judge(
    self, validation: metrics.Metrics, experiment: experiments.Experiment
  ) -> None:
    """Updates best, plateau and early stopping after an evaluation."""
    self.evaluated_step = self.step
    self.validation = validation.as_dict()
    if self.best is None or validation.top1 > self.best['top1']:
      self.best = {'step': self.step, **self.validation}
    training = metrics.mean(self.period)
    self.period = metrics.no_sums()
    monitored = {
      'train_loss': training.loss,
      'train_top1': training.top1,
      'validation_loss': validation.loss,
      'validation_top1': validation.top1,
    }
    if plateau := experiment.reduce_on_plateau:
      self.plateau = plateau.after_evaluation(
        self.plateau, monitored[plateau.monitor], self.learning_rate
      )
    if stopping := experiment.early_stopping:
      self.stopping = stopping.after_evaluation(
        self.stopping, monitored[stopping.monitor]
      )
