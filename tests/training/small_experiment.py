"""A small experiment on random images, for tests of the trainer."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2

from tinygin.data import augmentation
from tinygin.data import preprocessing
from tinygin.data import source
from tinygin.models import layers
from tinygin.reporting import logs
from tinygin.training import experiment
from tinygin.training import losses
from tinygin.training import schedules

CLASSES = 6


class Dataset:
  """Stands for a data set that is built."""

  directory = 'memory'

  def is_built(self):
    return True


def split(name, size, seed):
  """Returns images of one color for each class, with noise."""
  generator = np.random.default_rng(seed)
  labels = generator.integers(0, CLASSES, size)
  colours = np.random.default_rng(0).integers(60, 200, (CLASSES, 1, 1, 3))
  noise = generator.normal(scale=30, size=(size, 8, 8, 3))
  images = np.clip(colours[labels] + noise, 0, 255)
  return source.Split(
    name=name,
    images=tf.constant(images, tf.uint8),
    labels=tf.constant(labels, tf.int64),
    class_names=tuple(f'class {number}' for number in range(CLASSES)),
  )


def read(directory, name, memory_limit_mib):
  """Stands for `source.read`."""
  del directory, memory_limit_mib
  return split(name, {'train': 90, 'validation': 37}[name], len(name))


def patched():
  """Puts the random images in place of a data set on disk."""
  return mock.patch.object(source, 'read', read)


def normalization():
  """Returns the project's batch normalization, which replicas share."""
  return layers.BatchNormalization(momentum=0.9, epsilon=1e-3)


def network(dropout=0.1, normalization=normalization):
  """Builds a network of the project's layers; two of them hold state."""
  return keras.Sequential(
    [
      keras.Input((8, 8, 3)),
      layers.Conv2D(8, 3, strides=2),
      normalization(),
      keras.layers.ReLU(),
      keras.layers.GlobalAveragePooling2D(),
      layers.Dropout(dropout),
      keras.layers.Dense(CLASSES, name='head'),
    ],
    name='small',
  )


def make(strategy, **changes):
  """Returns the experiment, with some of its fields changed."""
  fields = {
    'run_dir': 'unused',
    'seed': 3,
    'dataset': Dataset(),
    'train_split': 'train',
    'validation_split': 'validation',
    'memory_limit_mib': 100,
    'augmentation': [augmentation.HorizontalFlip(probability=0.5)],
    'preprocessing': preprocessing.per_image_standardization,
    'model': network,
    'head': ['small/head/*'],
    'init_from': None,
    'init_head': True,
    'trainable': ['*'],
    'parameter_groups': {},
    'loss': lambda labels, logits: losses.cross_entropy(
      labels, logits, label_smoothing=0.0
    ),
    'optimizer': keras.optimizers.Adam,
    'learning_rate': schedules.Constant(rate=0.03),
    'reduce_on_plateau': None,
    'early_stopping': None,
    'clip_norm': None,
    'average_decay': None,
    'strategy': strategy,
    'precision': 'float32',
    'tensor_float_32': False,
    'deterministic': True,
    'jit_compile': False,
    'accumulation': 1,
    'batch_size': 8,
    'evaluation_batch_size': 16,
    'epochs': 2,
    'evaluate_every': '10 steps',
    'save_every': '10 steps',
    'log_every': '5 steps',
    'steps_per_loop': 4,
    'profile_steps': None,
    'keep_checkpoints': 2,
    'callbacks': [],
    **changes,
  }
  return experiment.Experiment(**fields)


def events(directory):
  """Returns writer, tag and step of all that TensorBoard reads, in order."""
  found = []
  for path in directory.glob('**/events.out.*'):
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      event = event_pb2.Event.FromString(record)
      tags = [value.tag for value in event.summary.value]
      tags += ['graph'] * event.HasField('graph_def')
      found += [(path.parent.name, tag, event.step) for tag in tags]
  return sorted(
    (writer if writer in logs.SPLITS else '', tag, step)
    for writer, tag, step in found
  )
