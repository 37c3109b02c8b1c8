"""The recorded origin of a run: code, data and hardware."""

import hashlib
import importlib
import os
import pathlib
import shutil
import subprocess
import sys

import tensorflow as tf
from absl.testing import absltest

from tinygin.config import files
from tinygin.reporting import provenance

_SOURCE = 'RATE = 0.5\n'


class ProvenanceTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    outside = {'GIT_CEILING_DIRECTORIES': str(self.root.parent)}
    self.enter_context(absltest.mock.patch.dict(os.environ, outside))
    self.module = self.root / f'lab_{self.id().rpartition(".")[2]}.py'
    self.module.write_text(_SOURCE)
    sys.path.append(str(self.root))
    self.addCleanup(sys.path.remove, str(self.root))
    importlib.import_module(self.module.stem)
    self.addCleanup(sys.modules.pop, self.module.stem)

  def _git(self, *arguments):
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.org']
    subprocess.run(
      ['git', '-C', self.root, *identity, *arguments],
      check=True,
      capture_output=True,
    )

  def test_a_users_module_outside_any_repository(self):
    found = provenance.describe(self.root)
    self.assertIsNone(found['git'])
    self.assertEqual(
      found['modules'][self.module.stem],
      {
        'file': str(self.module),
        'sha256': hashlib.sha256(_SOURCE.encode()).hexdigest(),
        'text': _SOURCE,
      },
    )
    # The project's own, which no commit stands for either.
    own = found['modules']['tinygin.reporting.provenance']
    self.assertEqual(own.keys(), {'file', 'sha256'})
    for installed in ('keras', 'json', 'gin'):
      self.assertNotIn(installed, found['modules'])

  @absltest.skipUnless(shutil.which('git'), 'git is not installed')
  def test_a_module_is_recorded_until_git_knows_it(self):
    self._git('init')
    self._git('commit', '--allow-empty', '--message=first')
    self.assertIn(self.module.stem, provenance.describe(self.root)['modules'])
    self._git('add', '.')
    self._git('commit', '--message=second')
    self.module.write_text('RATE = 0.7\n')
    found = provenance.describe(self.root)
    self.assertNotIn(self.module.stem, found['modules'])
    self.assertLen(found['git']['commit'], 40)
    self.assertIn('+RATE = 0.7', found['git']['diff'])

  def test_generated_modules_are_left_out(self):
    before = {*sys.modules}
    tf.autograph.to_graph(lambda x: 2 * x)
    (generated,) = {*sys.modules} - before
    self.assertNotIn(generated, provenance.describe(self.root)['modules'])

  def test_what_decides_the_last_bits(self):
    variables = {'TF_ENABLE_ONEDNN_OPTS': '0', 'ONEDNN_MAX_CPU_ISA': 'AVX2'}
    with absltest.mock.patch.dict(os.environ, variables):
      found = provenance.describe(self.root)['computation']
    self.assertContainsSubset(variables, found['environment'])
    self.assertGreater(found['intra_op_threads'], 0)
    for enabled in (False, True):
      tf.config.experimental.enable_tensor_float_32_execution(enabled)
      found = provenance.describe(self.root)['computation']
      self.assertIs(found['tensor_float_32'], enabled)
    cpuinfo = pathlib.Path('/proc/cpuinfo')
    if cpuinfo.exists() and 'model name' in cpuinfo.read_text():
      self.assertIn(f': {found["processor"]}\n', cpuinfo.read_text())
      self.assertEqual(
        'avx2' in found['instructions'], ' avx2 ' in cpuinfo.read_text()
      )
    has_gpu = bool(tf.config.list_physical_devices('GPU'))
    self.assertEqual(bool(found['gpus']), has_gpu)
    self.assertEqual(bool(found['cuda']), has_gpu)

  def test_instructions_of_an_arm_processor(self):
    cpuinfo = self.root / 'cpuinfo'
    cpuinfo.write_text('processor\t: 0\nFeatures\t: fp asimd bf16\n\n')
    with absltest.mock.patch.object(provenance, 'CPU_INFO', cpuinfo):
      found = provenance.describe(self.root)['computation']
    self.assertEqual(found['instructions'], ['asimd', 'bf16'])

  def test_data_set(self):
    directory = str(self.root)
    self.assertEqual(
      provenance.data_set(directory),
      {'directory': directory, 'fingerprint': None},
    )
    (self.root / 'metadata.json').write_text('{"fingerprint": "abc"}')
    self.assertEqual(provenance.data_set(directory)['fingerprint'], 'abc')

  def test_a_data_set_whose_metadata_are_damaged(self):
    for content in (b'', b'{"fingerprint": ', b'[1]', b'\xff'):
      (self.root / 'metadata.json').write_bytes(content)
      self.assertIsNone(provenance.data_set(str(self.root))['fingerprint'])

  def test_a_data_set_with_a_url(self):
    url = 'memory://bucket/data'
    files.write_bytes(f'{url}/metadata.json', b'{"fingerprint": "abc"}')
    found = provenance.data_set(url)
    self.assertEqual(found, {'directory': url, 'fingerprint': 'abc'})


if __name__ == '__main__':
  absltest.main()
