"""Times the input of training against `tfds.load(...).shuffle().batch()`.

  python -m benchmarks.input --directory=data/tiny_imagenet/stanford/1.0.0

The contenders take turns in one process, so that a busy moment of the machine
affects all of them:

  tfds             `as_dataset().shuffle(10,000).batch()`, from a new data set
  tfds again       the same data set iterated again; TFDS keeps small ones
  memory, first    reading the split into memory, and an epoch in shuffled order
  memory           the next epoch
  stored, first    loading the index of the files, and an epoch from the files
  stored           the next epoch
  standardised     an epoch from memory with standardized images
  NAME.gin         the same, augmented by the recipe gin/augment/NAME.gin

All but the last two kinds deliver uint8 images. Nothing is computed on them.
Memory is filled before each contender and not timed, as `_warm_memory`
explains. That takes 3 GiB. Prints the median images per second and per second
of CPU time (compare the latter if other programs use the machine), and their
ratios to those of TFDS in the same kind of epoch.
"""

import tinygin.config.environment  # noqa: F401  Before TensorFlow.

import collections
import gc
import pathlib
import statistics
import time
from collections.abc import Callable
from collections.abc import Iterator

import numpy as np
import tabulate
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import app
from absl import flags

from tinygin.config import loading
from tinygin.config import paths
from tinygin.data import batches
from tinygin.data import preprocessing
from tinygin.data import source

_DIRECTORY = flags.DEFINE_string(
  'directory', None, 'A TFDS data set. Without: the quickstart one, built.'
)
_SPLIT = flags.DEFINE_string('split', 'train', 'Which split of it.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 32, 'Images in a batch.')
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'Rounds that are timed.')

_QUICKSTART = 'gin/quickstart.gin'
_SHUFFLE_BUFFER = 10_000
_AUGMENTED_IMAGES = 8192
_FILLED_BYTES = 3 * 2**30


def main(argv: list[str]) -> None:
  """Runs the rounds and prints the table."""
  del argv
  experiment = _load([_QUICKSTART])
  directory = _DIRECTORY.value or source.prepare(experiment.dataset, True)
  directory = paths.find(directory)
  strategy = tf.distribute.MirroredStrategy(['/cpu:0'])
  augmenting = _augmenting(directory, strategy)
  kinds = [
    lambda: _tfds(directory),
    lambda: _reading('memory', directory, strategy, 2**20),
    lambda: _reading('stored', directory, strategy, 0),
    lambda: augmenting,
  ]
  speeds = collections.defaultdict(list)
  for each in range(1 + _ROUNDS.value):
    for contenders in kinds:
      for name, run in contenders().items():
        _warm_memory()
        start = time.perf_counter(), time.process_time()
        count = run()
        end = time.perf_counter(), time.process_time()
        if each:  # The first round traces and fills the caches.
          speeds[name].append(
            [count / (b - a) for a, b in zip(start, end, strict=True)]
          )
  _report(directory, speeds)


def _warm_memory() -> None:
  """Frees unused memory, and fills more memory than a run needs.

  A virtual machine requests each page from its host on first use, and may
  return pages that were free for some seconds. Getting the pages of 100,000
  images can take as long as decoding the images.
  """
  gc.collect()
  np.ones(_FILLED_BYTES, np.uint8)


def _tfds(directory: str) -> dict[str, Callable[[], int]]:
  builder = tfds.builder_from_directory(directory)
  steps = builder.info.splits[_SPLIT.value].num_examples // _BATCH_SIZE.value
  kept = []

  def first() -> int:
    dataset = builder.as_dataset(split=_SPLIT.value, as_supervised=False)
    dataset = dataset.map(lambda each: (each['image'], each['label']))
    dataset = dataset.shuffle(_SHUFFLE_BUFFER, seed=1).batch(_BATCH_SIZE.value)
    kept[:] = [dataset.prefetch(tf.data.AUTOTUNE)]
    return again()

  def again() -> int:
    return _drain(iter(kept[0]), steps)

  return {'tfds': first, 'tfds again': again}


def _reading(
  name: str, directory: str, strategy: tf.distribute.Strategy, limit_mib: int
) -> dict[str, Callable[[], int]]:
  kept = []

  def first() -> int:
    split = source.read(directory, _SPLIT.value, limit_mib)
    dataset = _batches(split, strategy, [], lambda x: tf.cast(x, tf.uint8))
    kept[:] = [iter(dataset), split.size // _BATCH_SIZE.value]
    return again()

  def again() -> int:
    return _drain(*kept)

  return {f'{name}, first': first, name: again}


def _augmenting(
  directory: str, strategy: tf.distribute.Strategy
) -> dict[str, Callable[[], int]]:
  split = source.read(directory, _SPLIT.value, 2**20)
  recipes = {'standardised': []}
  for path in sorted(pathlib.Path(paths.find('gin/augment')).glob('*.gin')):
    # The quickstart includes the flips.
    files = {_QUICKSTART, *([] if path.stem == 'flip' else [str(path)])}
    recipes[path.name] = _load(sorted(files, reverse=True)).augmentation
  standardize = preprocessing.per_image_standardization
  steps = min(split.size, _AUGMENTED_IMAGES) // _BATCH_SIZE.value

  def contender(augmentation) -> Callable[[], int]:
    dataset = _batches(split, strategy, augmentation, standardize)
    # An iterator that is kept would augment ahead while others are timed.
    return lambda: _drain(iter(dataset), steps)

  return {name: contender(each) for name, each in recipes.items()}


def _load(gin_files: list[str]):
  return loading.load(gin_files, [], root='train').build()


def _batches(split, strategy, augmentation, preprocess):
  return batches.training(
    split,
    strategy,
    batch_size=_BATCH_SIZE.value,
    first_step=0,
    seed=1,
    augmentation=augmentation,
    preprocessing=preprocess,
  )


def _drain(iterator: Iterator, steps: int) -> int:
  """Takes batches like the training loop and returns the number of images."""
  _take(iterator, tf.constant(steps))
  return steps * _BATCH_SIZE.value


@tf.function(reduce_retracing=True)
def _take(iterator: Iterator, steps: tf.Tensor) -> None:
  for _ in tf.range(steps):
    next(iterator)


def _report(directory: str, speeds: dict[str, list[list[float]]]) -> None:
  medians = {
    name: [statistics.median(each) for each in zip(*values, strict=True)]
    for name, values in speeds.items()
  }
  rows = []
  for name, (wall, cpu) in medians.items():
    first = name == 'tfds' or name.endswith('first')
    reference = medians['tfds' if first else 'tfds again']
    least, most = (f(each[0] for each in speeds[name]) for f in (min, max))
    rows.append(
      (name, wall, least, most, wall / reference[0], cpu, cpu / reference[1])
    )
  print(
    f'{_SPLIT.value} of {directory}, batch {_BATCH_SIZE.value}, '
    f'{_ROUNDS.value} rounds'
  )
  header = ['images a second', 'median', 'least', 'most', 'times TFDS']
  header += ['a CPU second', 'times TFDS']
  floats = ('', ',.0f', ',.0f', ',.0f', '.2f', ',.0f', '.2f')
  print(tabulate.tabulate(rows, header, floatfmt=floats))


if __name__ == '__main__':
  app.run(main)
