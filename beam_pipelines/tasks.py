"""Runs work on images with Beam and checks that all of it was done.

A task is a JSON file in the working folder that lists some images. Its report
is another JSON file, written when the work is done. Only the paths of tasks
pass through Beam, so no runner can lose an image unnoticed. A later run skips
the tasks that have a report, unless the task or the versions have changed.
"""

import contextlib
import functools
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
from typing import Any
from typing import NamedTuple

import apache_beam as beam
import tqdm
from apache_beam.options import pipeline_options
from apache_beam.runners import runner as beam_runner
from apache_beam.runners.portability import flink_runner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_pipelines import fingerprint
from beam_pipelines import versions
from tinygin.config import errors
from tinygin.config import files

_POLL_SECONDS = 0.3
_FILES_AT_ONCE = 32
# Flink's states of jobs that can be cancelled.
_FLINK_RUNNING = (
  'INITIALIZING',
  'CREATED',
  'RUNNING',
  'FAILING',
  'RESTARTING',
  'RECONCILING',
)

# Takes a task's path and its images as JSON returns them; returns a report that
# JSON can express. Beam pickles it for the workers.
Work = Callable[[str, list[Any]], object]


class Task(NamedTuple):
  """Some images to work on.

  Attributes:
    path: unique; the task's file is `path.task`, its report `path.json`.
    images: one value for each image, which JSON can express.
  """

  path: str
  images: Sequence[object]


def run(
  work: Work,
  tasks: Sequence[Task],
  options: pipeline_options.PipelineOptions | None,
  title: str,
) -> list[Any]:
  """Does the work of all tasks that have no report yet.

  Args:
    work: what to do with each task.
    tasks: the tasks.
    options: Beam's options. Without a runner in them, the work is done in this
      process.
    title: title of the progress bar.

  Returns:
    The tasks' reports.

  Raises:
    RuntimeError: the runner reported success, but a report is missing.
  """
  current = versions.current()

  def write(task: Task) -> str:
    text = json.dumps({'versions': current, 'images': list(task.images)})
    files.write_bytes(f'{task.path}.task', text.encode())
    return fingerprint.digest(text)

  paths = [task.path for task in tasks]
  digests = _at_once(write, tasks)
  runner = None
  standard = pipeline_options.StandardOptions
  if options is None or options.view_as(standard).runner is None:
    runner = FnApiRunner()
  with _progress(tasks, title):
    pipeline = beam.Pipeline(runner, options)
    apply(pipeline, work, paths)
    stop = signal.getsignal(signal.SIGINT)
    started = time.monotonic()
    result = pipeline.run()
    # At SIGINT, Beam would stop the job server that it has started. It could
    # then not cancel the job. Only the main thread can set this.
    if threading.current_thread() is threading.main_thread():
      signal.signal(signal.SIGINT, stop)
    _wait(result, options, started)
  reports = _at_once(_read_report, paths, digests)
  for task, report in zip(tasks, reports, strict=True):
    if report is None:
      raise RuntimeError(
        f'The Beam runner reported success, but did not process {task.path} '
        f'with {len(task.images):,} images.'
      )
  return [report['report'] for report in reports]


def apply(pipeline: beam.Pipeline, work: Work, paths: list[str]) -> None:
  """Adds the transforms that do the tasks at the paths to a pipeline."""
  _ = (
    pipeline
    | 'Tasks' >> beam.Create(paths)
    | 'Reshuffle' >> beam.Reshuffle()
    | 'Execute' >> beam.Map(functools.partial(execute, work))
  )


def execute(work: Work, path: str) -> None:
  """Does the task at a path unless it has a report; runs on a worker.

  Raises:
    errors.RunError: this worker has other versions than the driver.
  """
  text = files.read(f'{path}.task').decode()
  digest = fingerprint.digest(text)
  if _read_report(path, digest) is not None:
    return
  task = json.loads(text)
  if different := fingerprint.differences(
    task['versions'], versions.current(), ('on the driver', 'on this worker')
  ):
    raise errors.RunError(
      'Workers must have the same versions as the process that started the '
      'build. Received:\n  ' + '\n  '.join(different)
    )
  report = work(path, task['images'])
  text = json.dumps({'task': digest, 'report': report})
  files.write_bytes(f'{path}.json', text.encode())


def _at_once(function: Callable[..., Any], *values: Sequence[Any]) -> list[Any]:
  """Returns `list(map(…))`; a bucket answers many requests at a time."""
  with futures.ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
    return list(pool.map(function, *values))


def _read_report(path: str, digest: str) -> dict[str, Any] | None:
  """Returns the report of exactly this task; None if there is none."""
  try:
    found = json.loads(files.read(f'{path}.json'))
  except (FileNotFoundError, ValueError):
    return None
  return found if found.get('task') == digest else None


def _wait(
  result: beam_runner.PipelineResult,
  options: pipeline_options.PipelineOptions | None,
  started: float,
) -> None:
  """Waits for a job; cancels it when the wait is interrupted.

  Args:
    result: result of the job, from Beam.
    options: Beam's options.
    started: `time.monotonic()` before the job was submitted.
  """
  try:
    result.wait_until_finish()
  except KeyboardInterrupt:
    job = getattr(result, 'job_id', lambda: getattr(result, '_job_id', ''))()
    name = f'the Beam job {job}'.rstrip()
    print(f'Cancelling {name}.', file=sys.stderr)
    try:
      result.cancel()
      _cancel_on_flink(options, job.rpartition('_')[0], started)
    except BaseException as error:  # A second Ctrl-C ends the wait for it.
      print(
        f'Could not cancel {name}: {error!r}. It may still be running. Cancel '
        f"it with its runner's own tools, such as `gcloud dataflow jobs "
        f'cancel {job or "JOB"} --region=REGION`.',
        file=sys.stderr,
      )
    raise


def _cancel_on_flink(
  options: pipeline_options.PipelineOptions | None, name: str, started: float
) -> None:
  """Cancels a job by Flink's REST API; Beam's job server leaves it running.

  Flink's id of the job is unknown, and other builds may use the same name. So
  jobs that are older than this one are left alone.
  """
  if options is None:
    return
  master = options.view_as(pipeline_options.FlinkRunnerOptions).flink_master
  if master in flink_runner.MAGIC_HOST_NAMES:
    return
  jobs = f'{flink_runner.FlinkRunner.add_http_scheme(master)}/jobs'
  with urllib.request.urlopen(f'{jobs}/overview') as response:
    found = json.load(response)['jobs']
  oldest = 1000 * (time.monotonic() - started)
  for each in found:
    if (
      each['name'] == name
      and each['state'] in _FLINK_RUNNING
      and each['duration'] <= oldest  # In milliseconds, by Flink's clock.
    ):
      request = urllib.request.Request(f'{jobs}/{each["jid"]}', method='PATCH')
      urllib.request.urlopen(request).close()


@contextlib.contextmanager
def _progress(tasks: Sequence[Task], title: str) -> Iterator[None]:
  """Shows on a terminal how many images are done and the time left."""
  pending = {
    f'{os.path.basename(task.path)}.json': len(task.images) for task in tasks
  }
  with tqdm.tqdm(
    total=sum(pending.values()), desc=title, unit=' images', disable=None
  ) as progress:

    def update() -> None:
      for path in files.names(os.path.dirname(tasks[0].path)) & pending.keys():
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
