"""What every program does first: flags, exit statuses, one error message."""

import contextlib
import os
import pathlib
import re
import signal
import sys
import traceback
import types
from collections.abc import Callable
from collections.abc import Sequence
from typing import NoReturn

from absl import app
from absl import flags
from absl import logging

from tinygin.config import closures
from tinygin.config import components
from tinygin.config import environment  # noqa: F401  Before TensorFlow.
from tinygin.config import errors
from tinygin.config import help_text
from tinygin.config import loading


class _OptionalValue(flags.Flag):
  """A flag that may stand alone (`--name`) or take a value (`--name=value`)."""

  def __init__(self, name: str, help_text: str):
    parser, serializer = flags.ArgumentParser(), flags.ArgumentSerializer()
    super().__init__(parser, serializer, name, None, help_text)
    self.boolean = True  # Alone, it is given the value 'true'.


class _Literal(flags.ArgumentParser):
  """Checks the text of a macro flag and returns it as gin writes the value."""

  def __init__(self, kind: type):
    super().__init__()
    self._kind = kind

  def parse(self, argument: str) -> str:
    """Returns a number, or numbers separated by commas as a tuple."""
    text = argument.strip()
    pattern, words = _LITERALS[self._kind]
    if not re.fullmatch(pattern, text):
      raise ValueError(f'expected {words}.')
    return f'({text},)' if self._kind is tuple else text


