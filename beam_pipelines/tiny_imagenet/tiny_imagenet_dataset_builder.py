"""The TFDS builder `tiny_imagenet`."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Any

import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import dataset_builder

from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines import lease
from beam_pipelines import shards
from beam_pipelines import validation_split
from beam_pipelines import versions
from beam_pipelines.sources import stanford
from tinygin.config import files
from tinygin.config import loading
from tinygin.config import paths

if TYPE_CHECKING:
  from beam_pipelines import dataset


@dataclasses.dataclass(eq=False, kw_only=True)
class TinyImagenetConfig(tfds.core.BuilderConfig):
  """A declared data set as one of TFDS's configurations.

  Attributes:
    dataset: as declared. Its `data_dir` does not count: TFDS has its own.
  """

  dataset: 'dataset.Dataset'


class Builder(dataset_builder.FileReaderBuilder):
  """Builds `tiny_imagenet` by a Beam pipeline, one task for each file."""

  # TFDS does not find the files of a package inside a namespace package.
  code_path = epath.Path(__file__)
  pkg_dir_path = code_path.parent
  VERSION = tfds.core.Version(fingerprint.VERSION)
  RELEASE_NOTES = {fingerprint.VERSION: 'First version.'}

  @tfds.core.utils.classproperty
  @classmethod
  @tfds.core.utils.memoize()
  def BUILDER_CONFIGS(cls) -> list[TinyImagenetConfig]:
    """The data sets that `tfds.load` knows by name."""
    return [_load_config(name) for name in ('stanford', 'quickstart')]

  def _create_builder_config(self, builder_config, version):
    # TFDS refuses another configuration under a known name. Here the
    # fingerprint tells data sets apart, not the name.
    if isinstance(builder_config, TinyImagenetConfig):
      return builder_config
    return super()._create_builder_config(builder_config, version)

  def _info(self) -> tfds.core.DatasetInfo:
    declared = self.builder_config.dataset
    return self.dataset_info_from_configs(
      features=shards.features(declared.image_size, declared.resize),
      supervised_keys=('image', 'label'),
      homepage='http://cs231n.stanford.edu',
      metadata=tfds.core.MetadataDict(),
    )

  def download_and_prepare(
    self,
    *,
    index: indexing.Index | None = None,
    url: str | None = None,
    download_dir: epath.PathLike | None = None,
    **kwargs: Any,
  ) -> None:
    """Builds the data set unless it exists; see TFDS for other arguments.

    Only one process at a time builds a data set. A second one waits for it and
    then finds the data set built. The finished files of an interrupted build
    are reused.

    Args:
      index: the source's examples, if already known.
      url: of the data set's folder, on any file system of fsspec. TFDS keeps
        only a copy of its own files in its folder. None: everything is in the
        folder of TFDS.
      download_dir: for archives; None: `downloads` next to the data sets.
      **kwargs: for TFDS.

    Raises:
      errors.InputError: the source is wrong.
    """
    downloads = download_dir or epath.Path(self._data_dir_root) / 'downloads'
    if not self.data_path.exists():
      declared = self.builder_config.dataset
      self._index = index or indexing.read_index(
        declared.source, declared.classes, os.fspath(downloads)
      )
    self._url = url
    parent = os.path.dirname(url or os.fspath(self.data_path))
    with _alone_in(parent) as self._lease:
      if url and 'dataset_info.json' in files.names(url):
        return
      super().download_and_prepare(download_dir=downloads, **kwargs)
      if url:
        _publish(self.data_path, url)
    self.info.read_from_directory(self.data_dir)

  def _download_and_prepare(
    self,
    dl_manager: tfds.download.DownloadManager,
    download_config: tfds.download.DownloadConfig,
  ) -> None:
    """Writes the record files into `self.data_path`, which TFDS renames.

    With a URL, they are written there.
    """
    declared, options = (
      self.builder_config.dataset,
      download_config.beam_options,
    )
    if declared.source == stanford.Stanford(stanford.official_archive().url):
      # TFDS takes the download size from this.
      dl_manager._recorded_url_infos.update(self.url_infos)
    target = self._url or os.fspath(self.data_path)
    parameters = declared.parameters(self._index.identity)
    digest = fingerprint.digest(parameters)
    work = self._work_folder(digest)
    index = validation_split.hold_out(self._index, work, options)
    reports = shards.write(index, work, declared, options)
    rejected = shards.rejected(reports, declared.max_bad_images)
    self._lease.check()
    if self._url:
      files.remove_folder(target)  # Of a build that ended at this point.
    written = [report for found in reports.values() for report in found]
    for each in written:
      files.move(each.path, os.path.join(target, os.path.basename(each.path)))
    if rejected:
      lines = ''.join(json.dumps(each) + '\n' for each in rejected)
      path = self.data_path / fingerprint.REJECTED
      path.write_text(lines, encoding='utf-8')
    files.remove_folder(work)

    self.info.features['label'].names = list(index.class_names)
    self.info.set_splits(self._splits(reports))
    self.info.metadata.update(
      fingerprint=digest,
      parameters=parameters,
      rejected=len(rejected),
      sha256={os.path.basename(each.path): each.sha256 for each in written},
      source=repr(declared.source),
      versions=versions.current(),
      wordnet_ids=index.wordnet_ids,
    )

  def _work_folder(self, digest: str) -> str:
    """Returns the folder of unfinished files; removes those of other builds."""
    parent = os.path.dirname(self._url or os.fspath(self.data_path))
    prefix = f'.{self.version}-'
    work = f'{prefix}{digest[:16]}'
    for other in files.names(parent) - {work}:
      if other.startswith(prefix):
        files.remove_folder(os.path.join(parent, other))
    return os.path.join(parent, work)

  def _log_download_bytes(self) -> None:
    """Prints nothing: TFDS does not know the sizes."""

  def _log_download_done(self) -> None:
    """Prints nothing: the caller reports the result."""

  def _splits(
    self, reports: dict[str, list[shards.Report]]
  ) -> tfds.core.SplitDict:
    return tfds.core.SplitDict(
      [
        tfds.core.SplitInfo(
          name=split,
          shard_lengths=[report.examples for report in found],
          num_bytes=sum(report.example_bytes for report in found),
          filename_template=self._get_filename_template(split),
        )
        for split, found in reports.items()
      ]
    )


def _load_config(name: str) -> TinyImagenetConfig:
  """Returns the data set that `gin/data/NAME.gin` declares."""
  path = os.path.join(paths.configurations(), 'gin', 'data', f'{name}.gin')
  declared = loading.load([path], [], root='dataset').build()
  return TinyImagenetConfig(
    name=name, description=f'As in gin/data/{name}.gin.', dataset=declared
  )


def _publish(folder: epath.Path, url: str) -> None:
  """Copies the files of TFDS to a URL.

  A data set without `dataset_info.json` does not count as built. So this file
  is the last one: a bucket has no folders that could be renamed.
  """
  *others, last = sorted(
    folder.iterdir(), key=lambda path: path.name == 'dataset_info.json'
  )
  for path in (*others, last):
    files.write_bytes(os.path.join(url, path.name), path.read_bytes())


@contextlib.contextmanager
def _alone_in(directory: str) -> Iterator[lease.Lease]:
  """Makes a folder that only one build at a time uses.

  Any half-built data set in it is abandoned once the lease is held.
  """
  try:
    with lease.hold(directory) as held:
      for name in files.names(directory):
        if name.startswith('incomplete.'):
          files.remove_folder(os.path.join(directory, name))
      yield held
  finally:
    if not files.is_remote(directory):
      with contextlib.suppress(OSError):
        os.rmdir(directory)  # Only if nothing was built in it.
