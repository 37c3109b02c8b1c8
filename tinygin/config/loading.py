"""Loads gin files and bindings into a checked configuration.

Everything is checked before anything is built. Syntax errors are reported
before the components, which need TensorFlow, are imported. All other faults are
reported together.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from tinygin.config import checking
from tinygin.config import closures
from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import errors
from tinygin.config import printing
from tinygin.config import resolution
from tinygin.config import statements


def load(
  gin_files: Sequence[str],
  gin_bindings: Sequence[str],
  root: str,
  *,
  macro_flags: Sequence[tuple[str, str]] = (),
  search_paths: Sequence[str] = (),
  other_roots: Sequence[str] = (),
) -> 'Configuration':
  """Loads files, then bindings, then macro flags; later ones win.

  Args:
    gin_files: see `statements.read`.
    gin_bindings: see `statements.read`.
    root: the name of the component that the program builds.
    macro_flags: see `statements.read`.
    search_paths: see `statements.read`.
    other_roots: components that other programs build from the same files.
      Bindings for them count as used.

  Raises:
    InputError: the configuration is wrong; the message has a line for each
      fault.
  """
  if not gin_files and not any('import' in each for each in gin_bindings):
    raise errors.InputError(
      'No configuration is given. For example, train starts with '
      '--gin_file=gin/quickstart.gin, and sweep with '
      '--gin_file=gin/sweeps/quickstart.gin.'
    )
  document = statements.read(gin_files, gin_bindings, macro_flags, search_paths)
  _raise_if([*document.faults, *checking.circular_macros(document)])
  registry = components.Registry(document.imports, root)
  program, faults = examine(document, registry, root, other_roots)
  _raise_if(faults)
  root_node = program.follow('', registry.find(root))
  return Configuration(document, program, root_node)


def examine(
  document: statements.Document,
  registry: components.Registry,
  root: str,
  other_roots: Sequence[str] = (),
) -> tuple[resolution.Program, list[statements.Fault]]:
  """Returns the program that statements make, and all that is wrong with them.

  Args:
    document: statements without circular macros.
    registry: finds the components that they name.
    root: see `load`.
    other_roots: see `load`.
  """
  hiding = [*checking.unknown_macros(document)]
  # A macro that seems unused may be the one that a misspelled name means.
  found = [] if hiding else [*checking.unused_macros(document)]
  hiding += registry.faults
  hiding += checking.unknown_components(document, registry)
  program = resolution.Program(document, registry)
  start = registry.find(root)
  if start is None:
    if not registry.faults:
      message = (
        f'No import registers {root}, which this program runs. The gin files '
        'may be for another program: gin/base.gin is for train, gin/sweeps/ '
        'for sweep.'
      )
      hiding.append(statements.Fault('import', message))
    return program, [*hiding, *found]
  program.follow('', start)
  others = [each for each in map(registry.find, other_roots) if each]
  found += checking.faults(program)
  if not hiding:  # Unresolved names would cause false reports.
    found += checking.unused(document, program, start, others)
  return program, [*hiding, *found]


def _raise_if(faults: Sequence[statements.Fault]) -> None:
  if lines := list(dict.fromkeys(map(str, faults))):
    raise errors.InputError('\n'.join(lines))


class Configuration:
  """A complete and checked configuration of one program."""

  def __init__(
    self,
    document: statements.Document,
    program: resolution.Program,
    root: resolution.Node,
  ):
    self._document = document
    self._program = program
    self._root = root

  def text(self) -> str:
    """Returns the text of one gin file that repeats the run."""
    return printing.config_text(self._document, self._program)

  def explained(self) -> str:
    """Returns every parameter with its value and the place that set it."""
    return printing.explained(self._program)

  def json(self) -> str:
    """Returns the parameters and their places as a JSON list.

    References, and other values that JSON cannot express, are texts.
    """
    records = [*printing.records(self._program)]
    return json.dumps(records, indent=2, default=repr) + '\n'

  def fixed(self) -> set[str]:
    """Returns the parameters that cannot change when a run is continued.

    Those that are declared `constraints.CONTINUABLE` can change.
    """
    return {
      f'{scope}/{node.component.full_name}.{name}'.removeprefix('/')
      for node in self._program.nodes.values()
      for scope in resolution.prefixes(node.scope)
      for name, each in node.component.parameters.items()
      if not constraints.is_continuable(each.annotation)
    }

  def place(self, parameter: str) -> statements.Place:
    """Returns where the value of a parameter of the root is set."""
    return self._root.arguments[parameter].setter.place

  @contextlib.contextmanager
  def located(self) -> Iterator[None]:
    """Adds to an `InputError` where the parameters in its text are bound."""
    try:
      yield
    except errors.InputError as error:
      text = str(error)
      places = [
        f'\n  {node.name}.{name} is bound at {argument.where}.'
        for node in self._program.nodes.values()
        for name, argument in node.arguments.items()
        if re.search(rf'\b{re.escape(node.name)}\.{name}\b', text)
      ]
      error.args = (text + ''.join(places),)
      raise

  def build(self) -> Any:
    """Calls the root component with its bound values.

    Returns:
      What the root component returns.

    Raises:
      InputError: a component raised a TypeError or a ValueError.
    """
    with closures.building():
      return closures.Closure(self._root, self._program.nodes)()
