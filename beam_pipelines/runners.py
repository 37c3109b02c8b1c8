"""Chooses the Beam runner that builds a data set, from the command line.

Imports Beam inside functions, because that takes seconds.
"""

import contextlib
import io
import logging
from collections.abc import Collection
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tinygin.config import components
from tinygin.config import errors
from tinygin.config import native_output

if TYPE_CHECKING:
  from apache_beam.options import pipeline_options


def parse(
  arguments: list[str], dask_workers: int | None, own_flags: Collection[str]
) -> 'pipeline_options.PipelineOptions | None':
  """Returns the options of a pipeline; None if there are none.

  Args:
    arguments: `--runner` and its options; see Beam.
    dask_workers: as for `local_cluster`, or None.
    own_flags: names of the program's flags, to suggest.

  Raises:
    errors.InputError: a flag is unknown, has a wrong value, or contradicts
      another one.
  """
  if dask_workers is not None:
    if any(_flag_name(each) == 'runner' for each in arguments):
      raise errors.InputError(
        '--dask_workers and --runner cannot be combined: --dask_workers starts '
        'a Dask cluster on this machine. For another Dask cluster, use '
        '--runner=DaskRunner and --dask_client_address.'
      )
    arguments = [*arguments, '--runner=DaskRunner']
  if not arguments:
    return None
  with native_output.hidden():
    import apache_beam as beam
    from apache_beam.options import pipeline_options

    # Beam knows only the options of imported runners.
    if any('dask' in each.lower() for each in arguments):
      from apache_beam.runners.dask import dask_runner

  options = pipeline_options.PipelineOptions(arguments)
  _check_flags(options, own_flags)
  standard = options.view_as(pipeline_options.StandardOptions)
  if standard.runner == 'DaskRunner':  # Beam only knows it by its full name.
    runner = dask_runner.DaskRunner
    standard.runner = f'{runner.__module__}.{runner.__name__}'
    dask_options = options.view_as(dask_runner.DaskOptions)
    if dask_options.partition_size is None is dask_options.npartitions:
      # Tasks are few and large. By default, 128 of them would form a partition.
      dask_options.partition_size = 1
  if standard.runner is not None:
    try:
      beam.Pipeline(options=options)
    except (ImportError, ValueError) as error:
      raise errors.InputError(
        f'Beam refuses --runner={standard.runner} with these options: {error}'
      ) from error
  return options


@contextlib.contextmanager
def local_cluster(
  options: 'pipeline_options.PipelineOptions', workers: int
) -> Iterator[None]:
  """Runs a Dask cluster on this machine, and adds its address to the options.

  Args:
    options: as `parse` returned them.
    workers: number of processes.
  """
  import dask.distributed
  from apache_beam.runners.dask import dask_runner

  # Dask logs every worker start and stop, even planned ones.
  logging.getLogger('distributed').setLevel(logging.WARNING)
  with dask.distributed.LocalCluster(
    n_workers=workers, threads_per_worker=1, dashboard_address=None
  ) as cluster:
    dask_options = options.view_as(dask_runner.DaskOptions)
    dask_options.address = cluster.scheduler_address
    with dask.distributed.Client(cluster) as client:
      client.run(_prepare_worker)
    try:
      yield
    finally:
      # Beam does not close its clients, which would log that the cluster is
      # gone.
      with contextlib.suppress(ValueError):
        while True:
          dask.distributed.default_client().close()
      # Processes log that others ended before them.
      logging.getLogger('distributed').setLevel(logging.CRITICAL)


def _flag_name(argument: str) -> str:
  return argument.removeprefix('--').partition('=')[0]


def _check_flags(
  options: 'pipeline_options.PipelineOptions', own_flags: Collection[str]
) -> None:
  """Raises `errors.InputError` for flags that Beam does not know."""
  usage = io.StringIO()
  try:
    with contextlib.redirect_stderr(usage), native_output.hidden():
      logging.disable(logging.WARNING)  # Beam warns of unknown flags.
      known = options.get_all_options()
      given = options.get_all_options(retain_unknown_options=True)
  except SystemExit as error:  # A wrong value.
    fault = usage.getvalue().rstrip().rpartition('error: ')[2]
    raise errors.InputError(f'A flag of Beam is wrong: {fault}.') from error
  finally:
    logging.disable(logging.NOTSET)
  names = {*known, *own_flags}
  unknown = [name for name in map(_flag_name, given) if name not in known]
  if unknown:
    raise errors.InputError(
      '\n'.join(
        f'Unknown flag --{name}.{components.nearest(name, names, "--")}'
        for name in unknown
      )
    )


def _prepare_worker() -> None:
  """Imports on a Dask worker what its tasks need, and silences its logs."""
  # Errors in tasks are raised where the tasks are started. The worker itself
  # logs cancelled tasks and a scheduler that ends before it.
  for name in ('distributed', 'distributed.worker'):
    logging.getLogger(name).setLevel(logging.CRITICAL)
  with native_output.hidden():
    import tensorflow  # noqa: F401  TFDS would show its messages later.

    from beam_pipelines import shards  # noqa: F401
