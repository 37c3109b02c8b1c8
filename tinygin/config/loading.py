"""Loads gin files and bindings into a configuration that is known to be right.

Everything is checked before anything is built. Text that cannot be read is told
before TensorFlow is imported for the sake of the components; all other faults
come together.
"""

import json
from collections.abc import Iterable
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
  short_flags: Sequence[tuple[str, str]] = (),
  search_paths: Sequence[str] = (),
  other_roots: Sequence[str] = (),
) -> 'Configuration':
  """Loads files, then bindings, then short flags; later ones win.

  Args:
    gin_files: See `statements.read`.
    gin_bindings: See `statements.read`.
    root: The name of the component that the program builds.
    short_flags: See `statements.read`.
    search_paths: See `statements.read`.
    other_roots: Names of what other programs build from the same files: what
      is bound for them is not unused.

  Returns:
    The configuration.

  Raises:
    InputError: Something is wrong; the message has one line for each fault.
  """
  if not gin_files and not any('import' in each for each in gin_bindings):
    raise errors.InputError(
      'No configuration is given. Start, for example, with '
      '--gin_file=gin/quickstart.gin'
    )
  document = statements.read(gin_files, gin_bindings, short_flags, search_paths)
  _raise_if([*document.faults, *checking.circular_macros(document)])
  found = [*checking.statement_faults(document)]
  hiding = [*checking.unknown_macros(document), *checking.clashes(document)]
  registry = components.Registry(document.imports, root)
  hiding += registry.faults
  hiding += checking.unknown_components(document, registry)
  start = registry.find(root)
  if start is None and not registry.faults:
    hiding.append(f'No import line brings {root}, which this program runs.')
  if start is None:
    _raise_if([*hiding, *found])
  program = resolution.Program(document, registry)
  root_node = program.follow('', start)
  others = [each for each in map(registry.find, other_roots) if each]
  found += checking.faults(program)
  if not hiding:  # Else too much would seem to be out of reach.
    found += checking.unused(document, program, start, others)
  _raise_if([*hiding, *found])
  return Configuration(document, program, root_node)


def _raise_if(faults: Iterable[str]) -> None:
  if lines := list(dict.fromkeys(faults)):
    raise errors.InputError('\n'.join(lines))


class Configuration:
  """A complete and correct configuration of one program."""

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
    """Returns one self-contained gin file that replays the run."""
    return printing.config_text(self._document, self._program)

  def explained(self) -> str:
    """Returns every parameter with its value and where that came from."""
    return printing.explained(self._program)

  def json(self) -> str:
    """Returns what `explained` does, as a JSON list."""
    return json.dumps([*printing.records(self._program)], indent=2) + '\n'

  def fixed(self) -> set[str]:
    """Returns the parameters that may not change when a run is continued.

    All but those that are declared `constraints.CONTINUABLE`, and those of
    components that are reached only through such.
    """

    def kept(node: resolution.Node) -> set[str]:
      return {
        name
        for name, each in node.component.parameters.items()
        if not constraints.is_continuable(each.annotation)
      }

    def following(node: resolution.Node) -> list[resolution.Node]:
      return [
        reached
        for reached in self._program.nodes.values()
        for use in reached.uses
        if use.user is node and use.parameter in kept(node)
      ]

    return {
      f'{scope}/{node.component.full_name}.{name}'.removeprefix('/')
      for node in resolution.reachable([self._root], following)
      for scope in resolution.prefixes(node.scope)
      for name in kept(node)
    }

  def place(self, parameter: str) -> statements.Place:
    """Returns where the value of a parameter of the root was set."""
    return self._root.arguments[parameter].setter.place

  def build(self) -> Any:
    """Calls the root component with its bound values.

    Returns:
      What the root component returns.

    Raises:
      InputError: a component raised a TypeError or a ValueError.
    """
    with closures.building():
      return closures.Closure(self._root, self._program.nodes)()
