"""The TFDS data set `tiny_imagenet`; importing this registers it."""

from beam_pipelines.tiny_imagenet.tiny_imagenet_dataset_builder import Builder
from beam_pipelines.tiny_imagenet.tiny_imagenet_dataset_builder import (
  TinyImagenetConfig,
)

__all__ = ['Builder', 'TinyImagenetConfig']
