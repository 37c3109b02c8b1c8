"""Options for running `tf.data` pipelines as written, without tuning."""

import math
import os
import pathlib

import tensorflow as tf

_CONTROL_GROUPS = pathlib.Path('/sys/fs/cgroup')


def available_cpus(control_groups: pathlib.Path = _CONTROL_GROUPS) -> int:
  """Returns how many CPUs the process may use at once, at least 1.

  That is the number of CPUs it may run on, or the CPU time that its container
  may use, if that is less.

  Args:
    control_groups: the container's root in Linux' file system of control
      groups, of version 1 or 2.
  """
  return max(1, min(len(os.sched_getaffinity(0)), _quota(control_groups)))


def _quota(control_groups: pathlib.Path) -> float:
  """Returns the container's CPU time, in CPUs; infinite if not limited."""
  files = ['cpu.max']  # Of version 2; holds both numbers.
  if not (control_groups / files[0]).exists():
    files = ['cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us']
  try:
    texts = [(control_groups / file).read_text('utf-8') for file in files]
  except OSError:
    return math.inf
  quota, period = ' '.join(texts).split()
  unlimited = quota in ('max', '-1')
  return math.inf if unlimited else math.ceil(int(quota) / int(period))


PARALLEL_CALLS = available_cpus()


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
