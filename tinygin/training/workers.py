"""The processes that a run may be spread over: what they tell each other."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tinygin.config import errors


@dataclasses.dataclass(frozen=True)
class Workers:
  """The workers of a strategy: one process, or those that `TF_CONFIG` names.

  All of them call the same methods in the same order. The first worker is the
  chief: it alone writes to the run's directory.

  Attributes:
    strategy: the run's strategy.
  """

  strategy: tf.distribute.Strategy

  @property
  def count(self) -> int:
    """The number of workers."""
    if not isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
      return 1
    cluster = self.strategy.cluster_resolver.cluster_spec().as_dict()
    return len(cluster.get('worker', ())) or 1

  @property
  def number(self) -> int:
    """The number of this worker; 0 is the chief."""
    return self.strategy.cluster_resolver.task_id if self.count > 1 else 0

  def share_state(
    self,
    state: dict[str, Any] | None,
    groups: Mapping[str, Mapping[str, tf.Variable]],
  ) -> dict[str, Any] | None:
    """Gives every worker the variables of the chief; returns its state.

    Args:
      state: JSON-serialisable.
      groups: variables by group and path.
    """
    if self.count == 1:
      return state
    for members in groups.values():
      for variable in members.values():
        content = self._from_chief(variable.numpy().tobytes())
        value = np.frombuffer(content, variable.dtype.as_numpy_dtype)
        variable.assign(value.reshape(variable.shape))
    return json.loads(self.share_text(json.dumps(state)))

  def share_text(self, text: str) -> str:
    """Returns the text that the chief gives."""
    if self.count == 1:
      return text
    content = text.encode()
    length = int.from_bytes(self._from_chief(len(content).to_bytes(8)))
    return self._from_chief(content[:length].ljust(length)).decode()

  def check_same(self, configuration: str, run_dir: str) -> None:
    """Refuses workers that would train different things.

    Args:
      configuration: all that is bound.
      run_dir: the directory that the chief writes to.

    Raises:
      InputError: they would.
    """
    if self.count > 1 and '{time}' in run_dir:
      raise errors.InputError(
        'train.run_dir must be the same for all workers, with no {time} in it. '
        f'Received: {run_dir}. Set RUN_DIR.'
      )
    differs = self.share_text(configuration) != configuration
    if self.greatest(int(differs)):
      self.leave_together()
      raise errors.InputError(
        'All workers must be started with the same gin files and bindings. '
        'Received: others by some of them than by worker 0.'
      )

  def greatest(self, number: int) -> int:
    """Returns the greatest of the numbers that the workers give."""
    if self.count == 1:
      return number
    values = self.strategy.experimental_distribute_values_from_function(
      lambda _: tf.constant([number])
    )
    return int(tf.reduce_max(self.strategy.gather(values, axis=0)))

  def leave_together(self) -> None:
    """Waits until all workers are here: one that ends cuts the others off."""
    # One that has left already has heard from this one that it is here.
    with contextlib.suppress(*_LOST):
      self.greatest(0)

  @contextlib.contextmanager
  def loss_noticed(self) -> Iterator[None]:
    """Says in one message that another worker is lost.

    TensorFlow's workers tell each other every few seconds that they live; what
    waits for one that no longer does fails after about ten.

    Raises:
      RunError: another worker has ended, or cannot be reached.
    """
    try:
      yield
    except tf.errors.OpError as error:
      lost = isinstance(error, _LOST) and self.count > 1
      if not lost:
        raise
      raise errors.RunError(
        f'Worker {self.number} of {self.count} must reach all others. '
        f'Received: {type(error).__name__}; one of them has ended or cannot '
        'be reached. The checkpoints are whole; start all workers again to go '
        'on from the last.'
      ) from error

  def _from_chief(self, content: bytes) -> bytes:
    """Returns the chief's bytes, as many as are given here."""
    padding = -len(content) % np.dtype(np.int32).itemsize
    elements = np.frombuffer(content + bytes(padding), np.int32)

    def of_replica(
      context: tf.distribute.experimental.ValueContext,
    ) -> tf.Tensor:
      first = context.replica_id_in_sync_group == 0
      return tf.constant(elements if first else np.zeros_like(elements))

    values = self.strategy.experimental_distribute_values_from_function(
      of_replica
    )
    # To add zeros to integers leaves every bit.
    total = self.strategy.reduce('SUM', values, axis=None)
    return total.numpy().tobytes()[: len(content)]


_LOST = (
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
  tf.errors.InternalError,
  tf.errors.UnavailableError,
)
