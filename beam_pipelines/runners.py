"""Which of Beam's runners builds a data set: from the command line to options.

Imports Beam inside functions, so that a wrong flag is told at once.
"""

import contextlib
import difflib
import logging
from collections.abc import Collection
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tinygin.config import native_output

if TYPE_CHECKING:
  from apache_beam.options import pipeline_options


def split_arguments(
  argv: list[str], own_flags: Collection[str]
) -> tuple[list[str], list[str]]:
  """Divides a command line into what is the program's own and what is Beam's.

  What looks like one of the program's flags, misspelt, is left to the program
  to refuse.

  Args:
    argv: the program's name and its arguments, `--name=value` or
      `--name value`.
    own_flags: names of the program's flags.

  Returns:
    The program's name with its own arguments; those for Beam, unchanged.
  """
  own, beam = [argv[0]], []
  target = own
  for argument in argv[1:]:
    if argument.startswith('--'):
      name = argument[2:].partition('=')[0]
      known = name in own_flags or name.removeprefix('no') in own_flags
      near = difflib.get_close_matches(name, own_flags, 1, cutoff=0.8)
      target = own if known or near else beam
    target.append(argument)
  return own, beam


@contextlib.contextmanager
def options(
  arguments: list[str], dask_workers: int | None
) -> Iterator['pipeline_options.PipelineOptions | None']:
  """Yields the options of a pipeline.

  Args:
    arguments: `--runner` and its options; see Beam.
    dask_workers: processes of a Dask cluster that is started on this machine,
      and stopped at the end; None: no such cluster.
  """
  if dask_workers is None:
    yield _parse(arguments) if arguments else None
    return
  import dask.distributed

  # Each coming and going of a worker is news to it, also those meant.
  logging.getLogger('distributed').setLevel(logging.WARNING)
  with dask.distributed.LocalCluster(
    n_workers=dask_workers, threads_per_worker=1, dashboard_address=None
  ) as cluster:
    address = f'--dask_client_address={cluster.scheduler_address}'
    with dask.distributed.Client(cluster) as client:
      client.run(_prepare_worker)
    try:
      yield _parse([*arguments, '--runner=DaskRunner', address])
    finally:
      # Beam leaves its clients open, which then miss their cluster, and say so.
      with contextlib.suppress(ValueError):
        while True:
          dask.distributed.default_client().close()
      # Of processes that end before or after those that they talk to.
      logging.getLogger('distributed').setLevel(logging.CRITICAL)


def _prepare_worker() -> None:
  """Imports, on a worker of Dask, what its tasks need, and keeps it quiet."""
  # What fails in a task is raised where the tasks are run. The worker itself
  # tells of tasks that are cancelled, and of a scheduler that ends before it.
  for name in ('distributed', 'distributed.worker'):
    logging.getLogger(name).setLevel(logging.CRITICAL)
  with native_output.hidden():
    import tensorflow  # noqa: F401  TFDS would import it later, and aloud.

    from beam_pipelines import shards  # noqa: F401


def _parse(arguments: list[str]) -> 'pipeline_options.PipelineOptions':
  with native_output.hidden():
    from apache_beam.options import pipeline_options

    # Options are known once their runner is imported.
    from apache_beam.runners.dask import dask_runner

  options = pipeline_options.PipelineOptions(arguments)
  standard = options.view_as(pipeline_options.StandardOptions)
  if standard.runner == 'DaskRunner':  # Beam knows it by its full name alone.
    runner = dask_runner.DaskRunner
    standard.runner = f'{runner.__module__}.{runner.__name__}'
    dask_options = options.view_as(dask_runner.DaskOptions)
    if dask_options.partition_size is None is dask_options.npartitions:
      # Tasks are few and large; by default 128 of them would go together.
      dask_options.partition_size = 1
  return options
