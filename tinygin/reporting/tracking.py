"""A callback for Trackio, a local dashboard of experiments."""

import contextlib
import dataclasses
import io
import pathlib
from typing import Annotated
from typing import Any

import gin

from tinygin.config import constraints
from tinygin.config import differences
from tinygin.reporting import callbacks


@gin.register
@dataclasses.dataclass
class Trackio:
  """Sends the metrics of a run to Trackio, on this machine.

  `trackio show` shows the project in a browser. A resumed run continues. See
  https://github.com/gradio-app/trackio.

  Attributes:
    project: the project in Trackio. A run has the name of its directory there.
  """

  project: Annotated[str, constraints.CONTINUABLE]

  def __post_init__(self):
    import trackio  # A missing package is reported before the run starts.

    self._trackio, self._run = trackio, None

  def __call__(self, event: callbacks.Event) -> None:
    """Sends the metrics, as `train/loss` or `validation/top1`."""
    if self._run is None:
      self._run = self._start(event.directory)
    if event.values:
      values = {f'{event.kind}/{k}': v for k, v in event.values.items()}
      self._run.log(values, step=event.step)

  def _start(self, directory: pathlib.Path) -> Any:
    config = (directory / 'config.gin').read_text(encoding='utf-8')
    with contextlib.redirect_stdout(io.StringIO()):
      return self._trackio.init(
        self.project,
        name=directory.name,
        config=differences.values(config),
        resume='allow',
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
      )
