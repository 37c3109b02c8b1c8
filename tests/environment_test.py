"""Tests that Python is the locked environment and finds gin-config."""

import importlib.metadata
import os
import pathlib
import re
import site
import sys
import sysconfig

import gin
from absl.testing import absltest

_PROJECT = pathlib.Path(__file__).parent.parent


def _locked_versions() -> dict[str, set[str]]:
  """Returns the locked versions of each package."""
  versions = {}
  for line in (_PROJECT / 'requirements.txt').read_text().splitlines():
    if match := re.match(r'([a-z0-9-]+)==([^ ;\\]+)', line):
      versions.setdefault(match[1], set()).add(match[2])
  return versions


class EnvironmentTest(absltest.TestCase):
  def test_gin_is_gin_config(self):
    packages = pathlib.Path(sysconfig.get_path('purelib'))
    self.assertIn(packages, pathlib.Path(gin.__file__).parents)

  def test_gin_folder_holds_configs_only(self):
    others = [
      str(path.relative_to(_PROJECT))
      for path in (_PROJECT / 'gin').rglob('*')
      if path.is_file() and path.suffix != '.gin'
    ]
    self.assertEmpty(others)

  def test_interpreter_is_an_environment_of_its_own(self):
    self.assertNotEqual(sys.prefix, sys.base_prefix)
    self.assertFalse(site.ENABLE_USER_SITE)

  def test_bazel_switches_onednn_on(self):
    if 'TEST_TARGET' not in os.environ:
      self.skipTest('Needs Bazel, which reads .bazelrc.')
    self.assertIn('TF_ENABLE_ONEDNN_OPTS', os.environ)

  def test_every_installed_package_is_locked(self):
    locked = _locked_versions()
    unlocked = {}
    for distribution in importlib.metadata.distributions():
      name = re.sub(r'[-_.]+', '-', distribution.name).lower()
      # Each environment has an installer.
      if name == 'pip':
        continue
      if distribution.version not in locked.get(name, set()):
        unlocked[name] = distribution.version
    self.assertEmpty(unlocked)


if __name__ == '__main__':
  absltest.main()
