"""What a data set was built from: all that can change its bytes.

The parameters stand in the data set's `metadata.json`, beside the hash of them
that is its fingerprint. Where the source lies is no parameter; what it holds
is.
"""

import dataclasses
import hashlib
import json
import re
from typing import Any
from typing import Protocol

from etils import epath

DATASET = 'tiny_imagenet'
VERSION = '1.0.0'
# Stands for what only the source knows, as long as that is absent.
UNKNOWN = '(unknown)'
# Beside the metadata: a line for each image that was left out.
REJECTED = 'rejected.jsonl'


class Parameters(Protocol):
  """What a data set is built with; see `beam_pipelines.dataset.Dataset`."""

  source: Any
  classes: int
  image_size: int
  resize: Any
  examples_per_shard: int


def parameters(of: Parameters) -> dict[str, object]:
  """Returns, by gin name, all that a data set's bytes depend on."""
  return {
    'dataset.version': VERSION,
    'dataset.source': component_name(of.source),
    'dataset.classes': of.classes,
    'dataset.image_size': of.image_size,
    'dataset.resize': component_name(of.resize),
    'dataset.examples_per_shard': of.examples_per_shard,
    **values(of.resize),
    **of.source.identity(),
  }


def digest(values: object) -> str:
  """Returns the SHA-256, in hexadecimal, of values that JSON can express."""
  text = json.dumps(values, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def component_name(component: object) -> str | None:
  """Returns the gin name of a component's class: `by_file` for `ByFile`."""
  if component is None:
    return None
  return re.sub('(?<!^)(?=[A-Z])', '_', type(component).__name__).lower()


def values(component: object) -> dict[str, object]:
  """Returns the fields of a component and of those in it, by gin name."""
  if component is None:
    return {}
  found, name = {}, component_name(component)
  for field in dataclasses.fields(component):
    value = getattr(component, field.name)
    if dataclasses.is_dataclass(value):
      found |= {f'{name}.{field.name}': component_name(value), **values(value)}
    else:
      found[f'{name}.{field.name}'] = value
  return found


def read(directory: str) -> dict[str, object]:
  """Returns a built data set's metadata; nothing where they are unreadable."""
  try:
    found = json.loads((epath.Path(directory) / 'metadata.json').read_text())
  except (FileNotFoundError, ValueError):
    return {}
  return found if isinstance(found, dict) else {}


def differences(
  built: dict[str, object], configured: dict[str, object]
) -> list[str]:
  """Names each parameter whose value differs from the one built with.

  What a source that is no longer there would know does not differ.
  """
  # Built values were read from JSON, which knows no tuples.
  configured = json.loads(json.dumps(configured))
  return [
    f'{name}: built with {built.get(name)!r}, '
    f'configured as {configured.get(name)!r}'
    for name in {**built, **configured}
    if built.get(name) != configured.get(name)
    and configured.get(name) != UNKNOWN
  ]
