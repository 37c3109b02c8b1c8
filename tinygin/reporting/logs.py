"""What a run writes as it goes: `metrics.jsonl` and TensorBoard's files.

Both are appended to, never rewritten. A checkpoint notes how long they were,
so that a resumed run cuts off what was written after it and then continues:
no step is missing and none stands there twice.
"""

import contextlib
import itertools
import json
import os
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.histogram import summary_v2 as histogram_summary
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary as hparams_summary

from tinygin.config import errors
from tinygin.reporting import history

# What every line holds, and no chart needs.
_NO_SCALARS = ('epoch', 'count')
SPLITS = ('train', 'validation')
# Charts of a section of their own. TensorBoard's table of hyperparameters shows
# the first metrics in order of the alphabet: losses and accuracies, thus.
_TRAINING = (
  'gradient_norm',
  'images_per_second',
  'learning_rate',
  'weight_norm',
)
# The run itself: what belongs to neither split. TensorBoard finds the splits'
# metrics for its table of hyperparameters below it.
_RUN = ''


class Logs:
  """Writes the metrics of a run."""

  def __init__(self, directory: pathlib.Path, lengths: Mapping[str, int]):
    """Opens the files at the lengths that the last checkpoint noted.

    Args:
      directory: the run's directory.
      lengths: bytes of each file to keep, by path within the directory; what
        is not named is removed. Empty for a new run.

    Raises:
      InputError: a file is shorter than noted, or missing.
      RunError: the logs cannot be written.
    """
    self._directory = directory
    found = self._lengths()
    for name, length in lengths.items():
      received = found.get(name, 0)
      if received < length:
        raise errors.InputError(
          f'{directory / name} must have the {length} bytes that the '
          f'checkpoint noted. Received: {received}. Put back what was there, '
          'or start another run.'
        )
    with self._writing():
      for name in found:
        if name in lengths:
          os.truncate(directory / name, lengths[name])
        else:
          (directory / name).unlink()
      self._metrics = open(directory / history.METRICS, 'a')  # noqa: SIM115
      self._writers = {
        name: tf.summary.create_file_writer(str(directory / name))
        for name in (_RUN, *SPLITS)
      }

  def write(self, split: str, step: int, values: Mapping[str, float]) -> None:
    """Adds a line of metrics, and charts them by the step.

    Args:
      split: `train` or `validation`.
      step: number of training steps done.
      values: the metrics by name.

    Raises:
      RunError: the logs cannot be written.
    """
    line = {'step': step, 'split': split, **values}
    with self._writing(), self._writers[split].as_default(step):
      self._metrics.write(json.dumps(line) + '\n')
      for name, value in values.items():
        if name not in _NO_SCALARS:
          section = 'training/' if name in _TRAINING else ''
          tf.summary.scalar(f'{section}{name}', value)

  def write_texts(self, texts: Mapping[str, str]) -> None:
    """Adds files as texts, by name, to what describes the run."""
    with self._writing(), self._writers[_RUN].as_default(0):
      for name, text in texts.items():
        indented = ''.join(f'    {line}\n' for line in text.splitlines())
        tf.summary.text(name, indented)

  def write_graph(self, graph: tf.Graph) -> None:
    """Adds the network's graph."""
    with self._writing(), self._writers[_RUN].as_default(0):
      tf.summary.graph(graph)

  def write_hyperparameters(
    self, values: Mapping[str, bool | int | float | str]
  ) -> None:
    """Adds the run, under its folder's name, to the table of all runs."""
    with self._writing(), self._writers[_RUN].as_default(0):
      hparams.hparams(dict(values), trial_id=self._directory.name)

  def write_end(self) -> None:
    """Marks the run in that table as completed."""
    end = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
    with self._writing(), self._writers[_RUN].as_default(0):
      tf.summary.experimental.write_raw_pb(end.SerializeToString())

  def write_picture(self, name: str, step: int, picture: np.ndarray) -> None:
    """Adds a picture, uint8 (height, width, 3)."""
    with self._writing(), self._writers[_RUN].as_default(step):
      tf.summary.image(name, picture[None])

  def write_histograms(
    self, step: int, values: Mapping[str, np.ndarray]
  ) -> None:
    """Adds a histogram of each of the arrays, by name."""
    summary = summary_pb2.Summary()
    for name, array in values.items():
      # By NumPy, in a tenth of the time that `tf.summary.histogram` takes.
      summary.MergeFrom(histogram_summary.histogram_pb(name, array))
    with self._writing(), self._writers[_RUN].as_default(step):
      tf.summary.experimental.write_raw_pb(summary.SerializeToString())

  def flush(self) -> dict[str, int]:
    """Writes out all that is buffered; returns the lengths of the files.

    Raises:
      RunError: the logs cannot be written.
    """
    with self._writing():
      self._metrics.flush()
      for writer in self._writers.values():
        writer.flush()
    return self._lengths()

  def close(self) -> None:
    """Writes out all that is buffered and closes the files.

    Raises:
      RunError: the logs cannot be written.
    """
    with self._writing():
      self._metrics.close()
      for writer in self._writers.values():
        writer.close()

  @contextlib.contextmanager
  def _writing(self) -> Iterator[None]:
    """Says in one message what keeps logs from being written."""
    try:
      yield
    except (OSError, tf.errors.OpError) as error:
      raise errors.RunError(
        f'The logs in {self._directory} could not be written: {error}. The '
        'checkpoints are whole; start the run again once that is mended.'
      ) from error

  def _lengths(self) -> dict[str, int]:
    """Returns the bytes of each file, by path within the directory."""
    folders = [self._directory / name for name in (_RUN, *SPLITS)]
    events = [sorted(each.glob('events.out.*')) for each in folders]
    paths = [*itertools.chain(*events), *self._directory.glob(history.METRICS)]
    return {
      str(path.relative_to(self._directory)): path.stat().st_size
      for path in paths
    }
