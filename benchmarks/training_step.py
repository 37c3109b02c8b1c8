"""Times a full training step of this project's networks against others.

  python -m benchmarks.training_step --network=residual --batch_size=32
      --precision=float32

The contenders take turns in one process, so that a busy moment of the machine
affects all of them:

  tinygin           this project's layers in a compiled step
  keras fit         the same network of stock Keras layers in `Model.fit`
  pytorch           an equal network of PyTorch, channels last
  pytorch compiled  the same network after `torch.compile`

PyTorch is left out if it is not installed. Each step is forward, backward and
Adam, on images and labels in memory. Run this on an idle machine: PyTorch's
threads spin while they wait for one another, so other programs slow PyTorch
down many times more than the other contenders.
Prints the median of each in images/s, and the ratios of those medians.
"""

import tinygin.config.environment  # noqa: F401  Before TensorFlow.

import functools
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tabulate
from absl import app
from absl import flags

_NETWORK = flags.DEFINE_enum(
  'network', 'residual', ['residual', 'inception'], 'Network to train.'
)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 32, 'Images a step.')
_PRECISION = flags.DEFINE_enum(
  'precision', 'float32', ['float32', 'bfloat16'], 'Of the activations.'
)
_ROUNDS = flags.DEFINE_integer('rounds', 7, 'Rounds that are timed.')
_STEPS = flags.DEFINE_integer('steps', 4, 'Steps of each contender in a round.')

CLASSES = 200
LEVELS = {'residual': (3, 6, 4), 'inception': (2, 4, 2)}
LEARNING_RATE = 1e-3


def main(argv: list[str]) -> None:
  """Runs the rounds and prints the table."""
  del argv
  random = np.random.default_rng(0)
  count = _BATCH_SIZE.value
  images = random.normal(size=(count, 64, 64, 3)).astype(np.float32)
  labels = random.integers(CLASSES, size=count)
  contenders = {
    'tinygin': _tinygin(images, labels),
    'keras fit': _keras_fit(images, labels),
  }
  if importlib.util.find_spec('torch') is None:
    print('pytorch: skipped, not installed.')
  else:
    contenders['pytorch'] = _pytorch(images, labels, compiled=False)
    contenders['pytorch compiled'] = _pytorch(images, labels, compiled=True)
  for run in contenders.values():
    run(3)  # Traces, allocates, warms the caches.
  speeds = {name: [] for name in contenders}
  for _ in range(_ROUNDS.value):
    for name, run in contenders.items():
      speeds[name].append(_STEPS.value * count / run(_STEPS.value))
  _report(speeds)


def _report(speeds: dict[str, list[float]]) -> None:
  ours = statistics.median(speeds['tinygin'])
  rows = [
    (
      name,
      statistics.median(values),
      min(values),
      max(values),
      ours / statistics.median(values),
    )
    for name, values in speeds.items()
  ]
  print(
    f'{_NETWORK.value}, batch {_BATCH_SIZE.value}, {_PRECISION.value}, '
    f'{_ROUNDS.value} rounds of {_STEPS.value} steps, images/s'
  )
  header = ('', 'median', 'least', 'most', 'tinygin is faster by')
  print(
    tabulate.tabulate(rows, header, floatfmt=('', '.1f', '.1f', '.1f', '.2f'))
  )


def _network(stock: bool):
  """Returns the network at its defaults, of stock Keras layers or of ours."""
  import keras

  from tinygin.models import layers

  policy = {'float32': 'float32', 'bfloat16': 'mixed_bfloat16'}
  keras.config.set_dtype_policy(policy[_PRECISION.value])
  source = keras.layers if stock else layers
  if _NETWORK.value == 'residual':
    return _residual_network(source)
  return _inception_network(source)


def _common(source) -> dict[str, Any]:
  import keras

  from tinygin.models import heads

  return {
    'image_size': 64,
    'channels': 3,
    'levels': LEVELS[_NETWORK.value],
    'normalization': functools.partial(
      source.BatchNormalization, momentum=0.99, epsilon=1e-3
    ),
    'activation': keras.layers.ReLU,
    'head': functools.partial(
      heads.linear_head, classes=CLASSES, dropout=0, l1=0, l2=0
    ),
  }


