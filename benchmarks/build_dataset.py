"""Times building a data set, compared with other ways to build it.

  python -m benchmarks.build_dataset --archive=tiny-imagenet-mini.zip
      --photos=FOLDER --scale=200000

Records: the images of the archive fill a larger archive in the layout of
tiny-imagenet-200. These take turns, each in its own process:

  pipeline     this project's pipeline, from the list of images to all records
  build        the same, with listing and checking the archive and writing the
               metadata, without imports
  command      all of //beam_pipelines:build_dataset, with imports
  tfds         a generator builder as in TFDS's guide, which extracts the
               archive and yields the images' paths; without imports
  tfds, zip    a generator builder that reads the images from the archive

Resizing: photographs (*.JPEG below the folder) become 64 x 64, on one core:

  decode       Pillow decodes them
  FILTER       this project decodes, resizes and encodes them
  imagemagick  `convert` with the Mitchell filter, as the demo called it
               (skipped if ImageMagick is not installed)

Scale: an archive like that of ILSVRC2012, with so many images of 64 x 64 pixels
in 1,000 classes, lies in a bucket on this machine (skipped without the servers
that tools/clusters/fetch.py downloads). It is built once by one worker and once
by two, and verified.

Prints medians, ratios, targets, the peak memory of all processes together, and
the difference of each filter from a reference in float64. For the scale, also
the peak memory of the first process, and the requests to the bucket.
"""

import tinygin.config.environment  # noqa: F401  Before TensorFlow.

import collections
import io
import itertools
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable
from collections.abc import Iterator

import numpy as np
import tabulate
from absl import app
from absl import flags
from PIL import Image

from tools.clusters import engines
from tools.clusters import fetch

_ARCHIVE = flags.DEFINE_string(
  'archive', None, 'A zip file in the layout of tiny-imagenet-200.'
)
_PHOTOS = flags.DEFINE_string('photos', None, 'A folder of JPEGs of any size.')
_EXAMPLES = flags.DEFINE_integer(
  'examples', 110_000, 'Number of examples in the data set.'
)
_SCALE = flags.DEFINE_integer(
  'scale', None, 'Number of images of an archive in a bucket.'
)
_ROUNDS = flags.DEFINE_integer(
  'rounds', 3, 'Number of rounds; medians are shown.'
)

_SIZE = 64
_PHOTOS_USED = 100
_REFERENCE_PHOTOS = 12
_PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ROOT = 'tiny-imagenet-200/'
_CONVERT = (
  *('-limit', 'thread', '1', '-filter', 'Mitchell', '-resize', '64x64!'),
  *('-quality', '98', '-sampling-factor', '4:4:4'),
)

# Each prints its seconds. argv: the archive, the folder, the classes.
_BUILD = """
import sys, time
from beam_pipelines import dataset, shards, tasks, tiny_imagenet
from beam_pipelines.sources import stanford
archive, folder, classes = sys.argv[1:]
run, seconds = tasks.run, []
def timed(*arguments):
  start = time.monotonic()
  try:
    return run(*arguments)
  finally:
    seconds.append(time.monotonic() - start)
tasks.run = timed
start = time.monotonic()
dataset.Dataset(
  name='b', data_dir=folder, source=stanford.Stanford(archive),
  classes=int(classes), image_size=64, resize=None, examples_per_shard=2500,
  max_bad_images=0,
).build()
print(sum(seconds), time.monotonic() - start)
"""
_GENERATOR = """
import pathlib, sys, time, zipfile
import tensorflow_datasets as tfds
archive, folder, classes, extract = sys.argv[1:]
class Plain(tfds.core.GeneratorBasedBuilder):
  VERSION = tfds.core.Version('1.0.0')
  pkg_dir_path = pathlib.Path(folder)
  def _info(self):
    return tfds.core.DatasetInfo(builder=self, features=tfds.features.
      FeaturesDict({
        'image': tfds.features.Image(shape=(64, 64, 3),
                                     encoding_format='jpeg'),
        'label': tfds.features.ClassLabel(num_classes=int(classes)),
        'id': tfds.features.Text(), 'bbox': tfds.features.BBoxFeature(),
      }))
  def _split_generators(self, dl_manager):
    if extract == 'extract':
      root = dl_manager.extract(archive)
      read = content = lambda name: root / name
    else:
      root = zipfile.ZipFile(archive)
      read, content = (lambda name: zipfile.Path(root, name)), root.read
    return {'train': self._generate_examples(read, content)}
  def _generate_examples(self, read, content):
    ids = read('tiny-imagenet-200/wnids.txt').read_text().split()
    for label, wnid in enumerate(sorted(ids)):
      prefix = f'tiny-imagenet-200/train/{wnid}/'
      text = read(f'{prefix}{wnid}_boxes.txt').read_text()
      for line in text.splitlines():
        name, *box = line.split('\\t')
        x0, y0, x1, y1 = (int(each) / 64 for each in box)
        yield name, {'image': content(f'{prefix}images/{name}'),
                     'label': label, 'id': name,
                     'bbox': tfds.features.BBox(y0, x0, y1, x1)}
builder = Plain(data_dir=folder)
start = time.monotonic()
builder.download_and_prepare()
print(time.monotonic() - start)
"""


