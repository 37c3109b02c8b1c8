"""Signals that end a program after it has saved its work."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def collected(*numbers: signal.Signals) -> Iterator[list[int]]:
  """Collects signals in the body, so that they do not end the program.

  SIGHUP stays ignored if the program was started to ignore it, as by `nohup`.

  Args:
    numbers: the signals to collect.

  Yields:
    The numbers of the signals that have arrived, in order.
  """
  received: list[int] = []
  before = {
    number: signal.signal(number, lambda number, _: received.append(number))
    for number in numbers
    if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
  }
  try:
    yield received
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
