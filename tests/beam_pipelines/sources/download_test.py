import hashlib
import http.server
import os
import threading

import fsspec
from absl.testing import absltest

from beam_pipelines.sources import download
from tinygin.config import errors

CONTENT = bytes(range(256)) * 8192
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
  requests = 0

  def do_GET(self):
    type(self).requests += 1
    if self.path == '/missing.zip':
      self.send_error(404)
      return
    body = b'<html>Moved</html>' if self.path == '/page.zip' else CONTENT
    self.send_response(200)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body[:1000] if self.path == '/short.zip' else body)

  def log_message(self, *args):
    pass


class DownloadTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.server = http.server.HTTPServer(('127.0.0.1', 0), _Handler)
    thread = threading.Thread(target=cls.server.serve_forever)
    thread.start()
    cls.addClassCleanup(thread.join)
    cls.addClassCleanup(cls.server.server_close)
    cls.addClassCleanup(cls.server.shutdown)

  def setUp(self):
    super().setUp()
    self.folder = self.create_tempdir().full_path

  def _remote(self, name):
    url = f'http://127.0.0.1:{self.server.server_port}/{name}'
    return download.RemoteFile(url, len(CONTENT), SHA256)

  def test_downloads_once(self):
    remote = self._remote('good.zip')
    path = download.fetch(remote, os.path.join(self.folder, 'new'))
    with open(path, 'rb') as file:
      self.assertEqual(file.read(), CONTENT)
    requests = _Handler.requests
    self.assertEqual(download.fetch(remote, os.path.dirname(path)), path)
    self.assertEqual(_Handler.requests, requests)
    self.assertEqual(os.listdir(os.path.dirname(path)), ['good.zip'])

  def test_downloads_into_a_bucket(self):
    path = download.fetch(self._remote('good.zip'), 'memory://b/downloads')
    self.assertEqual(path, 'memory://b/downloads/good.zip')
    self.assertEqual(fsspec.filesystem('memory').cat(path), CONTENT)
    self.assertEqual(download.sha256(path), SHA256)

  def test_web_page_instead_of_the_file(self):
    with self.assertRaisesRegex(
      errors.InputError,
      f'^page.zip must be {len(CONTENT):,} bytes with SHA-256 {SHA256}. '
      r'Received from http://127.0.0.1:\d+/page.zip: 18 bytes with SHA-256 '
      r'[0-9a-f]{64}. Try again.$',
    ):
      download.fetch(self._remote('page.zip'), self.folder)
    self.assertEmpty(os.listdir(self.folder))

  def test_connection_that_breaks_off(self):
    with self.assertRaisesRegex(
      errors.InputError,
      r'^short.zip must be 2,097,152 bytes .* Received from .*: 1,000 bytes',
    ):
      download.fetch(self._remote('short.zip'), self.folder)
    self.assertEmpty(os.listdir(self.folder))

  def test_address_without_a_file(self):
    with self.assertRaisesRegex(
      errors.InputError,
      r"zip: <HTTPError 404: 'Not Found'> after 0 bytes",
    ):
      download.fetch(self._remote('missing.zip'), self.folder)
    self.assertEmpty(os.listdir(self.folder))

  def test_damaged_file_of_an_earlier_download(self):
    path = os.path.join(self.folder, 'good.zip')
    with open(path, 'wb') as file:
      file.write(CONTENT[:-1])
    with self.assertRaisesRegex(
      errors.InputError, 'Delete the file to download it again.$'
    ):
      download.fetch(self._remote('good.zip'), self.folder)


if __name__ == '__main__':
  absltest.main()
