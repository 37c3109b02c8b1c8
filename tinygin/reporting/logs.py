"""Writes the logs of a run: `metrics.jsonl` and TensorBoard files.

Both are only appended to. A checkpoint records their lengths. A resumed run
truncates them to these lengths, so that no step is missing or repeated.
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

SPLITS = ('train', 'validation')
# Metrics that vary between identical runs.
TIMES = ('images_per_second', 'waiting_for_data')
# In every line, but not worth a chart.
_NO_SCALARS = ('epoch', 'count')
# Metrics with charts in their own section. TensorBoard's hyperparameter table
# shows the alphabetically first metrics, which are then losses and accuracies.
_TRAINING = (*TIMES, 'gradient_norm', 'learning_rate', 'weight_norm')
# The run's own folder, for data of neither split. TensorBoard's hyperparameter
# table looks below this folder for the metrics of the splits.
_RUN = ''


class Logs:
  """Writes the metrics of a run."""

  def __init__(
    self, directory: pathlib.Path | None, lengths: Mapping[str, int]
  ):
    """Opens the files and cuts them to the lengths of the last checkpoint.

    Args:
      directory: the run's directory; None: nothing is written.
      lengths: bytes of each file to keep, by path within the directory; files
        not named are removed. Empty for a new run.

    Raises:
      InputError: a file is missing or shorter than that.
      RunError: the files cannot be written.
    """
    self._directory = directory
    if directory is None:
      self._metrics = open(os.devnull, 'a')  # noqa: SIM115
      noop = tf.summary.create_noop_writer()
      self._writers = dict.fromkeys((_RUN, *SPLITS), noop)
      return
    found = self._lengths()
    for name, length in lengths.items():
      received = found.get(name, 0)
      if received < length:
        raise errors.InputError(
          f'{directory / name} must have at least the {length} bytes of the '
          f'last checkpoint. Received: {received}. Restore the file, or start '
          'a new run.'
        )
    with self._writing():
      for name in found:
        if name in lengths:
          os.truncate(directory / name, lengths[name])
        else:
          (directory / name).unlink()
      self._metrics = open(  # noqa: SIM115
        directory / history.METRICS, 'a', encoding='utf-8'
      )
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
      RunError: `metrics.jsonl` cannot be written.
    """
    with self._writing():
      line = {'step': step, 'split': split, **values}
      self._metrics.write(json.dumps(line) + '\n')
    with self._charting(split, step):
      for name, value in values.items():
        if name not in _NO_SCALARS:
          section = 'training/' if name in _TRAINING else ''
          tf.summary.scalar(f'{section}{name}', value)

  def write_texts(self, texts: Mapping[str, str]) -> None:
    """Adds texts by name to the description of the run."""
    with self._charting(_RUN, 0):
      for name, text in texts.items():
        indented = ''.join(f'    {line}\n' for line in text.splitlines())
        tf.summary.text(name, indented)

  def write_graph(self, graph: tf.Graph) -> None:
    """Adds the network's graph."""
    with self._charting(_RUN, 0):
      tf.summary.graph(graph)

  def write_hyperparameters(
    self, values: Mapping[str, bool | int | float | str]
  ) -> None:
    """Adds the run, named after its folder, to the table of all runs."""
    with self._charting(_RUN, 0):
      hparams.hparams(dict(values), trial_id=self._directory.name)

  def write_end(self) -> None:
    """Marks the run as completed in that table."""
    end = hparams_summary.session_end_pb(api_pb2.STATUS_SUCCESS)
    with self._charting(_RUN, 0):
      tf.summary.experimental.write_raw_pb(end.SerializeToString())

  def write_picture(self, name: str, step: int, picture: np.ndarray) -> None:
    """Adds a picture, uint8 (height, width, 3)."""
    with self._charting(_RUN, step):
      tf.summary.image(name, picture[None])

  def write_histograms(
    self, step: int, values: Mapping[str, np.ndarray]
  ) -> None:
    """Adds a histogram of each array, by name."""
    with self._charting(_RUN, step):
      summary = summary_pb2.Summary()
      for name, array in values.items():
        # NumPy takes a tenth of the time of `tf.summary.histogram`.
        summary.MergeFrom(histogram_summary.histogram_pb(name, array))
      tf.summary.experimental.write_raw_pb(summary.SerializeToString())

  def flush(self) -> dict[str, int]:
    """Flushes all buffers; returns the lengths of the files.

    Raises:
      RunError: `metrics.jsonl` cannot be written.
    """
    with self._writing():
      self._metrics.flush()
    for writer in self._writers.values():
      with errors.optional('TensorBoard files'):
        writer.flush()
    return self._lengths()

  def close(self) -> None:
    """Flushes all buffers and closes the files.

    Raises:
      RunError: `metrics.jsonl` cannot be written.
    """
    with self._writing():
      self._metrics.close()
    for writer in self._writers.values():
      with errors.optional('TensorBoard files'):
        writer.close()

  @contextlib.contextmanager
  def _charting(self, name: str, step: int) -> Iterator[None]:
    """Writes TensorBoard summaries at a step; warns if that fails."""
    with (
      errors.optional('TensorBoard files'),
      self._writers[name].as_default(step),
    ):
      yield

  @contextlib.contextmanager
  def _writing(self) -> Iterator[None]:
    """Turns errors of writing into one message."""
    try:
      yield
    except (OSError, tf.errors.OpError) as error:
      raise errors.RunError(
        f'Cannot write the logs in {self._directory}: {error}. Checkpoints are '
        'intact; fix that, then start the run again.'
      ) from error

  def _lengths(self) -> dict[str, int]:
    """Returns the bytes of each file, by path within the directory."""
    if self._directory is None:
      return {}
    folders = [self._directory / name for name in (_RUN, *SPLITS)]
    events = [sorted(each.glob('events.out.*')) for each in folders]
    paths = [*itertools.chain(*events), *self._directory.glob(history.METRICS)]
    return {
      str(path.relative_to(self._directory)): path.stat().st_size
      for path in paths
    }
