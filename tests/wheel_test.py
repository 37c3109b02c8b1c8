"""Tests the wheel, and a project that has nothing of tinygin but the wheel."""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile

from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from tinygin.config import errors

_ROOT = pathlib.Path(__file__).parent.parent
_PROJECT = tomllib.loads((_ROOT / 'pyproject.toml').read_text())['project']
_NAME = f'tinygin-{_PROJECT["version"]}-py3-none-any.whl'
# Trains in seconds.
_SMALL = (
  'EPOCHS = 2; LEVELS = (1,); WIDTH = 8; synthetic.train_images = 8; '
  'synthetic.validation_images = 2'
)


def _build(root: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  subprocess.run(
    [sys.executable, 'tools/bazel/build_wheel.py', folder],
    cwd=root,
    check=True,
    capture_output=True,
  )
  return folder / _NAME


class ContentTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def test_contains_the_packages_and_the_gin_files(self):
    names = zipfile.ZipFile(_build(_ROOT, self.folder)).namelist()
    self.assertCountEqual(
      {name.partition('/')[0] for name in names},
      [
        'beam_pipelines',
        'tinygin',
        _NAME.replace('-py3-none-any.whl', '') + '.dist-info',
      ],
    )
    expected = [
      *(each.relative_to(_ROOT) for each in _ROOT.glob('tinygin/**/*.py')),
      *(
        each.relative_to(_ROOT) for each in _ROOT.glob('beam_pipelines/**/*.py')
      ),
      *(
        'tinygin' / each.relative_to(_ROOT)
        for each in _ROOT.glob('gin/**/*.gin')
      ),
    ]
    self.assertContainsSubset({str(each) for each in expected}, names)
    self.assertIn('beam_pipelines/tiny_imagenet/checksums.tsv', names)
    self.assertEmpty([name for name in names if name.endswith('BUILD')])

  def test_another_copy_of_the_sources_gives_the_same_bytes(self):
    copy = self.folder / 'copy'
    for name in ('beam_pipelines', 'gin', 'tinygin', 'tools/bazel'):
      shutil.copytree(_ROOT / name, copy / name)
    for name in ('LICENSE', 'README.md', 'pyproject.toml'):
      shutil.copy(_ROOT / name, copy)
    first = _build(_ROOT, self.folder / 'first')
    second = _build(copy, self.folder / 'second')
    self.assertEqual(first.read_bytes(), second.read_bytes())

  def test_bazel_builds_the_same_bytes(self):
    if 'TEST_TARGET' not in os.environ:
      self.skipTest('Needs Bazel, which builds //:wheel.')
    built = _build(_ROOT, self.folder)
    self.assertEqual((_ROOT / 'dist' / _NAME).read_bytes(), built.read_bytes())

  def test_errors_name_every_extra(self):
    extras = _PROJECT['optional-dependencies']
    self.assertCountEqual({*errors.EXTRAS.values()}, extras)
    for package, extra in errors.EXTRAS.items():
      self.assertIn(package, ' '.join(extras[extra]))


@functools.cache
def _installed() -> pathlib.Path:
  """Installs the wheel alone, beside the packages of this environment."""
  root = pathlib.Path(tempfile.mkdtemp(dir=absltest.TEST_TMPDIR.value))
  packages = root / 'site-packages'
  subprocess.run(
    [
      *(sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps'),
      *('--no-index', '--disable-pip-version-check', '--target'),
      *(packages, _build(_ROOT, root)),
    ],
    check=True,
  )
  return packages


class InstalledCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.packages = _installed()
    self.folder = pathlib.Path(self.create_tempdir().full_path)

  def run_command(self, *command, without=''):
    """Runs a command in a folder of its own.

    Args:
      *command: a program and its arguments.
      without: a package that Python must not find.
    """
    if without:
      missing = f'ModuleNotFoundError("No module", name={without!r})'
      (self.folder / f'hidden/{without}').mkdir(parents=True)
      (self.folder / f'hidden/{without}/__init__.py').write_text(
        f'raise {missing}'
      )
    path = [str(self.folder / 'hidden')] * bool(without) + [str(self.packages)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith('BUILD_')}
    return subprocess.run(
      command,
      cwd=self.folder,
      env={
        **kept,
        'PYTHONPATH': os.pathsep.join(path),
        'PATH': f'{self.packages / "bin"}:{os.environ["PATH"]}',
        'GIT_CEILING_DIRECTORIES': str(self.folder.parent),
      },
      capture_output=True,
      text=True,
    )


class InstalledTest(InstalledCase):
  def run_tinygin(self, *arguments, without=''):
    return self.run_command('tinygin', *arguments, without=without)

  def assert_fails(self, done, message):
    self.assertEqual((done.returncode, done.stdout), (2, ''), done.stderr)
    self.assertIn(message, done.stderr)
    self.assertNotIn('Traceback', done.stderr)

  def test_lists_its_programs(self):
    done = self.run_tinygin()
    self.assertEqual((done.returncode, done.stderr), (0, ''))
    self.assertRegex(done.stdout, r'\n  train +Trains what gin files declare\.')
    self.assertRegex(done.stdout, r'\n  verify +Reads a built data set')
    self.assertEqual(self.run_tinygin('--help').stdout, done.stdout)

  @parameterized.parameters(
    *('train', 'evaluate', 'predict', 'export', 'sweep', 'compare'),
    *('build', 'verify', 'tensorboard'),
  )
  def test_each_program_lists_its_flags(self, program):
    done = self.run_tinygin(program, '--help')
    self.assertEqual((done.returncode, done.stderr), (0, ''))
    self.assertIn('\n  --', done.stdout)

  def test_version(self):
    done = self.run_tinygin('--version')
    self.assertEqual(done.stdout, f'{_PROJECT["version"]}\n')

  def test_unknown_program(self):
    self.assert_fails(
      self.run_tinygin('trian'), 'Unknown program trian. Did you mean train?'
    )

  def test_reports_mistakes_like_every_other_start(self):
    done = self.run_tinygin(
      *('train', '--gin_file=gin/quickstart.gin', '--widht=8')
    )
    self.assert_fails(done, 'Unknown flag --widht. Did you mean --width?')
    done = self.run_tinygin(
      *('train', '--gin_file=gin/quickstart.gin'),
      '--gin_bindings=BATCH_SIZE = 0',
    )
    self.assert_fails(done, 'train.batch_size must be a positive integer.')
    self.assertEmpty([*self.folder.iterdir()])

  def test_shows_places_in_its_gin_files(self):
    done = self.run_tinygin(
      *('train', '--gin_file=gin/quickstart.gin', '--print_config')
    )
    self.assertEqual((done.returncode, done.stderr), (0, ''))
    self.assertRegex(
      done.stdout,
      r'train\.epochs = 6 +gin/quickstart\.gin:\d+ \(EPOCHS\), '
      r'used at gin/base\.gin:\d+\n',
    )

  def test_trains_and_records_what_was_run(self):
    done = self.run_tinygin(
      *('train', '--gin_file=gin/quickstart.gin', f'--gin_bindings={_SMALL}')
    )
    self.assertEqual(done.returncode, 0, done.stderr)
    (run,) = self.folder.glob('runs/quickstart-*')
    self.assertIn(
      f'TensorBoard    tinygin tensorboard --logdir={run.parent}\n',
      done.stdout,
    )
    self.assertTrue((self.folder / 'data/tiny_imagenet/quickstart').is_dir())
    (start,) = json.loads((run / 'provenance.json').read_text())['starts']
    self.assertIsNone(start['git'])
    self.assertEqual(start['versions']['tinygin'], _PROJECT['version'])
    # An installed package is no other library: its code is the run's.
    recorded = start['modules']['tinygin.training.trainer']
    self.assertEqual(recorded.keys(), {'file', 'sha256'})
    self.assertStartsWith(recorded['file'], str(self.packages))

  @parameterized.parameters(
    (
      'optuna',
      ['sweep', '--gin_file=gin/sweeps/quickstart.gin'],
      'optuna is not installed. Install tinygin with the extra that contains '
      'it: tinygin[sweeps]. Imported as tinygin.sweeps.declaration at '
      'gin/sweeps/quickstart.gin:',
    ),
    (
      'dask',
      ['build', '--gin_file=gin/data/quickstart.gin', '--dask_workers=2'],
      'dask is not installed. Install tinygin with the extra that contains it: '
      'tinygin[dask].',
    ),
    (
      'pygls',
      ['language-server'],
      'pygls is not installed. Install tinygin with the extra that contains '
      'it: tinygin[editor].',
    ),
  )
  def test_a_missing_extra_is_named(self, package, arguments, message):
    self.assert_fails(self.run_tinygin(*arguments, without=package), message)

  @parameterized.parameters(
    (
      'dask',
      ['build', '--gin_file=gin/data/quickstart.gin', '--temp_location=x'],
    ),
    ('optuna', ['train', '--help_config']),
  )
  def test_other_work_needs_no_extra(self, package, arguments):
    done = self.run_tinygin(*arguments, without=package)
    self.assertEqual(done.returncode, 0, done.stderr)


class OwnProjectTest(InstalledCase):
  def test_a_folder_with_nothing_but_the_page_works(self):
    page = (_ROOT / 'docs/own_project.md').read_text()
    blocks = re.findall(r'```(.*)\n([^`]*)```', page)
    for _, text in blocks:
      if named := re.match(r'# (\S+\.(?:gin|py))\n', text):
        path = self.folder / named[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    self._draw(60)
    commands = ''.join(text for info, text in blocks if 'shell' in info)
    self.assertIn('tinygin sweep', commands)
    done = self.run_command('bash', '-euc', commands)
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertIn('WarmupCosine.peak', done.stdout)
    self._check_provenance('runs/first')
    rates = (self.folder / 'sweeps/rates/results.csv').read_text()
    self.assertLen(rates.splitlines(), 3)

  def _draw(self, count):
    """Draws images, and lists them in a table."""
    (self.folder / 'drawings').mkdir()
    lines = []
    for number in range(count):
      color = ('red', 'green', 'blue')[number % 3]
      name = f'no ending {number}'
      Image.new('RGB', (20 + number, 30), color).save(
        self.folder / 'drawings' / name, 'PNG'
      )
      lines.append(f'{name}\t{color}\n')
    (self.folder / 'drawings.tsv').write_text(''.join(lines))

  def _check_provenance(self, run):
    text = (self.folder / run / 'provenance.json').read_text()
    (start,) = json.loads(text)['starts']
    head = start['modules']['my_lab.heads']
    self.assertEqual(
      head['text'], (self.folder / 'my_lab/heads.py').read_text()
    )


if __name__ == '__main__':
  absltest.main()
