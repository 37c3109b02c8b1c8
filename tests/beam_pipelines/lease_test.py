"""Two that share a folder, but neither a kernel nor a clock."""

import contextlib
import os
import subprocess
import sys

import fsspec
from absl.testing import absltest
from absl.testing import parameterized

from beam_pipelines import lease
from tinygin.config import errors

# Takes a lease, says so, and ends without giving it back.
ENDS_WITH_A_LEASE = """
import os, sys
from beam_pipelines import lease
assert lease.Lease(sys.argv[1]).acquire()
print(os.getpid(), flush=True)
sys.stdin.read()
os._exit(1)
"""


class Host:
  """Another machine: it has its own clock, and its processes are unknown."""

  def __init__(self, folder, name):
    self.seconds = 1e6 * len(name)
    self.lease = lease.Lease(folder, clock=lambda: self.seconds)
    self.lease._holder['process'] = [f'kernel of {name}', '', 1]


class LeaseTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    fsspec.filesystem('memory').store.clear()
    self.folder = self.create_tempdir().full_path

  def _hosts(self, place):
    folder = 'memory://bucket/data' if place == 'memory' else self.folder
    return Host(folder, 'a'), Host(folder, 'other')

  @parameterized.parameters('local', 'memory')
  def test_one_at_a_time(self, place):
    first, second = self._hosts(place)
    self.assertTrue(first.lease.acquire())
    self.assertFalse(second.lease.acquire())
    second.lease.release()  # Of a lease that it does not hold.
    first.lease.check()
    first.lease.release()
    self.assertTrue(second.lease.acquire())
    second.lease.check()

  @parameterized.parameters('local', 'memory')
  def test_a_renewed_lease_never_expires(self, place):
    first, second = self._hosts(place)
    self.assertTrue(first.lease.acquire())
    for _ in range(20):
      self.assertFalse(second.lease.acquire())
      second.seconds += 50
      first.lease.renew()
    first.lease.check()

  @parameterized.parameters('local', 'memory')
  def test_an_abandoned_lease_expires(self, place):
    first, second = self._hosts(place)
    self.assertTrue(first.lease.acquire())
    self.assertFalse(second.lease.acquire())
    second.seconds += 59
    self.assertFalse(second.lease.acquire())
    second.seconds += 1
    self.assertTrue(second.lease.acquire())
    second.lease.check()
    # The first one was only slow.
    first.lease.renew()
    second.lease.check()
    with self.assertRaisesRegex(
      errors.RunError, r'^Another build took over .*\.lease for 60 seconds'
    ):
      first.lease.check()
    first.lease.release()
    second.lease.check()

  def test_a_lease_that_is_still_being_written(self):
    first, second = self._hosts('local')
    with open(f'{self.folder}/.lease', 'wb'):
      pass
    self.assertFalse(second.lease.acquire())
    second.seconds += 60
    self.assertTrue(second.lease.acquire())
    self.assertFalse(first.lease.acquire())

  def test_a_process_of_this_machine_that_has_ended(self):
    process = subprocess.Popen(
      [sys.executable, '-c', ENDS_WITH_A_LEASE, self.folder],
      env=os.environ
      | {'PYTHONPATH': os.pathsep.join(map(os.path.abspath, sys.path))},
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    self.assertEqual(process.stdout.readline(), f'{process.pid}\n')
    ours = lease.Lease(self.folder)
    self.assertFalse(ours.acquire())
    process.communicate()
    self.assertTrue(ours.acquire())

  def test_the_folder_is_made(self):
    with contextlib.ExitStack() as stack:
      held = stack.enter_context(lease.hold(f'{self.folder}/a/b'))
      held.check()
      self.assertEqual(os.listdir(f'{self.folder}/a/b'), ['.lease'])
    self.assertEqual(os.listdir(f'{self.folder}/a/b'), [])


if __name__ == '__main__':
  absltest.main()
