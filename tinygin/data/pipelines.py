"""How TensorFlow runs pipelines of data: as they are written, untuned."""

import os

import tensorflow as tf

# Of a map at once: one for each CPU that the process may use.
PARALLEL_CALLS = len(os.sched_getaffinity(0))


def untuned_options() -> tf.data.Options:
  """Returns options that leave a pipeline as it is written.

  The end of a tuned pipeline waits for the tuner, which may sleep for as long
  as the pipeline has run; and rewriting one that captures a split's images
  fills another tensor of their size with zeros.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return options
