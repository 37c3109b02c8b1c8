"""How many CPUs a process may use."""

import os
import pathlib
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from tinygin.data import pipelines

VERSION_1 = ('cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us')


class AvailableCpusTest(parameterized.TestCase):
  @parameterized.parameters(
    ({}, 8),
    ({'cpu.max': 'max 100000\n'}, 8),
    ({'cpu.max': '200000 100000\n'}, 2),
    ({'cpu.max': '150000 100000\n'}, 2),
    ({'cpu.max': '5000 100000\n'}, 1),
    ({'cpu.max': '1600000 100000\n'}, 8),
    ({VERSION_1[0]: '-1\n', VERSION_1[1]: '100000\n'}, 8),
    ({VERSION_1[0]: '300000\n', VERSION_1[1]: '100000\n'}, 3),
  )
  def test_the_quota_of_a_container_counts(self, files, cpus):
    folder = pathlib.Path(self.create_tempdir().full_path)
    for name, content in files.items():
      (folder / name).parent.mkdir(exist_ok=True)
      (folder / name).write_text(content, encoding='utf-8')
    with mock.patch.object(os, 'sched_getaffinity', lambda _: set(range(8))):
      self.assertEqual(pipelines.available_cpus(folder), cpus)

  def test_here(self):
    self.assertBetween(
      pipelines.available_cpus(), 1, len(os.sched_getaffinity(0))
    )


if __name__ == '__main__':
  absltest.main()
