"""Runs tasks on Beam and proves that every one of them was done.

A task is a file in the working folder, and so is its report, which appears at
the end, whole. What passes through Beam are the tasks' paths alone: no image,
and nothing that a runner could lose unnoticed. Tasks with a report are done,
in whatever run.
"""

import contextlib
import json
import pickle
import threading
import uuid
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Protocol

import apache_beam as beam
import tqdm
from apache_beam.options import pipeline_options
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from etils import epath

_POLL_SECONDS = 0.3


class Task(Protocol):
  """A piece of work on some images, pickled for the workers.

  Attributes:
    path: unique; the task's file is `path.task`, its report `path.json`.
    size: how many images it is about.
  """

  path: str
  size: int

  def run(self) -> object:
    """Does the work; returns a report that JSON can express."""


def run(
  tasks: Sequence[Task],
  options: pipeline_options.PipelineOptions | None,
  title: str,
) -> list[object]:
  """Runs all tasks that have no report yet.

  Args:
    tasks: what is to be done.
    options: of the Beam pipeline; without a runner in them, it runs in this
      process.
    title: of the progress bar.

  Returns:
    The tasks' reports.

  Raises:
    RuntimeError: the runner reported success, but a report is missing.
  """
  for task in tasks:
    _write(f'{task.path}.task', pickle.dumps(task))
  standard = pipeline_options.StandardOptions
  runner = None
  if options is None or options.view_as(standard).runner is None:
    runner = FnApiRunner()
  with _progress(tasks, title), beam.Pipeline(runner, options) as pipeline:
    apply(pipeline, [task.path for task in tasks])
  return [_read_report(task) for task in tasks]


def apply(pipeline: beam.Pipeline, paths: list[str]) -> None:
  """Adds to a pipeline the transforms that do the tasks at the paths."""
  _ = (
    pipeline
    | 'Tasks' >> beam.Create(paths)
    | 'Reshuffle' >> beam.Reshuffle()
    | 'Execute' >> beam.Map(execute)
  )


def execute(path: str) -> None:
  """Does the task at a path unless its report is there; runs on a worker."""
  report = epath.Path(f'{path}.json')
  if not report.exists():
    task = pickle.loads(epath.Path(f'{path}.task').read_bytes())
    _write(f'{path}.json', json.dumps(task.run()).encode())


def _write(path: str, content: bytes) -> None:
  """Writes a file that is there as a whole or not at all."""
  temporary = epath.Path(f'{path}.{uuid.uuid4().hex}')
  try:
    temporary.write_bytes(content)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def _read_report(task: Task) -> object:
  try:
    return json.loads(epath.Path(f'{task.path}.json').read_text())
  except FileNotFoundError as error:
    raise RuntimeError(
      f'The Beam runner reported success, but {task.path} with {task.size:,} '
      f'images was not done.'
    ) from error


@contextlib.contextmanager
def _progress(tasks: Sequence[Task], title: str) -> Iterator[None]:
  """Shows on a terminal how many images are done, and the time to the end."""
  pending = {f'{task.path}.json': task.size for task in tasks}
  total = sum(pending.values())
  with tqdm.tqdm(
    total=total, desc=title, unit=' images', disable=None
  ) as progress:

    def update() -> None:
      for path in [path for path in pending if epath.Path(path).exists()]:
        progress.update(pending.pop(path))

    def watch() -> None:
      while not stop.wait(_POLL_SECONDS):
        update()

    stop = threading.Event()
    watcher = threading.Thread(target=watch, daemon=True)
    if not progress.disable:
      watcher.start()
    try:
      yield
    finally:
      stop.set()
      if not progress.disable:
        watcher.join()
        update()
