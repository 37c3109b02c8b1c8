"""1, 2 and 4 replicas see the same examples and have the same losses.

Each number has a process of its own: in one process, TensorFlow mixes up the
all-reduces of groups of different sizes.
"""

import dataclasses
import functools
import json
import os
import pathlib

import keras
import tensorflow as tf
from absl.testing import absltest

from tests.training import small_experiment
from tinygin.data import batches
from tinygin.training import strategies
from tinygin.training import trainer


def _numbers(strategy):
  """Returns the examples of some batches, by their number in the split."""
  numbers = tf.range(50)[:, None, None, None]
  split = small_experiment.split('train', 50, 0)
  stream = batches.training(
    dataclasses.replace(
      split, images=tf.cast(tf.tile(numbers, (1, 8, 8, 3)), tf.uint8)
    ),
    strategy,
    batch_size=8,
    first_step=3,
    seed=1,
    augmentation=[],
    preprocessing=tf.identity,
  )
  parts = []
  for _, (images, _) in zip(range(13), stream, strict=False):
    parts += strategy.experimental_local_results(images)
  return tf.concat(parts, 0)[:, 0, 0, 0].numpy().tolist()


def _losses(strategy, directory):
  """Returns the loss of each step, and of each evaluation."""
  with small_experiment.patched():
    trainer.train(
      small_experiment.make(
        strategy,
        log_every='1 step',
        optimizer=functools.partial(keras.optimizers.SGD, momentum=0.9),
        # Each replica draws dropout of its own, so it is left out.
        model=functools.partial(small_experiment.network, dropout=0),
      ),
      directory,
      may_build=False,
      describe=lambda step: None,
    )
  lines = (directory / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line)['loss'] for line in lines]


def _found(replicas, directory):
  """Returns examples and losses of a number of replicas, from a process.

  TensorFlow is imported here but never runs here, so that a fork is safe.
  """
  child = os.fork()
  if not child:
    status = 1
    try:
      strategy = strategies.mirrored(logical_cpus=replicas)
      found = _numbers(strategy), _losses(strategy, directory)
      (directory / 'found').write_text(json.dumps(found))
      status = 0
    finally:
      os._exit(status)
  status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
  if status:
    raise AssertionError(f'{replicas} replicas: exit status {status}')
  return json.loads((directory / 'found').read_text())


class ReplicaCountsTest(absltest.TestCase):
  def test_same_examples_in_the_same_order_and_same_losses(self):
    numbers, losses = {}, {}
    for replicas in (1, 2, 4):
      directory = pathlib.Path(self.create_tempdir().full_path)
      numbers[replicas], losses[replicas] = _found(replicas, directory)
    self.assertLen(numbers[1], 13 * 8)
    self.assertLen(set(numbers[1]), 50)
    self.assertLen(losses[1], 23 + 3)
    self.assertLess(losses[1][-1], losses[1][0])
    for replicas in (2, 4):
      self.assertEqual(numbers[replicas], numbers[1])
      for ours, theirs in zip(losses[replicas], losses[1], strict=True):
        self.assertAlmostEqual(ours, theirs, delta=1e-5)


if __name__ == '__main__':
  absltest.main()