def main(argv: list[str]) -> None:
  """Runs the parts that have their input."""
  del argv
  with tempfile.TemporaryDirectory() as folder:
    if _ARCHIVE.value is None:
      print('Records: skipped, no --archive.')
    else:
      _time_records(folder)
    if _PHOTOS.value is None:
      print('Resizing: skipped, no --photos.')
    else:
      _time_resizing(folder)
    if _SCALE.value is None:
      print('Scale: skipped, no --scale.')
    else:
      _time_scale(pathlib.Path(folder))


def _time_records(folder: str) -> None:
  """Times the writing of records and prints a table."""
  archive = os.path.join(folder, 'large.zip')
  classes = _enlarge(_ARCHIVE.value, archive, _EXAMPLES.value)
  bindings = (
    f"dataset.name = 'b'; dataset.data_dir = '{folder}/out'; CLASSES = "
    f"{classes}; stanford.source = '{archive}'"
  )
  arguments = [archive, f'{folder}/out', str(classes)]
  commands = {
    'build': ['-c', _BUILD, *arguments],
    'command': ['-m', 'beam_pipelines.build_dataset',
                '--gin_file=gin/data/stanford.gin',
                f'--gin_bindings={bindings}'],
    'tfds': ['-c', _GENERATOR, *arguments, 'extract'],
    'tfds, zip': ['-c', _GENERATOR, *arguments, 'read'],
  }  # fmt: skip
  seconds = collections.defaultdict(list)
  memory = collections.defaultdict(int)
  for _ in range(_ROUNDS.value):
    for name, command in commands.items():
      elapsed, output, peak, _ = _run(command)
      last = output.splitlines()[-1].split()
      if name == 'build':
        seconds['pipeline'].append(float(last[0]))
      seconds[name].append(elapsed if name == 'command' else float(last[-1]))
      memory[name] = max(memory[name], peak)
      shutil.rmtree(f'{folder}/out')
  medians = {name: statistics.median(each) for name, each in seconds.items()}
  targets = {'pipeline': '0.40', 'command': '0.65'}
  rows = [
    [
      name,
      each,
      each / medians['tfds'],
      targets.get(name),
      memory[name] / 2**30 if name in memory else None,
    ]
    for name, each in medians.items()
  ]
  print(f'\n{_EXAMPLES.value:,} examples, median of {_ROUNDS.value}')
  headers = ['', 'seconds', 'of tfds', 'target', 'peak GiB']
  print(tabulate.tabulate(rows, headers, floatfmt='.2f'))
  print('Target of the memory: 1.2 GiB, of all processes together.')


def _run(
  arguments: list[str], variables: dict[str, str] | None = None
) -> tuple[float, str, int, int]:
  """Runs Python.

  Args:
    arguments: of Python.
    variables: of the environment. A `PYTHONPATH` is added to the project's.

  Returns:
    Seconds, output, and the peak memory in bytes of all processes and of the
    first process.
  """
  environment = os.environ | {'TF_CPP_MIN_LOG_LEVEL': '3'} | (variables or {})
  environment['PYTHONPATH'] = os.pathsep.join(
    [_PROJECT, (variables or {}).get('PYTHONPATH', '')]
  )
  start = time.monotonic()
  process = subprocess.Popen(
    [sys.executable, *arguments], cwd=_PROJECT, env=environment, text=True,
    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
  )  # fmt: skip
  peaks, first_peaks = [0], [0]

  def watch() -> None:
    while process.poll() is None:
      peaks.append(_tree_memory(process.pid))
      first_peaks.append(_memory(pathlib.Path(f'/proc/{process.pid}')))
      time.sleep(0.1)

  watcher = threading.Thread(target=watch)
  watcher.start()
  output, error = process.communicate()
  elapsed = time.monotonic() - start
  watcher.join()
  if process.returncode:
    raise RuntimeError(error)
  return elapsed, output, max(peaks), max(first_peaks)


def _tree_memory(root: int) -> int:
  """Returns the proportional memory of a process tree, in bytes."""
  total, ahead = 0, [root]
  while ahead:
    process = pathlib.Path(f'/proc/{ahead.pop()}')
    try:
      for task in (process / 'task').iterdir():
        ahead += map(int, (task / 'children').read_text().split())
    except (OSError, ValueError):
      continue  # It has ended.
    total += _memory(process)
  return total