def _residual_network(source):
  from tinygin.models import blocks
  from tinygin.models import resnet
  from tinygin.models import tails

  separable = source.SeparableConv2D
  block = {'factor': 4, 'squeeze': separable, 'expand': separable}
  return resnet.TinyImageNet(
    width=32,
    tail=functools.partial(
      tails.separable_tail,
      filters=32,
      kernel_size=7,
      depth_multiplier=3,
      convolution=separable,
    ),
    bottleneck=functools.partial(blocks.bottleneck, **block),
    downsample=functools.partial(
      blocks.downsample, main=source.Conv2D, **block
    ),
    **_common(source),
  )


def _inception_network(source):
  import keras

  from tinygin.models import inception

  common = _common(source)
  mixing = {
    'convolution': source.Conv2D,
    'depthwise': keras.layers.DepthwiseConv2D,
  }
  layers = {'separable': source.SeparableConv2D, **mixing}
  incept = functools.partial(inception.incept, factor=8, **mixing)
  return inception.TinyInceptionNet(
    tail=functools.partial(
      inception.inception_tail,
      filters=64,
      kernel_size=7,
      strides=(1, 1, 1),
      normalization=common['normalization'],
      **layers,
    ),
    incept_a=functools.partial(incept, kernel_size=3, depths=(1, 2)),
    reduct_a=functools.partial(inception.reduct_a, **layers),
    incept_b=functools.partial(incept, kernel_size=7, depths=(1,)),
    reduct_b=functools.partial(inception.reduct_b, **layers),
    incept_c=functools.partial(incept, kernel_size=7, depths=(1,)),
    **common,
  )


def _tinygin(images, labels) -> Callable[[int], float]:
  import keras
  import tensorflow as tf

  model = _network(stock=False)
  optimizer = keras.optimizers.Adam(LEARNING_RATE)
  optimizer.build(model.trainable_variables)
  images, labels = tf.constant(images), tf.constant(labels)

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      logits = model(images, training=True)
      loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
      )
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    optimizer.apply(gradients, variables)
    return loss

  def run(steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
      loss = step()
    assert np.isfinite(loss.numpy())
    return time.perf_counter() - start

  return run


def _keras_fit(images, labels) -> Callable[[int], float]:
  import keras
  import tensorflow as tf

  class Clock(keras.callbacks.Callback):
    """Times the steps alone: `fit` itself waits for a while at its end."""

    def on_train_batch_begin(self, batch, logs=None):
      if batch == 0:
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
      self.end = time.perf_counter()

  model = _network(stock=True)
  model.compile(
    keras.optimizers.Adam(LEARNING_RATE),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
  )
  data = tf.data.Dataset.from_tensors((images, labels)).repeat().prefetch(1)
  clock = Clock()

  def run(steps: int) -> float:
    model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=[clock])
    return clock.end - clock.start

  return run


def _pytorch(images, labels, compiled: bool) -> Callable[[int], float]:
  import torch

  model = _torch_network().to(memory_format=torch.channels_last)
  if compiled:
    model = torch.compile(model)
  optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
  x = torch.from_numpy(images).permute(0, 3, 1, 2)
  x = x.contiguous(memory_format=torch.channels_last)
  y = torch.from_numpy(labels)
  bfloat16 = _PRECISION.value == 'bfloat16'

  def run(steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
      optimizer.zero_grad()
      with torch.autocast('cpu', torch.bfloat16, enabled=bfloat16):
        logits = model(x)
      loss = torch.nn.functional.cross_entropy(logits.float(), y)
      loss.backward()
      optimizer.step()
    assert np.isfinite(loss.item())
    return time.perf_counter() - start

  return run


def _torch_network():
  """Returns the network in PyTorch, at the same parameter count."""
  from benchmarks import torch_networks

  build = getattr(torch_networks, _NETWORK.value)
  model = build(LEVELS[_NETWORK.value], CLASSES)
  count = sum(parameter.numel() for parameter in model.parameters())
  expected = sum(np.prod(v.shape) for v in _network(True).trainable_variables)
  assert count == expected, (count, expected)
  return model


if __name__ == '__main__':
  app.run(main)
