"""Flags, exit statuses and error messages of all programs."""

import contextlib
import logging as python_logging
import os
import pathlib
import re
import signal
import sys
import traceback
import types
from collections.abc import Callable
from collections.abc import Sequence
from typing import Literal
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
from tinygin.config import paths


class _OptionalValue(flags.Flag):
  """A flag with an optional value: `--name` or `--name=value`."""

  def __init__(self, parser: flags.ArgumentParser, name: str, help_text: str):
    super().__init__(parser, flags.ArgumentSerializer(), name, None, help_text)
    self.boolean = True  # `--name` has the value 'true'.


class _Numbers(flags.ArgumentParser):
  """Refuses text that cannot be numbers."""

  syntactic_help = 'a number, or numbers separated by commas, such as 3,5,7'

  def parse(self, argument: str) -> str:
    """Returns the text itself."""
    if not re.fullmatch(r'[-+\d.,eE ]+', argument):
      raise ValueError(f'expected {self.syntactic_help}.')
    return argument


# Bindings with `{}` for the flag's value.
_macro_flags: dict[str, str] = {}


def define_config_flags() -> None:
  """Defines --gin_file, --gin_bindings and the other flags of gin."""
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
    'A folder to search for included files, after the folder of the including '
    'file. Repeatable.',
  )
  for flag in (
    (
      flags.EnumParser(['true', 'json']),
      'print_config',
      'Print every parameter, its value and where it is set, and stop; '
      '--print_config=json for programs.',
    ),
    (
      flags.ArgumentParser(),
      'help_config',
      'Describe everything that can be configured, or --help_config=NAME.',
    ),
  ):
    flags.DEFINE_flag(_OptionalValue(*flag))


def define_macro_flag(name: str, binding: str, meaning: str) -> None:
  """Defines a flag that sets a macro of the configuration.

  Args:
    name: the name of the flag, without dashes.
    binding: the binding of the macro, with `{}` for the flag's value.
    meaning: what the macro means, for --help.
  """
  _macro_flags[name] = binding
  macro = binding.partition(' ')[0]
  flags.DEFINE(_Numbers(), name, None, f'{meaning} Sets {macro}.')


def load_from_flags(
  root: str, other_roots: Sequence[str] = ()
) -> loading.Configuration:
  """Loads the configuration, or serves --print_config and --help_config.

  Args:
    root: the name of the component that the program builds.
    other_roots: see `loading.load`.

  Raises:
    InputError: the configuration is wrong.
    SystemExit: with status 0, after a flag that only prints.
  """
  if flags.FLAGS.help_config:
    name = flags.FLAGS.help_config
    text = help_text.page() if name == 'true' else help_text.describe(name)
    print(text, end='')
    sys.exit(0)
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
    text = configuration.json() if as_json else configuration.explained()
    print(text, end='')
    sys.exit(0)
  return configuration


def _macro_bindings() -> list[tuple[str, str]]:
  """Returns the macro flags in use and their bindings."""
  return [
    (f'--{name}', binding.format(flags.FLAGS[name].value))
    for name, binding in _macro_flags.items()
    if flags.FLAGS[name].value is not None
  ]


def as_started(text: str) -> str:
  """Returns a text with Bazel's commands as this program was started.

  Bazel sets BUILD_WORKING_DIRECTORY. Without it, they become `tinygin train`
  if tinygin is installed, and `python -m tinygin.train` otherwise.
  """

  def command(found: re.Match[str]) -> str:
    package, name = found.groups()
    if paths.is_installed():
      return f'tinygin {name.removesuffix("_dataset")}'
    # The only target that does not have the name of its module.
    name = 'show_tensorboard' if name == 'tensorboard' else name
    return f'python -m {package.replace("/", ".")}.{name}'

  if os.environ.get('BUILD_WORKING_DIRECTORY'):
    return text
  return re.sub(r'\./bazelw run //([\w/]+):(\w+) --', command, text)


class _Formatter(python_logging.Formatter):
  """Formats a warning without absl's date, process and line of code."""

  def format(self, record: python_logging.LogRecord) -> str:
    return f'{record.levelname.capitalize()}: {super().format(record)}'


