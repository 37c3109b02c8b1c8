"""Builds the same bytes with every runner that works on one machine."""

import base64
import bz2
import contextlib
import http.server
import io
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from unittest import mock

import apache_beam as beam
from absl.testing import absltest
from absl.testing import parameterized
from apache_beam.options import pipeline_options
from apache_beam.portability.api import beam_runner_api_pb2

from beam_pipelines import lease
from beam_pipelines import runners
from beam_pipelines import shards
from beam_pipelines import tasks
from tests.beam_pipelines import sample_archives
from tests.beam_pipelines import sample_tasks
from tinygin.config import errors

JPEG = b'\xff\xd8\xff'
ENVIRONMENT = os.environ | {
  'PYTHONPATH': os.pathsep.join(map(os.path.abspath, sys.path)),
  # Beam starts the workers of a pool as `python`.
  'PATH': f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}',
}
# Builds a data set and gets a signal before it writes the third record file.
STOPS_AFTER_TWO_SHARDS = """
import os, runpy, signal
from tinygin.config import native_output
with native_output.hidden():
  from beam_pipelines import shards

call, calls = shards.Writer.__call__, []

def call_twice(*arguments):
  calls.append(arguments)
  if len(calls) > 2:
    os.kill(os.getpid(), signal.{signal})
  return call(*arguments)

shards.Writer.__call__ = call_twice
runpy.run_module('beam_pipelines.build_dataset', run_name='__main__')
"""


def _digests(data_dir):
  return {
    path.name: path.read_bytes()
    for path in pathlib.Path(data_dir).glob('*/small/*/*.tfrecord*')
  }


class RunnersTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = tempfile.mkdtemp(dir=absltest.TEST_TMPDIR.value)
    cls.archive = os.path.join(cls.folder, 'small.zip')
    sample_archives.SMALL.write(cls.archive)
    cls.local = os.path.join(cls.folder, 'local')
    result = cls._start(cls.local).communicate()
    assert 'Built' in result[0], result

  @classmethod
  def _command(cls, data_dir, *flags):
    bindings = (
      f"dataset.name = 'small'; dataset.data_dir = {str(data_dir)!r};"
      f'stanford.source = {cls.archive!r}; CLASSES = 12;'
      'dataset.examples_per_shard = 10'
    )
    return [
      sys.executable, '-m', 'beam_pipelines.build_dataset',
      '--gin_file=gin/data/stanford.gin', f'--gin_bindings={bindings}', *flags,
    ]  # fmt: skip

  @classmethod
  def _start(cls, *arguments):
    return subprocess.Popen(
      cls._command(*arguments),
      env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
    )  # fmt: skip

  def _assert_builds_the_same(self, *flags):
    data_dir = self.create_tempdir().full_path
    process = self._start(data_dir, *flags)
    output, error = process.communicate()
    self.assertEqual(process.returncode, 0, error)
    self.assertIn('36 train, 24 validation, 12 test examples', output)
    self.assertEqual(_digests(data_dir), _digests(self.local))
    return error

  @parameterized.parameters(
    (['--dask_worker=2'],),
    (['--dask_worker', '2', '--gin_search_path', 'a', '--parallelism', '3'],),
  )
  def test_misspelt_flag(self, flags):
    process = self._start('unused', *flags)
    output, error = process.communicate()
    self.assertEqual(process.returncode, 2)
    self.assertEqual(
      (output, error),
      ('', 'Unknown flag --dask_worker. Did you mean --dask_workers?\n'),
    )

  @parameterized.parameters(
    (
      ['--runer=DataflowRunner', '--num_workrs', '50'],
      None,
      r'^Unknown flag --runer. Did you mean --runner\?\n'
      r'Unknown flag --num_workrs. Did you mean --num_workers\?$',
    ),
    (['--runner=NoRunner'], None, '^Beam refuses --runner=NoRunner'),
    (['--runner=DataflowRunner'], None, r'^Beam refuses .*(\n.*)*project'),
    (['--num_workers=x'], None, "--num_workers: invalid int value: 'x'.$"),
    (['--runner=X'], 2, '^--dask_workers and --runner cannot be combined'),
  )
  def test_wrong_flags(self, arguments, dask_workers, message):
    with self.assertRaisesRegex(errors.InputError, message):
      runners.parse(arguments, dask_workers, {'dask_workers'})

  def test_help(self):
    process = self._start('unused', '--help')
    output, _ = process.communicate()
    self.assertEqual(process.returncode, 0)
    self.assertIn('--dask_workers', output)

  def test_no_flags_are_no_options(self):
    self.assertIsNone(runners.parse([], None, set()))

  @parameterized.parameters(
    (None, '^Cancelling the Beam job job_7.\n$'),
    (
      TimeoutError('no answer'),
      'Could not cancel the Beam job job_7: .*no answer.*jobs cancel job_7 ',
    ),
  )
  def test_interrupted_job_is_cancelled(self, cancel_error, message):
    kind = sample_tasks.InterruptedRunner
    name = f'{kind.__module__}.{kind.__name__}'
    options = runners.parse([f'--runner={name}'], None, set())
    work = [tasks.Task(f'{self.create_tempdir().full_path}/0', [1])]
    cancelled = kind.cancelled
    output = io.StringIO()
    with (
      mock.patch.object(kind, 'cancel_error', cancel_error),
      contextlib.redirect_stderr(output),
      self.assertRaises(KeyboardInterrupt),
    ):
      tasks.run(len, work, options, 'test')
    self.assertEqual(kind.cancelled, cancelled + 1)
    self.assertRegex(output.getvalue(), message)

  def test_flink_jobs_of_others_are_left_alone(self):
    overview = [
      {'jid': str(i), 'name': name, 'state': state, 'duration': duration}
      for i, (name, state, duration) in enumerate(
        [
          ('job', 'RUNNING', 0),
          ('job', 'RESTARTING', 0),
          ('job', 'CREATED', 0),
          ('job', 'FINISHED', 0),
          ('job', 'CANCELED', 0),
          ('other', 'RUNNING', 0),
          ('job', 'RUNNING', 10**9),  # Started before this build.
        ]
      )
    ]
    cancelled = []

    class Flink(http.server.BaseHTTPRequestHandler):
      def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == '/jobs/overview':
          self.wfile.write(json.dumps({'jobs': overview}).encode())

      def do_PATCH(self):
        cancelled.append(self.path)
        self.send_response(202)
        self.end_headers()

      def log_message(self, *arguments):
        del arguments

    server = http.server.HTTPServer(('localhost', 0), Flink)
    self.addCleanup(server.server_close)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    self.addCleanup(thread.join)
    self.addCleanup(server.shutdown)
    kind = sample_tasks.InterruptedRunner
    options = runners.parse(
      [
        f'--runner={kind.__module__}.{kind.__name__}',
        f'--flink_master=localhost:{server.server_port}',
      ],
      None,
      set(),
    )
    work = [tasks.Task(f'{self.create_tempdir().full_path}/0', [1])]
    with (
      contextlib.redirect_stderr(io.StringIO()),
      self.assertRaises(KeyboardInterrupt),
    ):
      tasks.run(len, work, options, 'test')
    self.assertEqual(cancelled, ['/jobs/0', '/jobs/1', '/jobs/2'])

  def test_dask_uses_two_processes(self):
    folder = self.create_tempdir().full_path
    work = [tasks.Task(f'{folder}/{i}', [i]) for i in range(8)]
    meet = sample_tasks.MeetAnother(self.create_tempdir().full_path)
    options = runners.parse([], 2, set())
    with runners.local_cluster(options, 2):
      processes = set(tasks.run(meet, work, options, 'test'))
    self.assertLen(processes, 2)
    self.assertNotIn(os.getpid(), processes)

  def test_dask(self):
    error = self._assert_builds_the_same('--dask_workers=2')
    self.assertNotRegex(error, 'distributed|scheduler|Traceback')

  def test_workers_outside_the_project(self):
    with socket.socket() as free:
      free.bind(('localhost', 0))
      port = free.getsockname()[1]
    pool = subprocess.Popen(
      [sys.executable, '-m', 'apache_beam.runners.worker.worker_pool_main',
       f'--service_port={port}'],
      cwd=self.create_tempdir().full_path,
      env=ENVIRONMENT,
      stderr=subprocess.DEVNULL,
      start_new_session=True,
    )  # fmt: skip
    self.addCleanup(os.killpg, pool.pid, signal.SIGKILL)
    self._wait_for_server(pool, port)
    self._assert_builds_the_same(
      '--runner=PortableRunner',
      '--job_endpoint=embed',
      '--environment_type=EXTERNAL',
      f'--environment_config=localhost:{port}',
    )

  def test_two_builds_at_once(self):
    data_dir = self.create_tempdir().full_path
    folder = os.path.join(data_dir, 'tiny_imagenet/small')
    other = self._lease(folder)
    builds = [self._start(data_dir) for _ in range(2)]
    for build in builds:
      self.assertEqual(
        [build.stderr.readline() for _ in range(2)],
        [
          f'Building {folder}/1.0.0\n',
          f'Waiting for another build in {folder}\n',
        ],
      )
    other.release()
    for build in builds:
      _, error = build.communicate()
      self.assertEqual(build.returncode, 0, error)
    self.assertEqual(_digests(data_dir), _digests(self.local))
    self.assertEqual(os.listdir(folder), ['1.0.0'])

  def test_waits_again_where_a_failed_build_removed_the_folder(self):
    data_dir = self.create_tempdir().full_path
    folder = os.path.join(data_dir, 'tiny_imagenet/small')
    waiting = f'Waiting for another build in {folder}\n'
    failed = self._lease(folder)
    build = self._start(data_dir)
    self.assertEqual(build.stderr.readline(), f'Building {folder}/1.0.0\n')
    self.assertEqual(build.stderr.readline(), waiting)
    failed.release()
    with contextlib.suppress(OSError):  # The build may be there already.
      os.rmdir(folder)
    _, error = build.communicate()
    self.assertEqual(build.returncode, 0, error)
    self.assertEqual(_digests(data_dir), _digests(self.local))

  def test_stopped_build_goes_on(self):
    data_dir = pathlib.Path(self.create_tempdir().full_path)
    folder = data_dir / 'tiny_imagenet/small'
    kept = {}
    for name, status in (
      ('SIGINT', 130),
      ('SIGTERM', 143),
      ('SIGHUP', 129),
      ('SIGKILL', -signal.SIGKILL),
    ):
      build = subprocess.run(
        [sys.executable, '-c', STOPS_AFTER_TWO_SHARDS.format(signal=name),
         *self._command(data_dir)[3:]],
        env=ENVIRONMENT, text=True, capture_output=True,
      )  # fmt: skip
      self.assertEqual(build.returncode, status, build.stderr)
      if status > 0:
        self.assertEqual(
          build.stderr,
          f'Building {folder}/1.0.0\nStopped by {name}; finished files are '
          'kept. Start again to continue.\n',
        )
        # All that is left is hidden, and whole.
        (work,) = folder.iterdir()
        self.assertStartsWith(work.name, '.1.0.0-')
        for path in work.iterdir():
          self.assertRegex(
            path.name, r'tfrecord-\d{5}-of-\d{5}(\.task|\.json)?$'
          )
      self.assertFalse((folder / '1.0.0').exists())
      done = {
        path.stem: path.with_suffix('').stat().st_ino
        for path in folder.glob('.1.0.0-*/*.tfrecord*.json')
      }
      self.assertLen(done, len(kept) + 2)
      self.assertEqual(done, done | kept)
      kept = done
    build = self._start(data_dir)
    _, error = build.communicate()
    self.assertEqual(build.returncode, 0, error)
    self.assertEqual(_digests(data_dir), _digests(self.local))
    for name, inode in kept.items():
      self.assertEqual((folder / '1.0.0' / name).stat().st_ino, inode)

  @parameterized.parameters(
    ('size=200k', 'No space left on device'),
    ('ro', 'Read-only file system'),
  )
  def test_full_or_read_only_disk(self, mount, reason):
    data_dir = self.create_tempdir().full_path
    result = self._run_in_namespace(
      f'mount -t tmpfs -o {mount} none {data_dir}', self._command(data_dir)
    )
    directory = f'{data_dir}/tiny_imagenet/small/1.0.0'
    self.assertEqual(result.returncode, 1)
    lines = result.stderr.removeprefix(f'Building {directory}\n')
    self.assertRegex(
      lines, f'^Could not build {directory}: .*{reason}.*files are kept.\n$'
    )

  def test_user_without_name(self):
    data_dir = self.create_tempdir().full_path
    result = self._run_in_namespace(
      'true', self._command(data_dir), '--map-user=54321'
    )
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(_digests(data_dir), _digests(self.local))

  def _run_in_namespace(self, setup, command, user='--map-root-user'):
    """Runs a command after a shell line, both in namespaces of their own."""
    prefix = ['unshare', '--user', user, '--mount', 'sh', '-c',
              f'{setup} && exec "$@"', 'sh']  # fmt: skip
    if subprocess.run([*prefix, 'true'], capture_output=True).returncode:
      self.skipTest('namespaces or mounts are not available')
    return subprocess.run(
      [*prefix, *command], env=ENVIRONMENT, text=True, capture_output=True
    )

  @parameterized.parameters(
    (['--runner=FlinkRunner', '--flink_master=host:8081'],),
    (['--runner=SparkRunner', '--spark_master_url=spark://host:7077'],),
    (
      [
        '--runner=DataflowRunner',
        '--project=mine',
        '--region=europe-west4',
        '--temp_location=gs://bucket/temp',
        '--sdk_container_image=host/tinygin-worker',
      ],
    ),
  )
  def test_pipelines_of_clusters_hold_no_images(self, arguments):
    options = runners.parse(arguments, None, set())
    name = options.view_as(pipeline_options.StandardOptions).runner
    self.assertEqual(f'--runner={name}', arguments[0])
    paths = [f'{self.folder}/task-{i}' for i in range(3)]
    pipeline = beam.Pipeline(options=options)
    tasks.apply(pipeline, shards.Writer(64, None), paths)
    proto = pipeline.to_runner_api()
    content = proto.SerializeToString()
    # Beam packs what it pickles: Base64 of bzip2.
    packed = re.findall(rb'QlpoOTFBWSZTW[A-Za-z0-9+/]+=*', content)
    everything = content + b''.join(
      bz2.decompress(base64.b64decode(each)) for each in packed
    )
    self.assertEqual([p for p in paths if p.encode() not in everything], [])
    self.assertFalse(JPEG in everything)
    self.assertLess(len(everything), 100_000)
    again = beam.Pipeline.from_runner_api(
      beam_runner_api_pb2.Pipeline.FromString(content),
      pipeline.runner,
      options,
    ).to_runner_api()
    self.assertEqual(
      sorted(each.unique_name for each in again.components.transforms.values()),
      sorted(each.unique_name for each in proto.components.transforms.values()),
    )

  def _lease(self, folder):
    held = lease.Lease(folder)
    self.assertTrue(held.acquire())
    return held

  def _wait_for_server(self, process, port):
    """Waits until the process, which must live, answers at a port."""
    while True:
      try:
        return socket.create_connection(('localhost', port)).close()
      except OSError:
        self.assertIsNone(process.poll())
        time.sleep(0.05)


if __name__ == '__main__':
  absltest.main()
