"""Drives the language server over stdio as an editor does."""

import asyncio
import os
import pathlib
import sys
import unittest

from absl.testing import absltest
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

from tests.config.config_case import COMPLETE

_TEXT = """include 'base.gin'
# Größer 🎈.
LEARNING_RATE = 0.2   # Higher.
train.labl = ["🎈", %LERNING_RATE]
"""
_TIMEOUT = 120


class LanguageServerTest(unittest.IsolatedAsyncioTestCase, absltest.TestCase):
  async def asyncSetUp(self):
    folder = self.create_tempdir()
    self.folder = pathlib.Path(folder.full_path)
    self.base = self.folder / 'base.gin'
    self.base.write_text(COMPLETE, encoding='utf-8')
    self.mine = self.folder / 'mine.gin'
    self.mine.write_text('', encoding='utf-8')
    self.published = asyncio.Queue()
    self.client = LanguageClient('test', '1')

    @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def published(params):
      self.published.put_nowait(params)

    environment = {
      **os.environ,
      'PYTHONPATH': os.pathsep.join(sys.path),
      'XDG_CACHE_HOME': os.path.join(absltest.TEST_TMPDIR.value, 'cache'),
    }
    environment.pop('BUILD_WORKING_DIRECTORY', None)
    await self.client.start_io(
      sys.executable,
      '-m',
      'tinygin.language_server',
      cwd='/',
      env=environment,
    )
    self.addAsyncCleanup(self._stop)
    await self.client.initialize_async(
      types.InitializeParams(
        capabilities=types.ClientCapabilities(),
        workspace_folders=[types.WorkspaceFolder(self.folder.as_uri(), 'x')],
      )
    )
    self.client.initialized(types.InitializedParams())

  async def _stop(self):
    await self.client.shutdown_async(None)
    self.client.exit(None)
    await self.client.stop()

  async def open(self, text):
    """Opens mine.gin and returns what is published about it."""
    self.text = text
    self.client.text_document_did_open(
      types.DidOpenTextDocumentParams(
        types.TextDocumentItem(self.mine.as_uri(), 'gin', 1, text)
      )
    )
    return await self.diagnostics()

  async def diagnostics(self):
    found = await asyncio.wait_for(self.published.get(), _TIMEOUT)
    self.assertEqual(found.uri, self.mine.as_uri())
    return found.diagnostics

  def at(self, part, inside=0):
    """Returns the position parameters of a part of the text."""
    before = self.text[: self.text.index(part) + inside]
    line = before.rpartition('\n')[2]
    character = len(line.encode('utf-16-le')) // 2
    position = types.Position(before.count('\n'), character)
    document = types.TextDocumentIdentifier(self.mine.as_uri())
    return {'text_document': document, 'position': position}

  async def test_diagnostics_and_quick_fixes(self):
    found = await self.open(_TEXT)
    self.assertEqual([each.code for each in found], ['parameter', 'macro'])
    parameter, macro = found
    self.assertEqual(parameter.range.start, self.at('labl')['position'])
    self.assertEqual(parameter.range.end, self.at('labl', 4)['position'])
    self.assertEqual(macro.range.start, self.at('LERNING')['position'])
    self.assertIn('Did you mean train.label?', parameter.message)
    (action,) = await self.client.text_document_code_action_async(
      types.CodeActionParams(
        types.TextDocumentIdentifier(self.mine.as_uri()),
        parameter.range,
        types.CodeActionContext(found),
      )
    )
    ((uri, (edit,)),) = action.edit.changes.items()
    self.assertEqual((uri, edit.new_text), (self.mine.as_uri(), 'label'))
    self.assertEqual(edit.range, parameter.range)

  async def test_diagnostics_follow_the_text(self):
    await self.open(_TEXT)
    right = "include 'base.gin'\ntrain.label = 'a'\n"
    self.client.text_document_did_change(
      types.DidChangeTextDocumentParams(
        types.VersionedTextDocumentIdentifier(2, self.mine.as_uri()),
        [types.TextDocumentContentChangeWholeDocument(right)],
      )
    )
    self.assertEmpty(await self.diagnostics())
    # The other file makes this one wrong.
    self.base.write_text(
      COMPLETE.replace('train.epochs = 3', 'train.epochs = %gin.REQUIRED')
    )
    self.client.workspace_did_change_watched_files(
      types.DidChangeWatchedFilesParams(
        [types.FileEvent(self.base.as_uri(), types.FileChangeType.Changed)]
      )
    )
    (found,) = await self.diagnostics()
    self.assertEqual(found.code, 'missing')

  async def test_completion_and_hover(self):
    await self.open("include 'base.gin'\nNetwork.padding = ''\ntrain.\n")
    found = await self.client.text_document_completion_async(
      types.CompletionParams(**self.at("''", 1))
    )
    self.assertEqual([each.label for each in found.items], ['same', 'valid'])
    found = await self.client.text_document_completion_async(
      types.CompletionParams(**self.at('train.', 6))
    )
    labels = [each.label for each in found.items]
    self.assertEqual(labels[:2], ['epochs', 'optimizer'])
    hover = await self.client.text_document_hover_async(
      types.HoverParams(**self.at('padding'))
    )
    self.assertIn("one of 'same', 'valid'", hover.contents.value)
    self.assertEqual(hover.range.end, self.at('padding', 7)['position'])

  async def test_definition_references_and_renaming(self):
    await self.open("include 'base.gin'\nLEARNING_RATE = 0.2\n")
    (file,) = await self.client.text_document_definition_async(
      types.DefinitionParams(**self.at('base'))
    )
    self.assertEqual(file.uri, self.base.as_uri())
    places = await self.client.text_document_references_async(
      types.ReferenceParams(types.ReferenceContext(True), **self.at('LEARNING'))
    )
    self.assertLen(places, 3)
    edit = await self.client.text_document_rename_async(
      types.RenameParams(new_name='RATE', **self.at('LEARNING'))
    )
    counts = {uri: len(edits) for uri, edits in edit.changes.items()}
    self.assertEqual(counts, {self.base.as_uri(): 2, self.mine.as_uri(): 1})
    for name in ('rate', 'A B'):
      with self.assertRaisesRegex(JsonRpcException, 'capitals'):
        await self.client.text_document_rename_async(
          types.RenameParams(new_name=name, **self.at('LEARNING'))
        )

  async def test_outline_and_formatting(self):
    await self.open('A=1 # One.\ntrain.label   =  "a"')
    document = types.TextDocumentIdentifier(self.mine.as_uri())
    symbols = await self.client.text_document_document_symbol_async(
      types.DocumentSymbolParams(document)
    )
    self.assertEqual([each.name for each in symbols], ['A', 'train.label'])
    (edit,) = await self.client.text_document_formatting_async(
      types.DocumentFormattingParams(document, types.FormattingOptions(2, True))
    )
    self.assertEqual(edit.new_text, 'A = 1  # One.\ntrain.label = "a"\n')


if __name__ == '__main__':
  absltest.main()