def _memory(process: pathlib.Path) -> int:
  """Returns the proportional memory of a process, in bytes."""
  try:
    rollup = (process / 'smaps_rollup').read_text()
  except OSError:
    return 0  # It has ended.
  return sum(
    int(line.split()[1]) * 1024
    for line in rollup.splitlines()
    if line.startswith('Pss:')
  )


def _enlarge(source: str, target: str, count: int) -> int:
  """Makes an archive with `count` training images; returns its classes."""
  with (
    zipfile.ZipFile(source) as old,
    zipfile.ZipFile(target, 'w') as new,
  ):
    names = [name for name in old.namelist() if '/images/' in name]
    images = [old.read(name) for name in names if name.endswith('.JPEG')]
    ids = old.read(f'{_ROOT}wnids.txt').decode().split()
    for name in ('wnids.txt', 'words.txt'):
      new.writestr(_ROOT + name, old.read(_ROOT + name))
    forever = itertools.cycle(images)
    shares = [len(part) for part in np.array_split(range(count), len(ids))]
    for wnid, share in zip(ids, shares, strict=True):
      folder = f'{_ROOT}train/{wnid}'
      files = [f'{wnid}_{i}.JPEG' for i in range(share)]
      for file in files:
        new.writestr(f'{folder}/images/{file}', next(forever))
      boxes = ''.join(f'{file}\t0\t0\t62\t62\n' for file in files)
      new.writestr(f'{folder}/{wnid}_boxes.txt', boxes)
    new.writestr(f'{_ROOT}val/images/val_0.JPEG', images[0])
    new.writestr(
      f'{_ROOT}val/val_annotations.txt', f'val_0.JPEG\t{ids[0]}\t0\t0\t62\t62\n'
    )
  return len(ids)


def _time_scale(folder: pathlib.Path) -> None:
  """Builds from an archive in a bucket and prints a table."""
  size = _write_tar(folder / 'train.tar', _SCALE.value)
  try:
    with (
      engines.gcs(folder) as store,
      (folder / 'train.tar').open('rb') as archive,
    ):
      request = urllib.request.Request(
        store.environment['STORAGE_EMULATOR_HOST']
        + '/upload/storage/v1/b/bucket/o?uploadType=media&name=train.tar',
        archive,
        {'Content-Length': str(size)},
      )
      urllib.request.urlopen(request).close()
      rows = [
        row for workers in (1, 2) for row in _scale_rows(store, folder, workers)
      ]
  except fetch.MissingError as error:
    print(f'Scale: skipped. {error}')
    return
  print(f'\n{_SCALE.value:,} images, an archive of {size / 2**20:,.0f} MiB')
  headers = ['', 'seconds', 'peak GiB', 'first GiB', 'requests']
  print(tabulate.tabulate(rows, headers, floatfmt='.2f', intfmt=','))
  print('Target of the memory of the first process: 1 GiB.')


def _scale_rows(
  store: engines.Bucket, folder: pathlib.Path, workers: int
) -> Iterator[list[object]]:
  """Yields what building and verifying took."""
  bindings = (
    f"dataset.name = 'scale'; dataset.data_dir = '{store.url}/{workers}';"
    f"CLASSES = 1000; ilsvrc.source = '{store.url}/train.tar';"
    'ilsvrc.grouping = None; ilsvrc.examples_per_group = None'
  )
  commands = {
    f'build, {workers} workers': [
      'build_dataset', '--gin_file=gin/data/ilsvrc61.gin',
      f'--gin_bindings={bindings}', f'--dask_workers={workers}',
    ],
    'verify': ['verify_dataset', f'--data_dir={store.url}/{workers}'],
  }  # fmt: skip
  for name, (program, *arguments) in commands.items():
    log = folder / 'gcs.log'
    before = log.stat().st_size
    command = ['-m', f'beam_pipelines.{program}', *arguments]
    seconds, _, peak, first = _run(command, store.environment)
    with log.open(encoding='utf-8') as file:
      file.seek(before)
      requests = file.read().count(' HTTP/1.1')
    yield [name, seconds, peak / 2**30, first / 2**30, requests]


def _write_tar(path: pathlib.Path, count: int) -> int:
  """Writes an archive like that of ILSVRC2012; returns its size in bytes."""
  generator = np.random.default_rng(0)
  with tarfile.open(path, 'w') as archive:
    for label, part in enumerate(np.array_split(range(count), 1000)):
      inner = io.BytesIO()
      with tarfile.open(fileobj=inner, mode='w') as tar:
        for i in range(len(part)):
          noise = generator.integers(0, 256, (8, 8, 3), np.uint8)
          image = Image.fromarray(noise).resize((_SIZE, _SIZE), Image.BICUBIC)
          content = io.BytesIO()
          image.save(content, 'JPEG')
          _add(tar, f'n{label:08}_{i}.JPEG', content.getvalue())
      _add(archive, f'n{label:08}.tar', inner.getvalue())
  return path.stat().st_size


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
  member = tarfile.TarInfo(name)
  member.size = len(content)
  archive.addfile(member, io.BytesIO(content))


