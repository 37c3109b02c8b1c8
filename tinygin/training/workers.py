"""Communication between the worker processes of a run."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tinygin.config import errors


@dataclasses.dataclass(frozen=True)
class Workers:
  """The workers of a strategy: one process, or the processes in `TF_CONFIG`.

  All workers must call the same methods in the same order. Worker 0 is the
  chief. Only the chief writes to the run's directory.

  Attributes:
    strategy: the strategy of the run.
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
    """The index of this worker; 0 is the chief."""
    return self.strategy.cluster_resolver.task_id if self.count > 1 else 0

  def share_state(
    self,
    state: dict[str, Any] | None,
    groups: Mapping[str, Mapping[str, tf.Variable]],
  ) -> dict[str, Any] | None:
    """Copies the chief's variables to every worker and returns its state.

    Args:
      state: JSON-serializable; only the chief's is used.
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
    """Returns the text that the chief passes."""
    if self.count == 1:
      return text
    content = text.encode()
    length = int.from_bytes(self._from_chief(len(content).to_bytes(8)))
    return self._from_chief(content[:length].ljust(length)).decode()

  def check_same(self, configuration: str, run_dir: str) -> None:
    """Checks that all workers have the same configuration.

    Args:
      configuration: the text of the complete configuration.
      run_dir: the directory of the run.

    Raises:
      InputError: configurations differ, or the directory contains `{time}`.
    """
    if self.count > 1 and '{time}' in run_dir:
      raise errors.InputError(
        'With several workers, train.run_dir must not contain {time}, so that '
        f'they all use the same directory. Received: {run_dir}. Set RUN_DIR.'
      )
    differs = self.share_text(configuration) != configuration
    if self.greatest(int(differs)):
      self.leave_together()
      raise errors.InputError(
        'Some workers have a different configuration from worker 0. Start all '
        'workers with the same gin files and bindings.'
      )

  def greatest(self, number: int) -> int:
    """Returns the maximum of the numbers that the workers pass."""
    if self.count == 1:
      return number
    values = self.strategy.experimental_distribute_values_from_function(
      lambda _: tf.constant([number])
    )
    return int(tf.reduce_max(self.strategy.gather(values, axis=0)))

  def leave_together(self) -> None:
    """Waits for all workers, because one that ends disconnects the others."""
    # A lost worker has left after it saw this one arrive.
    with contextlib.suppress(*_LOST):
      self.greatest(0)

  @contextlib.contextmanager
  def reporting_lost_workers(self) -> Iterator[None]:
    """Replaces TensorFlow's errors about a lost worker by one message.

    TensorFlow's workers exchange heartbeats. Operations that wait for a lost
    worker fail after about ten seconds.

    Raises:
      RunError: another worker has ended, or cannot be reached.
    """
    try:
      yield
    except tf.errors.OpError as error:
      reason = _reason(error)
      if self.count == 1 or not _DISCONNECTED.search(reason):
        raise
      raise errors.RunError(
        f'Worker {self.number} of {self.count} lost contact: another worker '
        'has ended or cannot be reached. Its output has the reason. '
        'Checkpoints are intact; start all workers again to continue from the '
        f'last one. TensorFlow says: {reason}'
      ) from error

  def _from_chief(self, content: bytes) -> bytes:
    """Returns the chief's bytes; all workers must pass the same number."""
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
    # Adding zeros to integers changes no bit.
    total = self.strategy.reduce('SUM', values, axis=None)
    return total.numpy().tobytes()[: len(content)]


def _reason(error: tf.errors.OpError) -> str:
  """Returns what TensorFlow says, without where the graph was defined."""
  left_out = ('Graph execution error', 'Detected at node', '  File ', '\t')
  return ' '.join(
    line.strip()
    for line in error.message.splitlines()
    if line.strip() and not line.startswith(left_out)
  )


# What TensorFlow says of another worker. It reports a failure of a kernel, such
# as one of cuDNN or NCCL, with the same types of errors.
_DISCONNECTED = re.compile(
  r'(?i)heartbeat|unhealthy|socket closed|connect|incarnation|'
  r'coordination service'
)
_LOST = (
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
  tf.errors.InternalError,
  tf.errors.UnavailableError,
)
