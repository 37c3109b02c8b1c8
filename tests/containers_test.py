"""Tests that images contain what their programs need, without an engine."""

import os
import pathlib
import re
import shutil
import string
import subprocess
import sys

import yaml
from absl.testing import absltest

_PROJECT = pathlib.Path(__file__).parent.parent
_FLAGS = ['--dry', '--levels=1,1']


def _environment():
  """Returns the variables of `.env`."""
  lines = (_PROJECT / '.env').read_text().splitlines()
  return dict(
    line.split('=', 1) for line in lines if line and not line.startswith('#')
  )


def _compose(environment):
  text = (_PROJECT / 'docker-compose.yml').read_text()
  # Fails if a variable is not set in `.env`.
  return yaml.safe_load(string.Template(text).substitute(environment))


def _copied():
  """Returns the source and target of each COPY in the stages of `tinygin`."""
  stages = re.split(
    r'^FROM ', (_PROJECT / 'Dockerfile').read_text(), flags=re.M
  )
  kept = [
    stage
    for stage in stages
    if re.match(r'.* AS (environment|tinygin)\n', stage)
  ]
  return re.findall(r'^COPY (\S+) (\S+)$', '\n'.join(kept), flags=re.M)


class ContainersTest(absltest.TestCase):
  def test_trains_on_what_the_image_holds(self):
    root = pathlib.Path(self.create_tempdir().full_path)
    for source, target in _copied():
      if (_PROJECT / source).is_dir():
        shutil.copytree(_PROJECT / source, root / target)
      else:
        shutil.copy(_PROJECT / source, root / target)
    (root / 'source').mkdir()
    (root / 'source/mine.gin').write_text(
      "include 'quickstart.gin'\nEPOCHS = 1\nBATCH_SIZE = 16\nWIDTH = 8\n"
      'synthetic.train_images = 4\nsynthetic.validation_images = 2\n'
    )
    environment = {**_environment(), 'GIN_FILE': 'source/mine.gin'}
    services = _compose(environment)['services']
    for name, arguments in (('data', []), ('tiny-imagenet', _FLAGS)):
      program, *entrypoint = services[name]['entrypoint']
      self.assertEqual(program, 'python')
      done = subprocess.run(
        [sys.executable, *entrypoint, *arguments],
        cwd=root,
        env={
          **os.environ,
          'PYTHONPATH': str(root),
          'BUILD_WORKING_DIRECTORY': '',
        },
        capture_output=True,
        text=True,
      )
      self.assertEqual(done.returncode, 0, done.stderr)
    self.assertIn('Validation top-1', done.stdout)
    self.assertTrue((root / 'data/tiny_imagenet/quickstart').exists())
    self.assertFalse((root / 'runs').exists())  # --dry

  def test_what_is_ignored_is_not_copied(self):
    kept = (_PROJECT / '.dockerignore').read_text().splitlines()
    for source, _ in _copied():
      self.assertIn(f'!{source}', kept)

  def test_containers_write_only_to_the_folders_of_artifacts(self):
    environment = {**_environment(), 'SOURCE': '/s', 'ARTIFACTS': '/a'}
    for service in _compose(environment)['services'].values():
      self.assertEqual(
        service['volumes'],
        [
          '/s:/tinygin/source:ro',
          '/a/data:/tinygin/data',
          '/a/runs:/tinygin/runs',
        ],
      )

  def test_versions_are_those_of_the_lock(self):
    locked = (_PROJECT / 'requirements.txt').read_text()
    text = (_PROJECT / 'Dockerfile').read_text()
    found = re.findall(r"'([a-z-]+)\[[a-z-]+\]==([\d.]+)'", text)
    self.assertLen(found, 2)
    for package, version in found:
      self.assertRegex(locked, rf'\n{package}(\[.*\])?=={re.escape(version)} ')


if __name__ == '__main__':
  absltest.main()
