"""A component of a data set that makes workers wait for a test."""

import dataclasses
import os
import pathlib
import time

import gin

from beam_pipelines import resize


@gin.register('gated_resize')
@dataclasses.dataclass(frozen=True)
class GatedResize(resize.Resize):
  """Waits before each image until a folder contains a file named `open`.

  Attributes:
    gate: the folder. Each waiting process writes a file there, named after its
      process id.
  """

  gate: str

  def apply(self, content: bytes, size: int) -> bytes:
    """See `Resize.apply`."""
    gate = pathlib.Path(self.gate)
    while not (gate / 'open').exists():
      (gate / str(os.getpid())).touch()
      time.sleep(0.01)
    return super().apply(content, size)
