import errno
import os
import pathlib
from unittest import mock

import fsspec
from absl.testing import absltest
from absl.testing import parameterized
from fsspec.implementations import memory

from tinygin.config import errors
from tinygin.config import files

MEMORY = fsspec.filesystem('memory')


def _names(path):
  return [(file.name, file.size) for file in files.list_files(path)]


class FilesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    MEMORY.store.clear()
    MEMORY.pseudo_dirs[:] = ['']
    self.temporary = self.create_tempdir()
    self.folder = self.temporary.full_path

  def _create(self, folder, **contents):
    """Writes files below a folder, local or in memory; returns the folder."""
    path = 'memory://bucket/data' if folder == 'memory' else self.folder
    for name, content in contents.items():
      with files.write(f'{path}/{name.replace("__", "/")}') as file:
        file.write(content)
    return path

  @parameterized.parameters('local', 'memory')
  def test_lists_a_folder_or_a_file(self, place):
    path = self._create(place, b__c=b'12', a=b'', b__a=b'1')
    self.assertEqual(_names(path), [('a', 0), ('b/a', 1), ('b/c', 2)])
    self.assertEqual(files.list_files(path)[2].path, f'{path}/b/c')
    self.assertEqual(
      files.list_files(f'{path}/b/c'), [files.File('c', f'{path}/b/c', 2)]
    )

  @parameterized.parameters('local', 'memory')
  def test_files_of_operating_systems_do_not_count(self, place):
    path = self._create(place, a__b=b'1')
    for name in ('.DS_Store', 'a/Thumbs.db', 'a/._b', '__MACOSX/a/b'):
      with files.write(f'{path}/{name}') as file:
        file.write(b'clutter')
    self.assertEqual(_names(path), [('a/b', 1)])

  @parameterized.parameters('local', 'memory')
  def test_writes_all_or_nothing(self, place):
    path = self._create(place, a=b'1')
    with self.assertRaises(KeyError), files.write(f'{path}/b/c') as file:
      file.write(b'2')
      raise KeyError
    self.assertFalse(files.exists(f'{path}/b/c'))
    self.assertEqual(_names(path), [('a', 1)])
    with files.write(f'{path}/a') as file:
      file.write(b'new')
    self.assertEqual(files.read(f'{path}/a'), b'new')

  @parameterized.parameters('local', 'memory')
  def test_reads_ranges(self, place):
    path = self._create(place, a=b'0123456789', b=b'abc')
    a, b = f'{path}/a', f'{path}/b'
    self.assertEqual(
      files.read_ranges([a, b, a, a], [0, 1, 8, 5], [2, 2, 2, 0]),
      [b'01', b'bc', b'89', b''],
    )
    for offset in (2, 7):
      with self.assertRaises(OSError) as caught:
        files.read_ranges([a, b], [0, offset], [2, 2])
      self.assertEqual(caught.exception.filename, b)
    with self.assertRaises(FileNotFoundError) as caught:
      files.read_ranges([a, f'{path}/c'], [0, 0], [2, 2])
    self.assertEqual(caught.exception.filename, f'{path}/c')
    self.assertEqual(caught.exception.errno, errno.ENOENT)

  @parameterized.parameters('local', 'memory')
  def test_moves_and_removes(self, place):
    path = self._create(place, a=b'1', b__c=b'2', b__d__e=b'3')
    files.move(f'{path}/b/c', f'{path}/a')
    self.assertEqual(files.read(f'{path}/a'), b'2')
    self.assertEqual(files.names(path), {'a', 'b'})
    self.assertEqual(files.names(f'{path}/b'), {'d'})
    self.assertEqual(files.names(f'{path}/a'), set())
    self.assertEqual(files.names(f'{path}/none'), set())
    for _ in range(2):
      files.remove(f'{path}/a')
      files.remove_folder(f'{path}/b')
    self.assertEqual(files.names(path), set())

  @parameterized.parameters('local', 'memory')
  def test_creates_only_once(self, place):
    path = self._create(place, a=b'1')
    files.create(f'{path}/b', b'2')
    with self.assertRaises(FileExistsError):
      files.create(f'{path}/b', b'3')
    self.assertEqual(files.read(f'{path}/b'), b'2')

  @parameterized.parameters('local', 'memory')
  def test_local_copies(self, place):
    path = self._create(place, a=b'1', b__x=b'2', big=b'3')
    with files.local_copy(f'{path}/a') as copy:
      self.assertEqual(pathlib.Path(copy).read_bytes(), b'1')
    self.assertEqual(os.path.exists(copy), place == 'local')
    with files.local_folder(path, leave_out='ig') as copy:
      expected = ['a', 'b', 'big'] if place == 'local' else ['a']
      self.assertCountEqual(os.listdir(copy), expected)
    self.assertEqual(os.path.exists(copy), place == 'local')

  @parameterized.parameters(
    (FileNotFoundError('bucket/a'), errno.ENOENT, 'No such file or directory'),
    (PermissionError('Forbidden: a'), errno.EACCES, 'Forbidden: a'),
    (OSError('Service unavailable'), errno.EIO, 'Service unavailable'),
    (TimeoutError(), errno.EIO, 'TimeoutError'),
  )
  def test_errors_of_clients_get_numbers_and_paths(self, error, number, text):
    with (
      mock.patch.object(memory.MemoryFileSystem, 'cat_file', side_effect=error),
      self.assertRaises(OSError) as caught,
    ):
      files.read('memory://bucket/a')
    self.assertEqual(
      str(caught.exception), f"[Errno {number}] {text}: 'memory://bucket/a'"
    )

  def test_written_files_have_the_mode_of_the_umask(self):
    before = os.umask(0o022)
    self.addCleanup(os.umask, before)
    with files.write(f'{self.folder}/a'):
      pass
    self.assertEqual(os.stat(f'{self.folder}/a').st_mode & 0o777, 0o644)

  def test_placeholders_of_folders_in_a_bucket(self):
    path = self._create('memory', a=b'1')
    for name in ('/bucket/data/', '/bucket/data/b/'):
      MEMORY.store[name] = memory.MemoryFile(MEMORY, name, b'')
    self.assertEqual(_names(path), [('a', 1)])

  def test_links_are_followed(self):
    elsewhere = self.create_tempdir()
    elsewhere.create_file('b', '12')
    os.symlink(elsewhere.full_path, f'{self.folder}/a')
    os.symlink(f'{elsewhere.full_path}/b', f'{self.folder}/c')
    self.assertEqual(_names(self.folder), [('a/b', 2), ('c', 2)])

  def test_link_to_nothing(self):
    os.symlink('gone', f'{self.folder}/a')
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'The source {self.folder}/a cannot be read: No such file or directory '
      f'(a link to gone).',
    ):
      files.list_files(self.folder)

  def test_link_to_a_folder_above(self):
    self.temporary.mkdir('a')
    os.symlink('..', f'{self.folder}/a/b')
    with self.assertRaisesRegex(
      errors.InputError, f'{self.folder}/a/b cannot be read: .* folder above'
    ):
      files.list_files(self.folder)

  def test_folder_that_cannot_be_read(self):
    self._create('local', a__b=b'1', c__d=b'')
    scandir = os.scandir

    def deny(path):
      if os.fspath(path).endswith('/c'):
        raise PermissionError(13, 'Permission denied', path)
      return scandir(path)

    with (
      mock.patch.object(os, 'scandir', deny),
      self.assertRaisesRegex(
        errors.InputError, f'{self.folder}/c cannot be read: Permission denied'
      ),
    ):
      files.list_files(self.folder)

  def test_nothing_there(self):
    for path in ('memory://none', self.folder):
      with self.assertRaisesRegex(errors.InputError, f'{path} holds no files'):
        files.list_files(path)
    with self.assertRaisesRegex(errors.InputError, f'{self.folder}/none can'):
      files.list_files(f'{self.folder}/none')

  def test_file_system_that_is_not_there(self):
    with (
      mock.patch.object(
        fsspec.core, 'url_to_fs', side_effect=ImportError('Install gcsfs')
      ),
      self.assertRaisesRegex(
        errors.InputError, 'fsspec cannot open gs://a/b: Install gcsfs'
      ),
    ):
      files.list_files('gs://a/b')
    with self.assertRaisesRegex(errors.InputError, 'Protocol not known: nope'):
      files.list_files('nope://a/b')

  def test_any_local_name_is_a_path(self):
    name = '[a]::b\\c*'
    with files.write(f'{self.folder}/{name}') as file:
      file.write(b'1')
    self.assertEqual(files.read(f'{self.folder}/{name}'), b'1')
    self.assertEqual(_names(self.folder), [(name, 1)])


if __name__ == '__main__':
  absltest.main()
