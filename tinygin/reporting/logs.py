"""What a run writes as it goes: `metrics.jsonl` and TensorBoard's files.

Both are appended to, never rewritten. A checkpoint notes how long they were,
so that a resumed run cuts off what was written after it and then continues:
no step is missing and none stands there twice.
"""

import json
import os
import pathlib
from collections.abc import Mapping

import tensorflow as tf

from tinygin.config import errors
from tinygin.reporting import history

SPLITS = ('train', 'validation')


class Logs:
  """Writes the metrics of a run."""

  def __init__(self, directory: str | os.PathLike, lengths: Mapping[str, int]):
    """Opens the files at the lengths that the last checkpoint noted.

    Args:
      directory: the run's directory.
      lengths: bytes of each file to keep, by path within the directory; what
        is not named is removed. Empty for a new run.

    Raises:
      InputError: a file is shorter than noted.
    """
    self._directory = pathlib.Path(directory)
    for path in self._files():
      length = lengths.get(str(path.relative_to(self._directory)))
      if length is None:
        path.unlink()
      elif path.stat().st_size < length:
        raise errors.InputError(
          f'{path} must have the {length} bytes that the checkpoint noted. '
          f'Received: {path.stat().st_size}. Put back what was there, or start '
          'another run.'
        )
      else:
        os.truncate(path, length)
    self._metrics = open(self._directory / history.METRICS, 'a')  # noqa: SIM115
    self._writers = {
      split: tf.summary.create_file_writer(str(self._directory / split))
      for split in SPLITS
    }

  def write(self, split: str, step: int, values: Mapping[str, float]) -> None:
    """Adds a line of metrics, and the same values as scalars.

    Args:
      split: `train` or `validation`.
      step: number of training steps done.
      values: the metrics by name.
    """
    line = {'step': step, 'split': split, **values}
    self._metrics.write(json.dumps(line) + '\n')
    with self._writers[split].as_default(step):
      for name, value in values.items():
        tf.summary.scalar(name, value)

  def flush(self) -> dict[str, int]:
    """Writes out all that is buffered; returns the lengths of the files.

    Raises:
      RunError: there is no room.
    """
    try:
      self._metrics.flush()
      for writer in self._writers.values():
        writer.flush()
    except (OSError, tf.errors.OpError) as error:
      raise errors.RunError(
        f'The logs in {self._directory} could not be written: {error}. The '
        'checkpoints are whole; start the run again once there is room.'
      ) from error
    return {
      str(path.relative_to(self._directory)): path.stat().st_size
      for path in self._files()
    }

  def close(self) -> None:
    """Writes out all that is buffered and closes the files."""
    self._metrics.close()
    for writer in self._writers.values():
      writer.close()

  def _files(self) -> list[pathlib.Path]:
    events = [
      path
      for split in SPLITS
      for path in sorted((self._directory / split).glob('events.out.*'))
    ]
    metrics = self._directory / history.METRICS
    return events + ([metrics] if metrics.exists() else [])
