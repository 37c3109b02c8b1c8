"""Finds the mistakes in gin files.

A file that imports the root of a program is a whole configuration, and is
checked as the program checks it. Any other file is a fragment, and the
including file sets the rest: what may be right there is no mistake. The other
files tell which macros and components there are.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from tinygin.config import checking
from tinygin.config import components
from tinygin.config import loading
from tinygin.config import paths
from tinygin.config import resolution
from tinygin.config import statements
from tinygin.config.statements import Fault
from tinygin.editing import catalogue
from tinygin.editing import findings
from tinygin.editing import origins
from tinygin.editing import syntax

# What programs build, and what other programs build from the same files.
ROOTS: dict[str, tuple[str, ...]] = {
  'train': (),
  'sweep': (),
  'dataset': ('train',),
}


# Of a macro in a fragment that another file may set, and a known macro.
_SIMILARITY = 0.8


# Of a misspelt name and the right one, so that it is corrected unasked.
_CERTAIN = 0.65


# Files that runs, sweeps and virtual environments have.
_RECORDS = {'provenance.json', 'study.db', 'pyvenv.cfg'}


def gin_files(folder: str) -> Iterator[str]:
  """Yields the paths of the gin files in a folder and its folders, sorted.

  The records of runs and of sweeps are left out, and virtual environments.
  """
  for place, folders, names in os.walk(folder):
    if place != folder and not _RECORDS.isdisjoint(names):
      folders.clear()
      continue
    folders[:] = sorted(each for each in folders if each[0] != '.')
    for name in sorted(names):
      if name.endswith('.gin'):
        yield os.path.join(place, name)


class Workspace:
  """Gin files that may include each other.

  Attributes:
    catalogue: knows the components of the modules that the files import.
    documents: the statements of each file and of the files it includes, by
      absolute path.
  """

  def __init__(
    self,
    search_paths: Sequence[str] = (),
    roots: Mapping[str, Sequence[str]] = ROOTS,
  ):
    """Takes what is the same for all files.

    Args:
      search_paths: see `statements.read`.
      roots: what programs build, each with what others build from its files.
    """
    self.catalogue = catalogue.Catalogue()
    self.documents: dict[str, statements.Document] = {}
    self._search_paths = search_paths
    self._roots = roots
    self._unsaved: dict[str, str] = {}
    self._texts: dict[str, syntax.Text] = {}

  def read(
    self, files: Iterable[str], unsaved: Mapping[str, str] | None = None
  ) -> None:
    """Reads files, and what is known of the modules that they import.

    Args:
      files: absolute paths.
      unsaved: the texts of files that are not as on disk, by real path.
    """
    self._unsaved = dict(unsaved or {})
    self._texts = {}
    self.documents = {
      each: statements.read(
        [each], search_paths=self._search_paths, texts=self._unsaved
      )
      for each in files
    }
    self.catalogue.learn(
      dict.fromkeys(
        each.module
        for document in self.documents.values()
        for each in document.imports
      )
    )

  def text(self, path: str) -> syntax.Text:
    """Returns the text of a file; it is empty where there is none."""
    if path not in self._texts:
      text = self._unsaved.get(os.path.realpath(path))
      if text is None:
        text = read_text(path)
      self._texts[path] = syntax.Text(text)
    return self._texts[path]

  def lint(self, files: Iterable[str]) -> list[findings.Finding]:
    """Returns the mistakes in files, and in those that they include."""
    found = {
      (each.file, each.line, each.column, each.rule): each
      for path in files
      for fault in self._faults(path)
      for each in self._findings(fault, path)
    }
    return sorted(found.values())

  def _faults(self, path: str) -> list[Fault]:
    document = self.documents[path]
    if circular := [*checking.circular_macros(document)]:
      return [*document.faults, *circular]
    if not any(map(self.root, self.documents)):
      return [*filter(_is_fault_of_gin, self._all_faults(path))]
    return self._all_faults(path)

  def _all_faults(self, path: str) -> list[Fault]:
    document = self.documents[path]
    program, found = self.examine(path)
    if self.root(path):
      found = [*filter(self._is_complete_in(path), found)]
    else:
      found = [*self._fragment_faults(path, program)]
    if document.faults:
      found = [each for each in found if not _can_follow(each)]
    return [*document.faults, *map(_with_module, found)]

  def include_folders(self) -> list[str]:
    """Returns where included files are searched after the file's own folder."""
    return statements.include_folders(self._search_paths)

  def is_circular(self, path: str) -> bool:
    """Whether macros of a file refer to themselves."""
    return any(checking.circular_macros(self.documents[path]))

  def examine(self, path: str) -> tuple[resolution.Program, list[Fault]]:
    """Returns the program that a file makes, and its mistakes.

    The program of a fragment has all components that the fragment binds, and
    no mistakes.

    Args:
      path: of a file without circular macros.
    """
    document = self.documents[path]
    registry = self.registry(path)
    root = self.root(path)
    if root:
      return loading.examine(document, registry, root, self._roots[root])
    program = resolution.Program(document, registry)
    for scope, component, _ in [*program.bound]:
      program.follow(scope, component)
    return program, []

  def root(self, path: str) -> str:
    """Returns the root that the file or an included one imports, or nothing."""
    document = self.documents[path]
    registry = self.catalogue.registry(document.imports)
    modules = [each.module for each in document.imports]
    for root in self._roots:
      component = registry.find(root)
      if component and component.target.__module__ in modules:
        return root
    return ''

  def _is_complete_in(self, path: str):
    """Returns which faults are none if the including file sets the rest."""
    own = self._own_bindings(path)
    required = {
      each.place
      for each in own
      if statements.REQUIRED in resolution.macros(each.value)
    }

    def is_fault(fault: Fault) -> bool:
      if fault.rule != 'missing' or not required:
        return True
      is_marked = fault.name == statements.REQUIRED
      return is_marked and not required & {*fault.places}

    return is_fault

  def _own_bindings(self, path: str) -> list[statements.Binding]:
    name = paths.display(path)
    document = self.documents[path]
    return [each for each in document.bindings if each.place.origin == name]

  def _fragment_faults(
    self, path: str, program: resolution.Program
  ) -> Iterator[Fault]:
    registry = self.registry(path)
    yield from registry.faults
    yield from self._unknown_components(path, registry)
    scopes = []
    for fault in checking.faults(program):
      if fault.rule == 'scope':
        scopes.append(fault)
      elif fault.rule != 'missing':
        yield fault
    yield from (each for each in scopes if each.correction)
    yield from self._scope_faults(path, {each.correction for each in scopes})
    yield from self._macro_faults(path)

  def registry(self, path: str) -> catalogue.Registry:
    """Returns the components that a file can name.

    They are those that a whole configuration imports. For a fragment, they are
    those that any file imports.
    """
    document = self.documents[path]
    if root := self.root(path):
      return self.catalogue.registry(document.imports, root)
    own = {each.module for each in document.imports}
    others = [
      statements.Import(module, False, None, statements.Place(''))
      for module, known in self.catalogue.modules.items()
      if module not in own and not known.entry['message']
    ]
    return self.catalogue.registry([*document.imports, *others])

  def _unknown_components(
    self, path: str, registry: catalogue.Registry
  ) -> Iterator[Fault]:
    """Reports names that no including file can define."""
    document = self.documents[path]
    own = self.catalogue.registry(document.imports)
    for fault in checking.unknown_components(document, own):
      component = registry.find(fault.name)
      problem = registry.problem(fault.name)
      if component and component.target.selector:
        continue  # The including file may import it.
      first = fault.name.partition('.')[0]
      if component or first in {each.bound_name() for each in document.imports}:
        yield fault
      elif problem and problem.correction:
        where = ', '.join(map(str, fault.places))
        message = f'Unknown component {fault.name} at {where}.{problem}'
        correction = problem.correction
        yield Fault('component', message, fault.places, fault.name, correction)

  def _macro_faults(self, path: str) -> Iterator[Fault]:
    """Reports macros of a fragment that other files spell otherwise."""
    document = self.documents[path]
    everywhere = self.documents.values()
    known = {name for each in everywhere for name in each.macros}
    used = {name for each in everywhere for name in checking.used_macros(each)}
    meant = set()
    for fault in checking.unknown_macros(document):
      if fault.rule == 'macro' and fault.name not in known:
        near = components.nearest_name(fault.name, known, _SIMILARITY)
        message = fault.message.partition('. ')[0]
        hint = f'. Did you mean {near}?'
        meant.add(near)
        if near:
          yield Fault('macro', message + hint, fault.places, fault.name, near)
    is_included = self._is_included(path)
    for name, definitions in document.macros.items():
      near = components.nearest_name(name, used, _SIMILARITY)
      if name not in used | meant and (near or is_included):
        yield from checking.unused_macro(definitions, used)

  def _scope_faults(self, path: str, meant: set[str]) -> Iterator[Fault]:
    """Reports scopes of bindings that references spell otherwise.

    Args:
      path: of the fragment.
      meant: scopes that misspelt references probably mean.
    """
    used = {
      outer
      for document in self.documents.values()
      for binding in document.bindings
      for reference in resolution.references(binding.value)
      for outer in resolution.prefixes(reference.scope)
    }
    for each in self._own_bindings(path):
      near = components.nearest_name(each.scope, used)
      if each.component and each.scope not in used | meant and near:
        message = f'Unknown scope {each.scope} in {each.name} at {each.place}.'
        hint = f' Did you mean {near}?'
        yield Fault('scope', message + hint, (each.place,), each.scope, near)

  def _is_included(self, path: str) -> bool:
    """Whether other files include a file."""
    name = paths.display(path)
    return any(
      each.place.origin == name
      for other, document in self.documents.items()
      if other != path
      for each in document.bindings
    )

  def _findings(self, fault: Fault, path: str) -> Iterator[findings.Finding]:
    """Yields the finding at each place of a fault of a file."""
    places = fault.places
    if fault.rule == 'missing' or not places:
      places = [self._including(path, fault)]
    if fault.correction.startswith('import '):  # Once in each file.
      places = {each.origin: each for each in reversed(places)}.values()
    for place in places:
      origin = path if place.is_flag else absolute(place.origin)
      text = self.text(origin)
      where = locate(text, fault, place.line)
      line, column = text.position(where.start)
      end_line, end_column = text.position(where.end)
      yield findings.Finding(
        paths.display(origin),
        line,
        column,
        end_line,
        end_column,
        _without_place(fault, place),
        fault.rule,
        _edit(text, fault, where),
      )

  def _including(self, path: str, fault: Fault) -> statements.Place:
    """Returns the statement of a file that something is missing after."""
    name = paths.display(path)
    for place in fault.places:
      if place.origin == name:
        return place
      for each in place.chain:
        origin, _, line = each.rpartition(':')
        if origin == name:
          return statements.Place(name, int(line))
    return statements.Place(name, None)


