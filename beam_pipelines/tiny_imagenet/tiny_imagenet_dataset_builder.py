"""The TFDS builder `tiny_imagenet`."""

import contextlib
import dataclasses
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import dataset_builder

from beam_pipelines import files
from beam_pipelines import fingerprint
from beam_pipelines import indexing
from beam_pipelines import resize as resizing
from beam_pipelines import shards
from beam_pipelines import validation_split
from beam_pipelines.sources import stanford
from beam_pipelines.sources import synthetic
from tinygin.config import errors


@dataclasses.dataclass(eq=False, kw_only=True)
class TinyImagenetConfig(tfds.core.BuilderConfig):
  """One data set: where its images come from and how they are stored.

  Attributes:
    source: of the images.
    classes: how many the source must have.
    image_size: height and width of the images, in pixels.
    resize: makes images of that size; None: they have it.
    examples_per_shard: the most that one record file holds.
    max_bad_images: how many may be left out.
  """

  source: indexing.Source
  classes: int
  image_size: int
  resize: resizing.Resize | None
  examples_per_shard: int
  max_bad_images: int


class Builder(dataset_builder.FileReaderBuilder):
  """Builds `tiny_imagenet` by a Beam pipeline, one file at a time."""

  # TFDS does not find the files of a package inside a namespace package.
  code_path = epath.Path(__file__)
  pkg_dir_path = code_path.parent
  VERSION = tfds.core.Version(fingerprint.VERSION)
  RELEASE_NOTES = {fingerprint.VERSION: 'The first.'}
  # The same values stand in gin/data/stanford.gin and gin/data/quickstart.gin.
  BUILDER_CONFIGS = [
    TinyImagenetConfig(
      name='stanford',
      description='The official archive: 200 classes, 110,000 labelled images.',
      source=stanford.Stanford(stanford.official_archive().url),
      classes=200,
      image_size=64,
      resize=None,
      examples_per_shard=2500,
      max_bad_images=0,
    ),
    TinyImagenetConfig(
      name='quickstart',
      description='Drawn images of 12 classes, made in seconds.',
      source=synthetic.Synthetic(
        seed=1,
        train_images=200,
        validation_images=50,
        test_images=10,
        noise=0.05,
        greyscale=0.01,
      ),
      classes=12,
      image_size=64,
      resize=None,
      examples_per_shard=600,
      max_bad_images=0,
    ),
  ]

  def _create_builder_config(self, builder_config, version):
    # TFDS refuses a configuration of one's own under a known name; here the
    # fingerprint, not the name, tells one data set from another.
    if isinstance(builder_config, TinyImagenetConfig):
      return builder_config
    return super()._create_builder_config(builder_config, version)

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=shards.features(
        self.builder_config.image_size, self.builder_config.resize
      ),
      supervised_keys=('image', 'label'),
      homepage='http://cs231n.stanford.edu',
      metadata=tfds.core.MetadataDict(),
    )

  def download_and_prepare(
    self,
    *,
    index: indexing.Index | None = None,
    download_dir: epath.PathLike | None = None,
    **kwargs: Any,
  ) -> None:
    """Builds the data set unless it is there; see TFDS for other arguments.

    Only one process at a time builds a data set; a second one waits, and finds
    it built. What a killed build leaves behind is used again, then removed.

    Args:
      index: the source's examples, where they are known already.
      download_dir: for archives; `downloads` beside the data sets if None.
      **kwargs: for TFDS.

    Raises:
      errors.InputError: the source is not what it should be.
    """
    downloads = download_dir or epath.Path(self._data_dir_root) / 'downloads'
    if not self.data_path.exists():
      config = self.builder_config
      self._index = index or indexing.read_index(
        config.source, config.classes, os.fspath(downloads)
      )
    with _alone_in(self.data_path.parent):
      super().download_and_prepare(download_dir=downloads, **kwargs)
    self.info.read_from_directory(self.data_dir)

  def _download_and_prepare(
    self,
    dl_manager: tfds.download.DownloadManager,
    download_config: tfds.download.DownloadConfig,
  ) -> None:
    """Writes the record files into `self.data_path`, which TFDS renames."""
    config, options = self.builder_config, download_config.beam_options
    if config.source == stanford.Stanford(stanford.official_archive().url):
      # From this TFDS takes the size of what was downloaded.
      dl_manager._recorded_url_infos.update(self.url_infos)
    parameters = fingerprint.parameters(config)
    digest = fingerprint.digest(parameters)
    work = self.data_path.parent / f'.{self.version}-{digest[:16]}'
    work.mkdir(exist_ok=True)
    index = validation_split.hold_out(self._index, os.fspath(work), options)
    planned = shards.plan(
      index,
      os.fspath(work),
      config.image_size,
      config.resize,
      config.examples_per_shard,
    )
    reports = shards.write(
      [shard for split in planned.values() for shard in split], options
    )
    try:
      rejected = shards.rejected(reports.values(), config.max_bad_images)
    except errors.InputError:
      work.rmtree()
      raise
    for path in reports:
      epath.Path(path).replace(self.data_path / os.path.basename(path))
    if rejected:
      lines = ''.join(json.dumps(each) + '\n' for each in rejected)
      (self.data_path / fingerprint.REJECTED).write_text(lines)
    work.rmtree()

    self.info.features['label'].names = list(index.class_names)
    self.info.set_splits(self._splits(planned, reports))
    self.info.metadata.update(
      fingerprint=digest,
      parameters=parameters,
      wordnet_ids=index.wordnet_ids,
      sha256={os.path.basename(p): r.sha256 for p, r in reports.items()},
      rejected=len(rejected),
    )

  def _log_download_bytes(self) -> None:
    """Says nothing of sizes, which TFDS does not know."""

  def _log_download_done(self) -> None:
    """Leaves the last word to the caller."""

  def _splits(
    self,
    planned: dict[str, list[shards.Shard]],
    reports: dict[str, shards.Report],
  ) -> tfds.core.SplitDict:
    return tfds.core.SplitDict(
      [
        tfds.core.SplitInfo(
          name=split,
          shard_lengths=[reports[each.path].examples for each in found],
          num_bytes=sum(reports[each.path].example_bytes for each in found),
          filename_template=self._get_filename_template(split),
        )
        for split, found in planned.items()
      ]
    )


@contextlib.contextmanager
def _alone_in(directory: epath.Path) -> Iterator[None]:
  """Holds a folder that only one build at a time may use; makes it if need be.

  The kernel lets go of the lock when a process ends, however it ends. So what
  is half-built in the folder, once the lock is held, is abandoned. A bucket
  has no such locks: there, whoever starts a build sees to it that it is alone.
  """
  if files.is_remote(os.fspath(directory)):
    yield
    return
  handle = _lock(directory)
  try:
    for abandoned in directory.glob('incomplete.*'):
      abandoned.rmtree()
    yield
  finally:
    with contextlib.suppress(OSError):
      os.rmdir(directory)  # Only if nothing was built in it.
    os.close(handle)


def _lock(directory: epath.Path) -> int:
  """Makes and locks a folder; returns the open file that holds the lock."""
  while True:
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      print(f'Waiting for another build in {directory}', file=sys.stderr)
      fcntl.flock(handle, fcntl.LOCK_EX)
    # Another build that failed may have removed the folder meanwhile.
    if os.fstat(handle).st_nlink:
      return handle
    os.close(handle)
