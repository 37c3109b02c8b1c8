import gzip
import io
import os
import tarfile
import zipfile
from unittest import mock

import fsspec
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from beam_pipelines import archives
from tinygin.config import errors
from tinygin.config import files


def _write_zip(path, contents, compression=zipfile.ZIP_STORED):
  with zipfile.ZipFile(path, 'w', compression) as archive:
    for name, content in contents:
      archive.writestr(name, content)
  return path


def _tar(contents, format=tarfile.PAX_FORMAT):
  """Returns a tar archive."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w', format=format) as archive:
    for name, content in contents.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return buffer.getvalue()


def _read_all(path):
  return {n: archives.read(m) for n, m in archives.members(path).items()}


class ArchivesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = os.path.join(self.create_tempdir().full_path, 'a.zip')

  @settings(deadline=None, max_examples=30, derandomize=True)
  @given(
    st.dictionaries(
      st.text('abc', min_size=1, max_size=5),
      st.binary(max_size=300),
      min_size=1,
      max_size=5,
    ),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
  )
  def test_reads_what_zipfile_wrote(self, contents, compression):
    _write_zip(self.path, contents.items(), compression)
    members = archives.members(self.path)
    stored = archives.read_stored(list(members.values()))
    found = dict(
      zip(members, map(archives.unpack, members.values(), stored), strict=True)
    )
    self.assertEqual(found, contents)

  def test_tar_archives_in_archives_and_folders_are_folders(self):
    cats = {'a.JPEG': b'1' * 600, 'b.JPEG': b''}
    dogs = {'c.JPEG': b'2' * 512}
    expected = {
      **{f'n01/{name}': content for name, content in cats.items()},
      **{f'n02/{name}': content for name, content in dogs.items()},
    }
    tars = {'n01.tar': _tar(cats), 'n02.tar': _tar(dogs)}
    folder = self.create_tempdir()
    for name, content in tars.items():
      folder.create_file(name, content, mode='wb')
    with open(self.path, 'wb') as file:
      file.write(_tar(tars))
    self.assertEqual(_read_all(self.path), expected)
    self.assertEqual(_read_all(folder.full_path), expected)

  def test_folder(self):
    folder = self.create_tempdir()
    folder.create_file('a/b.txt', b'content', mode='wb')
    folder.create_file('c.txt', b'', mode='wb')
    self.assertEqual(
      _read_all(folder.full_path), {'a/b.txt': b'content', 'c.txt': b''}
    )

  def test_urls(self):
    zipped = io.BytesIO()
    _write_zip(zipped, [('file', b'zipped')])
    filesystem = fsspec.filesystem('memory')
    filesystem.store.clear()
    filesystem.pipe('/bucket/a.zip', zipped.getvalue())
    filesystem.pipe('/bucket/folder/n01.tar', _tar({'x': b'tarred'}))
    filesystem.pipe('/bucket/folder/b/c', b'plain')
    self.assertEqual(_read_all('memory://bucket/a.zip'), {'file': b'zipped'})
    self.assertEqual(
      _read_all('memory://bucket/folder'),
      {'n01/x': b'tarred', 'b/c': b'plain'},
    )

  def test_tar_archive_of_the_folder_above(self):
    # As `tar -cf a.tar .` and `tar -cf n01.tar .` write it.
    inner = _tar({'./a.JPEG': b'1', './._a.JPEG': b'clutter'})
    with open(self.path, 'wb') as file:
      file.write(_tar({'./n01.tar': inner, './n02/b.JPEG': b'2'}))
    self.assertEqual(
      _read_all(self.path), {'n01/a.JPEG': b'1', 'n02/b.JPEG': b'2'}
    )

  def test_old_tar_archive(self):
    content = bytearray(_tar({'n01/a': b'1'}, tarfile.USTAR_FORMAT))
    content[257:265] = bytes(8)  # Older headers have no magic number.
    content[148:156] = b' ' * 8
    content[148:156] = b'%06o\0 ' % sum(content[:512])
    with open(self.path, 'wb') as file:
      file.write(content)
    self.assertEqual(_read_all(self.path), {'n01/a': b'1'})

  def test_compressed_tar_archive(self):
    with open(self.path, 'wb') as file:
      file.write(gzip.compress(_tar({'n01/a': b'1'})))
    with self.assertRaisesRegex(
      errors.InputError, 'compressed by gzip. Unpack it first'
    ):
      archives.members(self.path)

  def test_compressed_tar_archives_in_a_folder(self):
    folder = self.create_tempdir()
    folder.create_file('n01.tar.gz', b'', mode='wb')
    with self.assertRaisesRegex(
      errors.InputError, 'Unpack them first. Received: n01.tar.gz.'
    ):
      archives.members(folder.full_path)

  @parameterized.parameters(1024 + 700, 1024 + 600, 512, 700)
  def test_tar_cut_short(self, size):
    whole = _tar({'n01.tar': _tar({'a.JPEG': b'1' * 600})})
    with open(self.path, 'wb') as file:
      file.write(whole[:size])
    with self.assertRaisesRegex(
      errors.InputError,
      f'^Every tar archive must be complete. Received: {self.path} .*: .*'
      'Fetch it again.$',
    ):
      archives.members(self.path)

  def test_link_in_a_tar_archive(self):
    with tarfile.open(self.path, 'w') as archive:
      info = tarfile.TarInfo('passwords')
      info.type, info.linkname = tarfile.SYMTYPE, '/etc/passwd'
      archive.addfile(info)
    with self.assertRaisesRegex(
      errors.InputError, 'passwords is neither a file nor a folder'
    ):
      archives.members(self.path)

  def test_a_read_error_is_not_damage(self):
    folder = self.create_tempdir()
    folder.create_file('a', b'content', mode='wb')
    (member,) = archives.members(folder.full_path).values()
    with self.assertRaises(FileNotFoundError):
      archives.read(member._replace(archive=folder.full_path + '/b'))
    os.truncate(member.archive, 3)
    with self.assertRaisesRegex(OSError, 'Ends too early'):
      archives.read(member)

  def test_folders_are_no_members(self):
    _write_zip(self.path, [('folder/', b''), ('folder/file', b'1')])
    self.assertEqual(list(archives.members(self.path)), ['folder/file'])

  def test_changed_content_is_found_by_its_crc(self):
    _write_zip(self.path, [('file', b'content')])
    with open(self.path, 'rb') as file:
      damaged = file.read().replace(b'content', b'c0ntent', 1)
    member = archives.members(self.path)['file']
    with open(self.path, 'wb') as file:
      file.write(damaged)
    with self.assertRaisesRegex(
      archives.CorruptMemberError,
      'CRC-32 must be [0-9a-f]{8}. Received: [0-9a-f]{8}',
    ):
      archives.read(member)

  def test_zip_bomb_is_not_inflated(self):
    _write_zip(self.path, [('file', bytes(10**6))], zipfile.ZIP_DEFLATED)
    member = archives.members(self.path)['file']._replace(size=100)
    with self.assertRaisesRegex(
      archives.CorruptMemberError, 'size must be 100 bytes. Received: 101'
    ):
      archives.read(member)

  @parameterized.parameters(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
  def test_announced_zip_bomb_is_not_read(self, compression):
    _write_zip(self.path, [('file', bytes(101))], compression)
    (member,) = archives.members(self.path).values()
    with (
      mock.patch.object(archives, 'MAX_BYTES', 100),
      mock.patch.object(files, 'read_ranges', return_value=[b'']) as reads,
      self.assertRaisesRegex(archives.CorruptMemberError, 'at most 100 are'),
    ):
      archives.read(member)
    self.assertEqual(reads.call_args.args[2], [0])

  def test_wrong_offset(self):
    _write_zip(self.path, [('file', b'content')])
    member = archives.members(self.path)['file']._replace(offset=1)
    with self.assertRaisesRegex(
      archives.CorruptMemberError, 'no zip header at byte 1'
    ):
      archives.read(member)

  def test_missing_archive(self):
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'The source {self.path} cannot be read: No such file or directory.',
    ):
      archives.members(self.path)

  @parameterized.parameters(
    (
      b'PK\3\4' + bytes(50),
      'a zip file cut short or damaged: File is not a zip file',
    ),
    (
      b'\n<!DOCTYPE html><html>',
      "a web page, not an archive: it begins with b'<!DOCTYPE html>'",
    ),
    (b'hello', "not an archive: it begins with b'hello'"),
    (b'', "not an archive: it begins with b''"),
  )
  def test_not_a_zip_file(self, content, reason):
    with open(self.path, 'wb') as file:
      file.write(content)
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'The archive must be a complete zip or tar file. Received: {self.path} '
      f'({len(content)} bytes), {reason}. Fetch it again.',
    ):
      archives.members(self.path)

  @parameterized.parameters(
    (b'\x14\x03\x14', b'\x14\x03\xff', 'zip file version 25.5'),
    ('é'.encode(), b'\xff\xfe', "'utf-8' codec can't decode byte 0xff"),
  )
  def test_damaged_directory_of_a_zip_file(self, before, after, reason):
    _write_zip(self.path, [('é', b'')])
    with open(self.path, 'rb') as file:
      start, directory = file.read().split(b'PK\1\2')
    with open(self.path, 'wb') as file:
      file.write(start + b'PK\1\2' + directory.replace(before, after, 1))
    with self.assertRaisesRegex(
      errors.InputError, f'cut short or damaged: {reason}.* Fetch it again.$'
    ):
      archives.members(self.path)

  def test_damaged_first_header_of_a_tar_archive_in_another(self):
    with open(self.path, 'wb') as file:
      file.write(_tar({'n01.tar': b'?' + _tar({'a.JPEG': b'1'})[1:]}))
    with self.assertRaisesRegex(
      errors.InputError,
      'Every tar archive must be complete. .* it is cut short after n01/. ',
    ):
      archives.members(self.path)

  @parameterized.parameters('../up', '/etc/passwd', 'a/../../b', 'a\\b')
  def test_names_that_lead_elsewhere(self, name):
    _write_zip(self.path, [(name, b'')])
    with self.assertRaisesWithLiteralMatch(
      errors.InputError,
      f'{self.path} must name each member once, by a relative path without '
      f'"..". Received: {name!r}.',
    ):
      archives.members(self.path)

  def test_a_name_twice(self):
    with self.assertWarnsRegex(UserWarning, 'Duplicate name'):
      _write_zip(self.path, [('file', b'1'), ('file', b'2')])
    with self.assertRaisesRegex(errors.InputError, "Received: 'file' twice"):
      archives.members(self.path)


if __name__ == '__main__':
  absltest.main()