def _is_fault_of_gin(fault: Fault) -> bool:
  """Whether gin itself would refuse it, where no program of ours is built."""
  is_name = fault.rule == 'macro' and 'has no component' in fault.message
  return not (is_name or fault.name.startswith('__gin__.'))


def _with_module(fault: Fault) -> Fault:
  """Returns the fault with the module that a misspelt import means."""
  if fault.rule != 'import' or not fault.message.startswith('Unknown module'):
    return fault
  near = origins.nearest(fault.name)
  return dataclasses.replace(fault, correction=near)


def _can_follow(fault: Fault) -> bool:
  """Whether another statement, which cannot be read, can be the cause."""
  return fault.rule in ('macro', 'missing', 'scope', 'unused') or (
    fault.rule == 'component' and fault.correction.startswith('import ')
  )


def read_text(path: str) -> str:
  """Returns the text of a file with its line endings; empty without one."""
  try:
    with open(path, encoding='utf-8-sig', newline='') as file:
      return file.read()
  except (OSError, UnicodeError):
    return ''


def absolute(name: str) -> str:
  """Returns the absolute path of a file in a finding or place."""
  try:
    return paths.find(name)
  except paths.MissingError:  # An editor may not have saved it.
    return paths.resolve(name)


def locate(text: syntax.Text, fault: Fault, line: int | None) -> syntax.Range:
  """Returns the characters that are wrong at a line of a text."""
  statement = text.at_line(line) if line else None
  if not line or statement is None:
    return syntax.Range(0, 0)
  if fault.rule == 'syntax':
    code = text.code_of_line(line)
    begin, _ = text.line(line)
    if fault.correction or fault.column is None:
      return code
    start = min(begin + fault.column, code.end)
    ends = (each.end for each in text.tokens if each.start <= start < each.end)
    return syntax.Range(start, next(ends, code.end))
  header = statement.block.parts if statement.block else ()
  for part in (*statement.parts, *header):
    if part.text == fault.name or part.kind == 'file':
      return part
  if fault.rule in ('value', 'circular') and statement.value:
    return statement.value
  return statement.name