def _time_resizing(folder: str) -> None:
  """Times the resizing of photographs and prints a table."""
  from beam_pipelines import resize

  paths = sorted(pathlib.Path(_PHOTOS.value).rglob('*.JPEG'))[:_PHOTOS_USED]
  photos = [path.read_bytes() for path in paths]
  jpeg = resize.Jpeg(98, '4:4:4')
  contenders: dict[str, Callable[[bytes], object]] = {
    'decode': lambda photo: Image.open(io.BytesIO(photo)).load()
  }
  for name in ('box', 'catmull_rom', 'lanczos', 'mitchell'):
    apply = resize.Resize(name, None, jpeg).apply
    contenders[name] = lambda photo, apply=apply: apply(photo, _SIZE)
  seconds = collections.defaultdict(list)
  for _ in range(_ROUNDS.value):
    for name, contender in contenders.items():
      start = time.process_time()
      for photo in photos:
        contender(photo)
      seconds[name].append(time.process_time() - start)
    if convert := _imagemagick():
      seconds['imagemagick'].append(_time_imagemagick(convert, paths, folder))
  rates = {
    name: len(photos) / statistics.median(each)
    for name, each in seconds.items()
  }
  magick = rates.get('imagemagick')
  rows = [
    [
      name,
      rate,
      rate / rates['decode'],
      magick and rate / magick,
      _psnr(photos, name),
    ]
    for name, rate in rates.items()
  ]
  print(f'\n{len(photos)} photographs, one core, median of {_ROUNDS.value}')
  headers = ['', 'images/s', 'of decode', 'of imagemagick', 'dB']
  print(
    tabulate.tabulate(rows, headers, floatfmt=('', '.0f', '.2f', '.1f', '.1f'))
  )
  print('Targets: box 0.75 of decode; mitchell 5 of imagemagick, at 50 dB.')
  if magick is None:
    print('imagemagick: skipped, not installed.')


def _imagemagick() -> str | None:
  """Returns the path of ImageMagick's `convert`, or None."""
  for folder in os.get_exec_path():
    if convert := shutil.which('convert', path=folder):
      version = subprocess.run(
        [convert, '-version'], capture_output=True, check=False
      )
      if b'ImageMagick' in version.stdout:
        return convert
  return None


def _time_imagemagick(
  convert: str, paths: list[pathlib.Path], folder: str
) -> float:
  """Returns the CPU seconds of one command for each photograph."""
  before = os.times()
  for path in paths:
    subprocess.run(
      [convert, path, *_CONVERT, f'{folder}/small.jpeg'], check=True
    )
  after = os.times()
  return (
    after.children_user
    + after.children_system
    - before.children_user
    - before.children_system
  )


def _psnr(photos: list[bytes], name: str) -> float | None:
  """Returns the PSNR of a filter against its definition, in dB."""
  from beam_pipelines import resize

  kernels = {
    'box': lambda x: (x > -0.5) & (x <= 0.5),
    'catmull_rom': lambda x: _cubic(np.abs(x), 0.0, 0.5),
    'lanczos': lambda x: np.where(
      np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0
    ),
    'mitchell': lambda x: _cubic(np.abs(x), 1 / 3, 1 / 3),
  }
  if name not in kernels:
    return None
  errors = []
  for photo in photos[:_REFERENCE_PHOTOS]:
    image = Image.open(io.BytesIO(photo)).convert('RGB')
    expected = np.asarray(image, np.float64)
    for axis in (0, 1):
      before = expected.shape[axis]
      centres = (np.arange(_SIZE)[:, None] + 0.5) * before / _SIZE
      distances = np.arange(before) + 0.5 - centres
      weights = kernels[name](distances / max(before / _SIZE, 1)).astype(float)
      weights /= weights.sum(1, keepdims=True)
      expected = np.moveaxis(
        np.tensordot(weights, expected, (1, axis)), 0, axis
      )
    found = np.asarray(resize.resample(image, _SIZE, name), np.float64)
    errors.append(np.mean((found - expected.clip(0, 255)) ** 2))
  return float(10 * np.log10(255**2 / np.mean(errors)))


def _cubic(x: np.ndarray, b: float, c: float) -> np.ndarray:
  """Mitchell and Netravali's kernel, as published."""
  near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b
  far = (
    (-b - 6 * c) * x**3
    + (6 * b + 30 * c) * x**2
    + (-12 * b - 48 * c) * x
    + 8 * b
    + 24 * c
  )
  return np.where(x < 1, near, np.where(x < 2, far, 0.0)) / 6


if __name__ == '__main__':
  app.run(main)