Main = Callable[[list[str]], int | None]
# Names a file that also gets the error message, because a log does not show
# where a message starts.
MESSAGE_FILE = 'TINYGIN_MESSAGE_FILE'


def run(
  main: Main, takes: Literal['flags', 'arguments', 'other flags'] = 'flags'
) -> NoReturn:
  """Parses the flags, calls `main` and exits.

  The exit status is the return value of `main`, or 0. It is 2 for wrong flags
  and an `InputError`, the `exit_status` of a `RunError`, 143 after SIGTERM and
  130 after SIGINT, each with one message on stderr. It is 1 with a traceback
  for other errors; if a component raised the error, a line before the traceback
  names the component. Messages are also written to the file named by the
  environment variable `MESSAGE_FILE`.

  Args:
    main: takes the program's name and the arguments that are left.
    takes: what the program takes: only its own flags; arguments that are no
      flags, too; or also flags of other programs.
  """
  signal.signal(signal.SIGTERM, _terminate)
  logging.get_absl_handler().setFormatter(_Formatter())
  program = sys.modules['__main__']  # --help prints its docstring.
  program.__doc__ = as_started(program.__doc__ or '')
  for module, defined in flags.FLAGS.flags_by_module_dict().items():
    if module.startswith('tinygin.'):
      for flag in defined:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  app.run(
    lambda argv: _guarded(main, argv),
    flags_parser=lambda argv: _parse(argv, takes),
  )


class _Terminated(KeyboardInterrupt):
  """SIGTERM arrived; cleanup runs as after SIGINT."""


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
    if extra := errors.missing_extra(error):
      return _tell(extra, 2)
    name, _ = closures.innermost_component(error)
    if not name:
      raise
    lines = str(error).strip().split('\n')
    # TensorFlow puts the message of a traced function last.
    reason = lines[-1 if lines[0].startswith('in user code') else 0].strip()
    status = _tell(f'{name} failed: {type(error).__name__}: {reason}', 1)
    traceback.print_exc()
    return status


def _tell(message: str, status: int) -> int:
  message = as_started(message)
  print(message, file=sys.stderr)
  if path := os.environ.get(MESSAGE_FILE):
    with contextlib.suppress(OSError):  # The disk may be full.
      pathlib.Path(path).write_text(message, encoding='utf-8')
  return status


def _parse(argv: list[str], takes: str) -> list[str]:
  try:
    rest = flags.FLAGS(argv, known_only=takes == 'other flags')
  except flags.UnrecognizedFlagError as error:
    own = flags.FLAGS.get_key_flags_for_module(argv[0])
    names = ['help', 'helpfull', 'verbosity', *(flag.name for flag in own)]
    near = components.nearest(error.flagname, names, '--')
    _refuse(f'Unknown flag --{error.flagname}.{near}')
  except flags.Error as error:
    _refuse(_flag_fault(str(error)))
  except SystemExit:  # absl ends --help with status 1.
    sys.exit(0)
  for name in flags.FLAGS:
    flag = flags.FLAGS[name]
    if flag.present > 1 and not isinstance(flag, flags.MultiFlag):
      _refuse(f'--{name} is given twice: use it once.')
  if flags.FLAGS['verbosity'].using_default_value:
    flags.FLAGS.verbosity = logging.WARNING
  if len(rest) > 1 and takes == 'flags':
    _refuse(f'Arguments must be flags. Received: {" ".join(rest[1:])}.')
  return rest


def _flag_fault(message: str) -> str:
  """Returns absl's message about a wrong flag in the style of the others."""
  found = re.match(r'flag --(\w+)=(.*?): (.*)', message, re.DOTALL)
  if not found:
    return f'{message.rstrip(".")}.'
  name, value, reason = found.groups()
  flag = flags.FLAGS[name]
  if reason.endswith('must have a value other than None.'):
    return f'--{name} is missing. Expected: {flag.help}'
  expected = flag.parser.syntactic_help or 'true or false'
  if choices := getattr(flag.parser, 'enum_values', None):
    expected = f'one of {", ".join(choices)}'
  return f'--{name} must be {expected}. Received: --{name}={value}.'


def _refuse(message: str) -> NoReturn:
  print(f'{message} --help lists the flags.', file=sys.stderr)
  sys.exit(2)
