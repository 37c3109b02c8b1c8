"""Real engines build the same bytes, even if they lose a node."""

import os
import pathlib
import signal
import subprocess
import sys
import time

from absl.testing import absltest
from absl.testing import parameterized

from tools.clusters import engines
from tools.clusters import fetch

SHARED_DATA = os.environ.get('TINYGIN_SHARED_DATA', '')
# A test fails when a build or an engine takes longer.
DEADLINE_SECONDS = 900
ENGINES = ('dask', 'prism', 'flink', 'spark')
DRAWN = """
include 'data/quickstart.gin'
import tests.beam_pipelines.gate
dataset.examples_per_shard = 10
dataset.resize = @gated_resize()
gated_resize.filter = 'box'
gated_resize.unsharp_mask = None
gated_resize.encoding = @jpeg()
jpeg.quality = 90
jpeg.subsampling = '4:2:0'
synthetic.train_images = 5
synthetic.validation_images = 2
synthetic.test_images = 1
"""
MINI = """
include 'data/mini.gin'
stanford.source = '{shared}/tiny-imagenet-mini.zip'
"""
ILSVRC = """
include 'data/ilsvrc61.gin'
dataset.examples_per_shard = 10
ilsvrc.source = '{shared}/ilsvrc-sample'
ilsvrc.examples_per_group = None
"""
# Does the task at a path. The second argument is the folder of the gate.
DOES_A_TASK = """
import sys
from beam_pipelines import resize
from beam_pipelines import shards
from beam_pipelines import tasks
from tests.beam_pipelines import gate

path, folder = sys.argv[1:]
jpeg = resize.Jpeg(quality=90, subsampling='4:2:0')
resize = gate.GatedResize('box', None, jpeg, folder)
tasks.execute(shards.Writer(64, resize), path)
"""


def _records(data_dir):
  return {
    path.name: path.read_bytes()
    for path in pathlib.Path(data_dir).glob('*/*/1.0.0/*.tfrecord*')
  }


class ClustersTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.processes = []
    self.addCleanup(lambda: [each.kill() for each in self.processes])

  def _start_cluster(self, engine):
    folder = self.folder / 'cluster'
    folder.mkdir()
    try:
      return self.enter_context(getattr(engines, engine)(folder))
    except fetch.MissingError as error:
      self.skipTest(str(error))

  def _start_build(self, data_dir, config, *flags):
    file = self.folder / 'data.gin'
    file.write_text(config.format(shared=SHARED_DATA), encoding='utf-8')
    return self._start(
      '-m',
      'beam_pipelines.build_dataset',
      f'--gin_file={file}',
      f'--gin_bindings=dataset.data_dir = {str(data_dir)!r}',
      *flags,
    )

  def _start(self, *arguments):
    process = subprocess.Popen(
      [sys.executable, *arguments],
      env=os.environ
      | {'PYTHONPATH': os.pathsep.join(map(os.path.abspath, sys.path))},
      text=True,
      stderr=subprocess.PIPE,
    )
    self.processes.append(process)
    return process

  def _build(self, data_dir, config, *flags):
    self._finish(self._start_build(data_dir, config, *flags))
    return _records(data_dir)

  def _start_gated_build(self, cluster):
    """Starts a build; returns when all of the cluster's workers are in it."""
    gate = self.folder / 'gate'
    gate.mkdir()
    build = self._start_build(
      self.folder / 'built', self._drawn(gate), *cluster.flags
    )
    self._wait_at(gate, len(cluster.nodes) or 1, build)
    return build, gate

  def _wait_at(self, gate, workers, *processes):
    """Waits until so many workers are at a gate."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(os.listdir(gate)) < workers:
      for process in processes:
        if process.poll() is not None:
          self.fail(process.stderr.read())
      self.assertLess(time.monotonic(), deadline)
      time.sleep(0.05)

  def _drawn(self, gate):
    return f'{DRAWN}\ngated_resize.gate = {str(gate)!r}\n'

  def _build_here(self):
    """Returns the record files of the drawn data set, built in one process."""
    gate = self.folder / 'open_gate'
    gate.mkdir()
    (gate / 'open').touch()
    return self._build(self.folder / 'here', self._drawn(gate))

  def _finish(self, build):
    _, error = build.communicate(timeout=DEADLINE_SECONDS)
    self.assertEqual(build.returncode, 0, error)

  @parameterized.parameters(*ENGINES)
  def test_real_images(self, engine):
    if not os.path.isdir(SHARED_DATA):
      self.skipTest('TINYGIN_SHARED_DATA names no folder with real images')
    cluster = self._start_cluster(engine)
    for name, config in (('mini', MINI), ('ilsvrc', ILSVRC)):
      here = self._build(self.folder / f'{name}_here', config)
      found = self._build(self.folder / name, config, *cluster.flags)
      self.assertEqual(found, here)

  @parameterized.parameters(*ENGINES)
  def test_interrupt_cancels_the_job(self, engine):
    cluster = self._start_cluster(engine)
    build, _ = self._start_gated_build(cluster)
    self.assertTrue(cluster.is_busy())
    build.send_signal(signal.SIGINT)
    _, error = build.communicate(timeout=DEADLINE_SECONDS)
    self.assertEqual(build.returncode, 130, error)
    self.assertIn('Stopped by SIGINT', error)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while cluster.is_busy():
      self.assertLess(time.monotonic(), deadline)
      time.sleep(0.05)

  @parameterized.parameters('dask', 'flink', 'spark')
  def test_loses_a_node(self, engine):
    cluster = self._start_cluster(engine)
    build, gate = self._start_gated_build(cluster)
    engines.kill(cluster.nodes[0])
    (gate / 'open').touch()
    self._finish(build)
    self.assertEqual(_records(self.folder / 'built'), self._build_here())

  def test_loses_the_only_worker(self):
    cluster = self._start_cluster('prism')
    build, gate = self._start_gated_build(cluster)
    (worker,) = os.listdir(gate)
    os.kill(int(worker), signal.SIGKILL)
    (gate / 'open').touch()
    build.communicate(timeout=DEADLINE_SECONDS)
    self.assertEqual(build.returncode, 1)
    self.assertEmpty(_records(self.folder / 'built'))
    self.assertEqual(
      self._build(self.folder / 'built', self._drawn(gate), *cluster.flags),
      self._build_here(),
    )

  @parameterized.parameters(True, False)
  def test_two_workers_write_one_file(self, kill_one):
    gate = self.folder / 'gate'
    gate.mkdir()
    build = self._start_build(self.folder / 'built', self._drawn(gate))
    self._wait_at(gate, 1, build)
    build.kill()
    os.unlink(gate / str(build.pid))
    tasks = (self.folder / 'built').glob('*/*/.*/*train*.task')
    file = sorted(tasks)[0].with_suffix('')
    workers = [
      self._start('-c', DOES_A_TASK, str(file), str(gate)) for _ in range(2)
    ]
    self._wait_at(gate, 2, *workers)
    if kill_one:
      workers.pop().kill()
    (gate / 'open').touch()
    for worker in workers:
      self._finish(worker)
    self.assertEqual(file.read_bytes(), self._build_here()[file.name])
    self.assertCountEqual(
      file.parent.glob(f'{file.name}*'),
      [file, file.with_name(f'{file.name}.task'),
       file.with_name(f'{file.name}.json')],
    )  # fmt: skip


if __name__ == '__main__':
  absltest.main()
