"""Warnings about slow processors."""

import contextlib
import io
import pathlib
from unittest import mock

import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized

from tinygin.reporting import provenance
from tinygin.training import processors

_GPU = tf.config.PhysicalDevice('/physical_device:GPU:0', 'GPU')


class ProcessorsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)
    self.gpus = []
    for module, target, replacement in (
      (provenance, 'CPU_INFO', self.folder / 'cpuinfo'),
      (processors, '_GPU_FILES', (f'{self.folder}/nvidia[0-9]*',)),
    ):
      self.enter_context(mock.patch.object(module, target, replacement))
    self.enter_context(
      mock.patch.object(
        tf.config, 'list_physical_devices', lambda kind: self.gpus
      )
    )

  @parameterized.parameters(
    ('flags\t\t: fpu avx2 avx512f', 'slow here: this processor has'),
    ('Features\t: fp asimd', 'slow here: this processor has'),
    ('flags\t\t: fpu avx512_bf16 avx2', ''),
    ('Features\t: fp asimd bf16', ''),
    ('nothing that is known', ''),
  )
  def test_bfloat16_on_a_cpu(self, features, warning):
    (self.folder / 'cpuinfo').write_text(f'processor: 0\n{features}\n')
    self.assertIn(warning, self._warnings('bfloat16'))
    self.assertEqual(bool(warning), bool(self._warnings('bfloat16')))
    self.assertEqual(self._warnings('float32'), '')

  def test_bfloat16_where_features_are_not_listed(self):
    self.assertEqual(self._warnings('bfloat16'), '')

  @parameterized.parameters(((7, 5), True), ((8, 0), False), (None, False))
  def test_bfloat16_on_a_gpu(self, capability, warns):
    self.gpus = [_GPU]
    details = {'compute_capability': capability} if capability else {}
    with mock.patch.object(
      tf.config.experimental, 'get_device_details', lambda gpu: details
    ):
      self.assertEqual('this GPU has no' in self._warnings('bfloat16'), warns)

  def test_gpu_that_cannot_be_used(self):
    self.assertEqual(self._warnings('float32'), '')
    (self.folder / 'nvidia0').touch()
    program = "import sys; sys.stderr.write('cuInit failed\\n')"
    with mock.patch.object(processors, '_LIST_GPUS', program):
      warnings = self._warnings('float32')
      self.assertStartsWith(warnings, 'cuInit failed\nThis machine has a GPU')
      self.gpus = [_GPU]
      self.assertEqual(self._warnings('float32'), '')

  def test_gpu_whose_driver_does_not_answer(self):
    (self.folder / 'nvidia0').touch()
    with (
      mock.patch.object(processors, '_LIST_GPUS', 'import sys; sys.exit()'),
      # No Python starts in that time.
      mock.patch.object(processors, '_TIMEOUT_SECONDS', 0),
    ):
      self.assertEqual(self._warnings('float32'), '')

  def test_gpu_that_the_user_has_hidden(self):
    (self.folder / 'nvidia0').touch()
    with mock.patch.dict('os.environ', CUDA_VISIBLE_DEVICES='-1'):
      self.assertEqual(self._warnings('float32'), '')

  def test_warns_once(self):
    (self.folder / 'cpuinfo').write_text('flags : avx2\n')
    self.assertNotEmpty(self._warnings('bfloat16'))
    self.assertEqual(self._written('bfloat16'), '')

  def _warnings(self, precision: str) -> str:
    processors.warn.cache_clear()
    return self._written(precision)

  def _written(self, precision: str) -> str:
    written = io.StringIO()
    with contextlib.redirect_stderr(written):
      processors.warn(precision)
    return written.getvalue()


if __name__ == '__main__':
  absltest.main()
