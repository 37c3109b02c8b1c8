"""Keeps the chatter of native libraries off the user's screen."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from tinygin.config import environment  # noqa: F401  Before TensorFlow.
from tinygin.config import errors


@contextlib.contextmanager
def hidden() -> Iterator[None]:
  """Hides what is written to stderr while TensorFlow or Beam is imported.

  Their notices come before any setting of theirs can stop them. They are shown
  after all when the body fails for another reason than the user's will, and
  throughout where TF_CPP_MIN_LOG_LEVEL was set to 0 by the user.
  """
  if os.environ.get('TF_CPP_MIN_LOG_LEVEL') == '0':
    yield
    return
  sys.stderr.flush()
  screen = os.dup(2)
  with tempfile.TemporaryFile() as written:
    os.dup2(written.fileno(), 2)
    failed = True
    try:
      yield
      failed = False
    except (errors.InputError, SystemExit, KeyboardInterrupt):
      failed = False
      raise
    finally:
      sys.stderr.flush()
      os.dup2(screen, 2)
      os.close(screen)
      if failed:
        written.seek(0)
        sys.stderr.write(written.read().decode(errors='replace'))
