"""Callbacks: components that a run calls after logs, evaluations and saves."""

import dataclasses
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Literal

from tinygin.config import errors


@dataclasses.dataclass(frozen=True)
class Event:
  """An event of a run.

  Attributes:
    kind: `train` after a line of training metrics, `validation` after an
      evaluation, `checkpoint` after a checkpoint was saved.
    step: number of training steps done.
    values: the metrics by name, as in `metrics.jsonl`; none for a checkpoint.
    directory: the run's directory.
  """

  kind: Literal['train', 'validation', 'checkpoint']
  step: int
  values: Mapping[str, float]
  directory: pathlib.Path


Callback = Callable[[Event], None]


def tell(callbacks: Sequence[Callback], event: Event) -> None:
  """Calls the callbacks in their order; their errors become warnings."""
  for callback in callbacks:
    with errors.optional(f'the callback {callback}'):
      callback(event)
