"""Hides what TensorFlow and Beam write to stderr while they are imported."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from absl import flags

from tinygin.config import environment  # noqa: F401  Before TensorFlow.
from tinygin.config import errors

_SHOWN = flags.DEFINE_bool(
  'native_output',
  False,
  'Show all that TensorFlow and Beam write, such as why no GPU is used.',
)
_LEVEL = 'TF_CPP_MIN_LOG_LEVEL'


@contextlib.contextmanager
def hidden() -> Iterator[None]:
  """Hides what is written to stderr in the body.

  Importing TensorFlow or Beam writes messages that no setting turns off. They
  are shown if the body raises an unexpected error. They are always shown with
  --native_output, or if the user has set TF_CPP_MIN_LOG_LEVEL to 0.
  """
  if flags.FLAGS.is_parsed() and _SHOWN.value:
    os.environ[_LEVEL] = '0'
  if os.environ[_LEVEL] == '0':
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
