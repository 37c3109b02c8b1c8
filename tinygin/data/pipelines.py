"""Options for running `tf.data` pipelines as written, without tuning."""

import os

import tensorflow as tf

# One for each CPU that the process may use.
PARALLEL_CALLS = len(os.sched_getaffinity(0))


def untuned_options() -> tf.data.Options:
  """Returns options that switch off tuning and rewriting.

  A tuned pipeline waits at its end for the tuner, which may sleep for as long
  as the pipeline has run. Rewriting a pipeline that captures a split's images
  allocates another tensor of their size.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return options