_LITERALS = {
  int: (r'[+-]?\d+', 'an integer'),
  float: (r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?', 'a number'),
  tuple: (r'\d+( *, *\d+)*', 'integers separated by commas, such as 3,5,7'),
}
_macro_of_flag: dict[str, str] = {}


def define_config_flags() -> None:
  """Defines --gin_file, --gin_bindings, …: what programs are configured by."""
  flags.DEFINE_multi_string(
    'gin_file',
    [],
    'A gin file, relative to the working directory or to the project. '
    'Repeatable; later files override earlier ones.',
  )
  flags.DEFINE_multi_string(
    'gin_bindings',
    [],
    'Bindings that override the files: "EPOCHS = 3; train.run_dir = '
    "'mine'\". Repeatable; strings need their own quotes.",
  )
  flags.DEFINE_multi_string(
    'gin_search_path',
    [],
    "A folder for includes, after the including file's own. Repeatable.",
  )
  for name, words in (
    (
      'print_config',
      'Print every parameter, its value and where that comes from, and stop; '
      '--print_config=json for machines.',
    ),
    (
      'help_config',
      'Describe everything that can be configured, or --help_config=NAME.',
    ),
  ):
    flags.DEFINE_flag(_OptionalValue(name, words))


def define_macro_flag(name: str, macro: str, kind: type, meaning: str) -> None:
  """Defines a flag that sets a macro of the configuration.

  Args:
    name: of the flag, without dashes.
    macro: the macro that it sets.
    kind: what the flag takes: `int`, `float`, or `tuple` for integers.
    meaning: what the macro means, for the help.
  """
  _macro_of_flag[name] = macro
  flags.DEFINE(_Literal(kind), name, None, f'{meaning} Sets {macro}.')


def load_from_flags(
  root: str, other_roots: Sequence[str] = ()
) -> loading.Configuration:
  """Loads what the flags declare; serves --print_config and --help_config.

  Args:
    root: The name of the component that the program builds.
    other_roots: See `loading.load`.

  Returns:
    The configuration.

  Raises:
    InputError: The configuration is wrong.
    SystemExit: With status 0, when a flag asked for a print only.
  """
  if flags.FLAGS.help_config:
    name = flags.FLAGS.help_config
    text = help_text.page() if name == 'true' else help_text.describe(name)
    print(text, end='')
    sys.exit(0)
  if flags.FLAGS.print_config not in (None, 'true', 'json'):
    raise errors.InputError(
      '--print_config must stand alone or be --print_config=json. '
      f'Received: --print_config={flags.FLAGS.print_config}.'
    )
  configuration = loading.load(
    flags.FLAGS.gin_file,
    flags.FLAGS.gin_bindings,
    root,
    macro_flags=_macro_bindings(),
    search_paths=flags.FLAGS.gin_search_path,
    other_roots=other_roots,
  )
  if flags.FLAGS.print_config:
    as_json = flags.FLAGS.print_config == 'json'
    print(
      configuration.json() if as_json else configuration.explained(), end=''
    )
    sys.exit(0)
  return configuration


def _macro_bindings() -> list[tuple[str, str]]:
  """Returns the macro flags that are given, with what they bind."""
  return [
    (f'--{name}', f'{macro} = {flags.FLAGS[name].value}')
    for name, macro in _macro_of_flag.items()
    if flags.FLAGS[name].value is not None
  ]


Main = Callable[[list[str]], int | None]
# Names a file for the message, which a log does not tell from what went before.
MESSAGE_FILE = 'TINYGIN_MESSAGE_FILE'


def run(main: Main, arguments: str = '') -> NoReturn:
  """Parses the flags, calls `main`, exits.

  Exit status: what `main` returns (None: 0); 2 with one message on stderr for
  wrong flags and for `InputError`; likewise that of a `RunError`, and 143 and
  130 after SIGTERM and SIGINT; 1 with a traceback for anything else. The
  message also goes to the file that the environment variable `MESSAGE_FILE`
  names.

  Args:
    main: Takes the program's name and the arguments that are no flags.
    arguments: What such arguments are, `RUN RUN …`; nothing: there are none.
  """
  signal.signal(signal.SIGTERM, _terminate)
  for module, defined in flags.FLAGS.flags_by_module_dict().items():
    if module.startswith('tinygin.config.'):
      for flag in defined:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  app.run(
    lambda argv: _guarded(main, argv),
    flags_parser=lambda argv: _parse(argv, arguments),
  )


class _Terminated(KeyboardInterrupt):
  """SIGTERM arrived: ends the program as SIGINT does, with all cleaned up."""


def _terminate(number: int, frame: types.FrameType | None) -> NoReturn:
  del number, frame
  raise _Terminated


def _guarded(main: Main, argv: list[str]) -> int:
  try:
    return main(argv) or 0
  except errors.InputError as error:
    if flags.FLAGS.verbosity > 0:
      traceback.print_exc()
    return _tell(str(error), 2)
  except errors.RunError as error:
    return _tell(str(error), error.exit_status)
  except _Terminated:
    return _tell('Stopped by SIGTERM.', 143)
  except KeyboardInterrupt:
    return _tell('Stopped by SIGINT.', 130)
  except Exception as error:
    name, _ = closures.innermost_component(error)
    if not name:
      raise
    reason = str(error).partition('\n')[0]
    _tell(f'{name} failed: {type(error).__name__}: {reason}', 1)
    traceback.print_exc()
    return 1


def _tell(message: str, status: int) -> int:
  print(message, file=sys.stderr)
  if path := os.environ.get(MESSAGE_FILE):
    with contextlib.suppress(OSError):  # The message may be: a full disk.
      pathlib.Path(path).write_text(message)
  return status


def _parse(argv: list[str], arguments: str) -> list[str]:
  try:
    rest = flags.FLAGS(argv)
  except flags.UnrecognizedFlagError as error:
    near = components.nearest(error.flagname, flags.FLAGS, '--')
    sys.exit(_refuse(f'Unknown flag --{error.flagname}.{near}'))
  except flags.Error as error:
    sys.exit(_refuse(_flag_fault(str(error))))
  except SystemExit:  # --help and its kin, which absl ends with status 1.
    sys.exit(0)
  for name in flags.FLAGS:
    flag = flags.FLAGS[name]
    if flag.present > 1 and not isinstance(flag, flags.MultiFlag):
      sys.exit(_refuse(f'--{name} is given twice: give it once.'))
  if flags.FLAGS['verbosity'].using_default_value:
    flags.FLAGS.verbosity = logging.WARNING
  if len(rest) > 1 and not arguments:
    sys.exit(
      _refuse(f'Arguments must be flags. Received: {" ".join(rest[1:])}.')
    )
  return rest


def _flag_fault(message: str) -> str:
  """Says what absl says of a wrong flag as the other messages do."""
  if absent := re.match(r'flag --(\w+)=None: ', message):
    name = absent[1]
    return f'--{name} must be given: {flags.FLAGS[name].help}'
  # Of some values the reason comes as the arguments of an exception.
  return re.sub(r"\('([^']+)', .*\)$", r'\1.', message)


def _refuse(message: str) -> int:
  print(f'{message} --help lists the flags.', file=sys.stderr)
  return 2
