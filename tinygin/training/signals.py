"""Signals that end a program in good order."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def collected(*numbers: signal.Signals) -> Iterator[list[int]]:
  """Collects signals instead of dying of them.

  Args:
    numbers: what is collected.

  Yields:
    What has arrived, in order.
  """
  received: list[int] = []
  before = {
    number: signal.signal(number, lambda number, _: received.append(number))
    for number in numbers
  }
  try:
    yield received
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
