"""Buckets of servers that imitate object stores, through the real clients."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

from absl.testing import absltest
from absl.testing import parameterized

from tests.beam_pipelines import sample_archives
from tools.clusters import engines
from tools.clusters import fetch

STORES = ('gcs', 's3')
SMALL = [
  '--gin_file=gin/quickstart.gin',
  '--gin_bindings=LEVELS = (1,); WIDTH = 8; EPOCHS = 1; BATCH_SIZE = 16;'
  'dataset.examples_per_shard = 10; synthetic.train_images = 8;'
  'synthetic.validation_images = 2; synthetic.test_images = 1',
]
STANFORD = [
  '--gin_file=gin/data/stanford.gin',
  "--gin_bindings=dataset.name = 'small'; CLASSES = 12;"
  'dataset.examples_per_shard = 10',
]
UPLOADS = """
import sys
from tinygin.config import files
with open(sys.argv[1], 'rb') as file:
  files.write_bytes(sys.argv[2], file.read())
"""
# Copies the files of a data set.
DOWNLOADS = """
import os, sys
from tinygin.config import files
url, folder = sys.argv[1:]
for file in files.list_files(url):
  with open(os.path.join(folder, file.name), 'wb') as copy:
    copy.write(files.read(file.path))
"""
# Two leases: only one is held, until it is given back.
LEASES = """
import sys
from beam_pipelines import lease
first, second = (lease.Lease(sys.argv[1]) for _ in range(2))
assert first.acquire() and not second.acquire()
first.renew()
first.check()
first.release()
assert second.acquire() and not first.acquire()
"""
ABSENT = """
from tinygin.config import errors
from tinygin.config import files
reads = [files.read, files.size]
reads.append(lambda url: files.read_ranges([url], [0], [1]))
for read in reads:
  try:
    read('URL/none')
  except FileNotFoundError as error:
    assert error.filename == 'URL/none'
  else:
    raise AssertionError
"""


class BucketClientsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def _start(self, store):
    folder = self.folder / 'server'
    folder.mkdir()
    try:
      self.bucket = self.enter_context(getattr(engines, store)(folder))
    except fetch.MissingError as error:
      self.skipTest(str(error))

  def _run(self, *arguments, status=0):
    """Runs Python with the client of the bucket; returns what it printed."""
    environment = os.environ | self.bucket.environment
    paths = [*sys.path, self.bucket.environment['PYTHONPATH']]
    environment['PYTHONPATH'] = os.pathsep.join(map(os.path.abspath, paths))
    result = subprocess.run(
      [sys.executable, *arguments],
      env=environment, text=True, capture_output=True,
    )  # fmt: skip
    self.assertEqual(result.returncode, status, result.stderr)
    return result.stdout + result.stderr

  def _build(self, data_dir, *flags, status=0):
    return self._run(
      '-m', 'beam_pipelines.build_dataset',
      f'--gin_bindings=dataset.data_dir = {str(data_dir)!r}', *flags,
      status=status,
    )  # fmt: skip

  def _records(self, url):
    """Returns the record files of a data set in the bucket."""
    with tempfile.TemporaryDirectory() as folder:
      self._run('-c', DOWNLOADS, url, folder)
      return {
        path.name: path.read_bytes()
        for path in pathlib.Path(folder).glob('*.tfrecord*')
      }

  @parameterized.parameters(*STORES)
  def test_archive_and_data_set_in_a_bucket(self, store):
    self._start(store)
    archive = self.folder / 'small.zip'
    sample_archives.SMALL.write(str(archive))
    url = f'{self.bucket.url}/small.zip'
    self._run('-c', UPLOADS, str(archive), url)
    data_dir = f'{self.bucket.url}/data'
    flags = [*STANFORD, f'--gin_bindings=stanford.source = {url!r}']
    output = self._build(data_dir, *flags, '--dask_workers=2')
    self.assertIn('36 train, 24 validation, 12 test examples', output)
    if store == 'gcs':
      self._assert_read_once(archive)
    self.assertIn('Already built', self._build(data_dir, *flags))
    self._build(self.folder / 'local', *flags)
    built = f'{data_dir}/tiny_imagenet/small/1.0.0'
    self.assertEqual(
      self._records(built),
      {
        path.name: path.read_bytes()
        for path in self.folder.glob('local/*/small/1.0.0/*.tfrecord*')
      },
    )
    verified = self._run(
      '-m', 'beam_pipelines.verify_dataset', f'--data_dir={data_dir}'
    )
    self.assertIn(f'{built}: 36 train, 24 validation, 12 test', verified)
    self.assertIn('Intact', verified)

  def _assert_read_once(self, archive):
    """Asserts that each member was asked for once; see also buckets_test."""
    log = (self.folder / 'server/gcs.log').read_text(encoding='utf-8')
    requests = re.findall(rf'GET \S+{archive.name}\?alt=media', log)
    with zipfile.ZipFile(archive) as opened:
      members = len(opened.namelist())
    self.assertBetween(len(requests), members, members + 10)

  @parameterized.parameters(*STORES)
  def test_train(self, store):
    self._start(store)
    results = {}
    for name, data_dir, limit in (
      ('local', self.folder / 'data', 4096),
      ('memory', f'{self.bucket.url}/data', 4096),
      ('streamed', f'{self.bucket.url}/data', 1),
    ):
      run_dir = self.folder / name
      self._run(
        '-m', 'tinygin.train', *SMALL,
        f'--gin_bindings=dataset.data_dir = {str(data_dir)!r};'
        f'RUN_DIR = {str(run_dir)!r}; train.memory_limit_mib = {limit}',
      )  # fmt: skip
      result = json.loads((run_dir / 'result.json').read_text())
      results[name] = result['validation'] | {'status': result['status']}
    self.assertEqual(results['memory'], results['local'])
    self.assertEqual(results['streamed'], results['local'])
    self.assertEqual(results['local']['status'], 'completed')

  @parameterized.parameters(*STORES)
  def test_leases_and_absent_files(self, store):
    self._start(store)
    self._run('-c', LEASES, f'{self.bucket.url}/folder')
    self._run('-c', ABSENT.replace('URL', self.bucket.url))

  @parameterized.parameters(*STORES)
  def test_absent_bucket(self, store):
    self._start(store)
    scheme = self.bucket.url.partition('://')[0]
    output = self._build(
      f'{scheme}://none/data', '--gin_file=gin/data/quickstart.gin', status=1
    )
    self.assertRegex(output, f'Could not build {scheme}://none/data/tiny_imag')
    self.assertNotIn('Traceback', output)


if __name__ == '__main__':
  absltest.main()
