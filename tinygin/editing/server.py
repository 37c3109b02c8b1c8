"""Answers editors by the Language Server Protocol."""

import functools
import os
from collections.abc import Iterable
from collections.abc import Sequence

from lsprotocol import types
from pygls import uris
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument

from tinygin.config import statements
from tinygin.editing import answers
from tinygin.editing import findings
from tinygin.editing import formatting
from tinygin.editing import linting

_KINDS = {
  'choice': types.CompletionItemKind.EnumMember,
  'component': types.CompletionItemKind.Class,
  'file': types.CompletionItemKind.File,
  'keyword': types.CompletionItemKind.Keyword,
  'macro': types.CompletionItemKind.Constant,
  'module': types.CompletionItemKind.Module,
  'parameter': types.CompletionItemKind.Field,
}
_SYMBOLS = {
  'import': types.SymbolKind.Module,
  'include': types.SymbolKind.File,
  'block': types.SymbolKind.Class,
  'binding': types.SymbolKind.Property,
}


class Server(LanguageServer):
  """What editors have open, and the other gin files in their folders."""

  def __init__(self, version: str, search_paths: Sequence[str] = ()):
    """Takes the settings.

    Args:
      version: of this project.
      search_paths: see `statements.read`.
    """
    super().__init__(
      'tinygin',
      version,
      text_document_sync_kind=types.TextDocumentSyncKind.Full,
    )
    self._search_paths = search_paths
    self.gin = linting.Workspace(search_paths)

  def enter_folder(self) -> None:
    """Makes the folder that the editor has open the working directory."""
    for each in self.workspace.folders.values():
      os.chdir(uris.to_fs_path(each.uri))
      self.gin = linting.Workspace(self._search_paths)
      return

  def open_paths(self) -> list[str]:
    """Returns the paths of the files that the editor has open."""
    documents = self.workspace.text_documents.values()
    return [each.path for each in documents]

  def refresh(self) -> None:
    """Reads all files again and publishes the mistakes in the open ones."""
    self.read()
    opened = self.open_paths()
    found = self.gin.lint(opened)
    for path in opened:
      own = [each for each in found if linting.absolute(each.file) == path]
      self.text_document_publish_diagnostics(
        types.PublishDiagnosticsParams(
          uri=self._document(path).uri,
          version=self._document(path).version,
          diagnostics=[self._diagnostic(each) for each in own],
        )
      )

  def read(self) -> None:
    """Reads all files, with the texts in the editor."""
    folders = [each.uri for each in self.workspace.folders.values()]
    roots = [uris.to_fs_path(each) for each in folders]
    files = [file for root in roots for file in linting.gin_files(root)]
    unsaved = {
      os.path.realpath(each.path): each.source
      for each in self.workspace.text_documents.values()
    }
    self.gin.read(dict.fromkeys([*self.open_paths(), *files]), unsaved)

  def about(self, uri: str) -> answers.Answers:
    """Returns what answers questions about a document."""
    return answers.Answers(self.gin, self._path(uri))

  def _path(self, uri: str) -> str:
    path = self.workspace.get_text_document(uri).path
    if path not in self.gin.documents:
      self.read()
    return path

  def _document(self, path: str) -> TextDocument:
    return self.workspace.get_text_document(uris.from_fs_path(path))

  def offset(self, params: types.TextDocumentPositionParams) -> int:
    """Returns the offset of a position in a document."""
    document = self.workspace.get_text_document(params.text_document.uri)
    return document.offset_at_position(params.position)

  def place(self, path: str, start: int, end: int) -> types.Range:
    """Returns a range of characters in the units of the editor."""
    document = self._document(path)
    return types.Range(
      document.client_position_at_offset(start),
      document.client_position_at_offset(end),
    )

  def location(self, found: answers.Location) -> types.Location:
    """Returns a location in the units of the editor."""
    if found.range:
      place = self.place(found.path, found.range.start, found.range.end)
    else:
      start = types.Position(found.line - 1, 0)
      place = types.Range(start, start)
    return types.Location(uris.from_fs_path(found.path), place)

  def edit(self, path: str, edit: findings.Edit) -> types.TextEdit:
    """Returns an edit in the units of the editor."""
    return types.TextEdit(self.place(path, edit.start, edit.end), edit.text)

  def finding_range(self, path: str, finding: findings.Finding) -> types.Range:
    """Returns the range of a finding."""
    text = self.gin.text(path)
    start = text.offset(finding.line, finding.column)
    end = text.offset(finding.end_line, finding.end_column)
    return self.place(path, start, end)

  def _diagnostic(self, finding: findings.Finding) -> types.Diagnostic:
    return types.Diagnostic(
      range=self.finding_range(linting.absolute(finding.file), finding),
      message=finding.message,
      severity=types.DiagnosticSeverity.Error,
      code=finding.rule,
      source='tinygin',
    )


