"""Files in memory, at `memory://`, that only Beam can reach."""

import io

from apache_beam.io import filesystem


class MemoryFileSystem(filesystem.FileSystem):
  """Registered with Beam by its definition; `files` are its contents."""

  files = {}

  @classmethod
  def scheme(cls):
    return 'memory'

  def _list(self, dir_or_prefix):
    for path, content in self.files.items():
      if path.startswith(dir_or_prefix):
        yield filesystem.FileMetadata(path, len(content))

  def open(self, path, mime_type=None, compression_type=None):
    return io.BytesIO(self.files[path])

  def has_dirs(self):
    return False

  def exists(self, path):
    return path in self.files

  def metadata(self, path):
    return filesystem.FileMetadata(path, len(self.files[path]))

  def _unsupported(self, *args, **kwargs):
    raise NotImplementedError

  join = split = mkdirs = create = copy = rename = _unsupported
  size = last_updated = checksum = delete = _unsupported