def _without_place(fault: Fault, place: statements.Place) -> str:
  """Returns the message without the place, which is printed before it."""
  message = fault.message.replace(f' Given by {place}.', '')
  every = ', '.join(map(str, fault.places))
  message = message.replace(f' at {every}.', '.', len(fault.places) > 1)
  return re.sub(rf'( and)? at {re.escape(str(place))}(?!\d)', '', message)


def _edit(
  text: syntax.Text, fault: Fault, where: syntax.Range
) -> findings.Edit | None:
  """Returns what corrects a mistake that has one right answer."""
  if not fault.correction or not _is_certain(fault, text, where):
    return None
  if fault.correction.startswith('import '):
    return _insertion(text, fault.correction)
  start, correction = where.start, fault.correction
  if fault.rule == 'syntax':
    # What stands before the value stays as it is laid out.
    pattern = r'(include\s+|[^\s=:]+\s*=\s*)(.*)'
    written = re.match(pattern, text.text[where.start : where.end])
    right = re.match(pattern, correction)
    if written:
      start, correction = start + written.end(1), right[2]
  return findings.Edit(start, where.end, correction)


def _is_certain(fault: Fault, text: syntax.Text, where: syntax.Range) -> bool:
  """Whether a correction is similar enough to be made without being asked."""
  if fault.rule == 'syntax' or fault.correction.startswith('import '):
    return True
  ends = [
    re.split('[./]', each.removesuffix('.gin'))[-1]
    for each in (text.text[where.start : where.end], fault.correction)
  ]
  return difflib.SequenceMatcher(None, *ends).ratio() > _CERTAIN


def _insertion(text: syntax.Text, line: str) -> findings.Edit:
  """Returns the edit that adds an import, in the order of the others."""
  heads = [
    each for each in text.statements if each.kind in ('include', 'import')
  ]
  imports = [each for each in heads if each.kind == 'import']
  for each in imports:
    if text.text[each.start : each.end] > line:
      return findings.Edit(each.start, each.start, f'{line}\n')
  if heads:
    _, end = text.line(text.position(heads[-1].start)[0])
    return findings.Edit(end, end, f'\n{line}')
  first = text.statements[0].start if text.statements else len(text.text)
  return findings.Edit(first, first, f'{line}\n')