def make(version: str, search_paths: Sequence[str] = ()) -> Server:
  """Returns a server with all features."""
  server = Server(version, search_paths)
  for method, answer in (
    (types.INITIALIZED, _initialized),
    (types.TEXT_DOCUMENT_DID_OPEN, _changed),
    (types.TEXT_DOCUMENT_DID_CHANGE, _changed),
    (types.TEXT_DOCUMENT_DID_SAVE, _changed),
    (types.TEXT_DOCUMENT_DID_CLOSE, _closed),
    (types.WORKSPACE_DID_CHANGE_WATCHED_FILES, _changed),
    (types.TEXT_DOCUMENT_HOVER, _hover),
    (types.TEXT_DOCUMENT_DEFINITION, _definition),
    (types.TEXT_DOCUMENT_REFERENCES, _references),
    (types.TEXT_DOCUMENT_RENAME, _rename),
    (types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, _outline),
    (types.TEXT_DOCUMENT_FORMATTING, _format),
  ):
    server.feature(method)(functools.partial(answer, server))
  completion = types.CompletionOptions(
    trigger_characters=['@', '%', '.', '/', "'", '"']
  )
  server.feature(types.TEXT_DOCUMENT_COMPLETION, completion)(
    functools.partial(_completion, server)
  )
  actions = types.CodeActionOptions([types.CodeActionKind.QuickFix])
  server.feature(types.TEXT_DOCUMENT_CODE_ACTION, actions)(
    functools.partial(_actions, server)
  )
  return server


def _initialized(server: Server, params: types.InitializedParams) -> None:
  del params
  server.enter_folder()


def _changed(server: Server, params: object) -> None:
  del params
  server.refresh()


def _closed(server: Server, params: types.DidCloseTextDocumentParams) -> None:
  server.text_document_publish_diagnostics(
    types.PublishDiagnosticsParams(params.text_document.uri, [])
  )


def _completion(
  server: Server, params: types.CompletionParams
) -> types.CompletionList:
  answers_ = server.about(params.text_document.uri)
  offset = server.offset(params)
  path = server.workspace.get_text_document(params.text_document.uri).path
  items = [
    types.CompletionItem(
      label=each.text,
      kind=_KINDS[each.kind],
      detail=each.detail or None,
      sort_text=f'{index:05}',
      filter_text=each.text,
      text_edit=types.TextEdit(
        server.place(path, each.start, offset), each.text
      ),
    )
    for index, each in enumerate(answers_.completions(offset))
  ]
  return types.CompletionList(is_incomplete=True, items=items)


def _hover(server: Server, params: types.HoverParams) -> types.Hover | None:
  answers_, offset = (
    server.about(params.text_document.uri),
    server.offset(params),
  )
  text = answers_.hover(offset)
  if not text:
    return None
  _, part = answers_.part(offset)
  path = server.workspace.get_text_document(params.text_document.uri).path
  return types.Hover(
    types.MarkupContent(types.MarkupKind.Markdown, text),
    server.place(path, part.start, part.end),
  )


def _definition(
  server: Server, params: types.DefinitionParams
) -> list[types.Location]:
  found = server.about(params.text_document.uri).definition(
    server.offset(params)
  )
  return [*map(server.location, found)]


def _references(
  server: Server, params: types.ReferenceParams
) -> list[types.Location]:
  found = server.about(params.text_document.uri).references(
    server.offset(params)
  )
  return [*map(server.location, found)]


def _rename(
  server: Server, params: types.RenameParams
) -> types.WorkspaceEdit | None:
  places = server.about(params.text_document.uri).renaming(
    server.offset(params)
  )
  if not places:
    raise JsonRpcInvalidParams('Only macros can be renamed.')
  if not statements.is_macro(params.new_name):
    raise JsonRpcInvalidParams(
      f'A macro is written in capitals. Received: {params.new_name}.'
    )
  changes: dict[str, list[types.TextEdit]] = {}
  for each in map(server.location, places):
    edits = changes.setdefault(each.uri, [])
    edits.append(types.TextEdit(each.range, params.new_name))
  return types.WorkspaceEdit(changes=changes)


def _outline(
  server: Server, params: types.DocumentSymbolParams
) -> Iterable[types.DocumentSymbol]:
  document = server.workspace.get_text_document(params.text_document.uri)
  return [
    types.DocumentSymbol(
      name=name,
      detail=' '.join(value.split())[:60],
      kind=types.SymbolKind.Constant if name.isupper() else _SYMBOLS[each.kind],
      range=server.place(document.path, each.start, each.end),
      selection_range=server.place(
        document.path, each.name.start, each.name.end
      ),
    )
    for name, value, each in server.about(document.uri).outline()
  ]


def _format(
  server: Server, params: types.DocumentFormattingParams
) -> list[types.TextEdit]:
  document = server.workspace.get_text_document(params.text_document.uri)
  text = document.source
  edit = findings.Edit(0, len(text), formatting.formatted(text))
  return [] if edit.text == text else [server.edit(document.path, edit)]


def _actions(
  server: Server, params: types.CodeActionParams
) -> list[types.CodeAction]:
  document = server.workspace.get_text_document(params.text_document.uri)
  server.about(document.uri)
  found = []
  for each in server.gin.lint([document.path]):
    if each.edit and linting.absolute(each.file) == document.path:
      place = server.finding_range(document.path, each)
      wanted = params.range
      if place.start <= wanted.end and wanted.start <= place.end:
        edit = server.edit(document.path, each.edit)
        found.append(
          types.CodeAction(
            title=f'Write {each.edit.text.strip()}',
            kind=types.CodeActionKind.QuickFix,
            is_preferred=True,
            diagnostics=[server._diagnostic(each)],
            edit=types.WorkspaceEdit(changes={document.uri: [edit]}),
          )
        )
  return found
