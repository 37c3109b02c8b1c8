"""Describes everything that can change the examples of a data set.

The parameters are stored in the data set's `metadata.json`, together with their
hash, the fingerprint. They include the content of the source but not its path.
"""

import dataclasses
import hashlib
import json
import os
import re

from tinygin.config import files

DATASET = 'tiny_imagenet'
VERSION = '1.0.0'
# Stands for values that depend on the content of an absent source.
UNKNOWN = '(unknown)'
# Lists the images that were left out, one JSON object a line.
REJECTED = 'rejected.jsonl'


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
  """Returns the fields of a component and of nested ones, by gin name."""
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
  """Returns a built data set's metadata, or {} if they cannot be read."""
  try:
    found = json.loads(files.read(os.path.join(directory, 'metadata.json')))
  except (FileNotFoundError, ValueError):
    return {}
  return found if isinstance(found, dict) else {}


def differences(
  first: dict[str, object],
  second: dict[str, object],
  words: tuple[str, str],
) -> list[str]:
  """Describes each value that differs between two dictionaries.

  Args:
    first: values that were read from JSON.
    second: other values; `UNKNOWN` differs from nothing.
    words: describe the first and the second value in the messages.
  """
  second = json.loads(json.dumps(second))  # Turns tuples into lists.
  return [
    f'{name}: {words[0]} {first.get(name)!r}, {words[1]} {second.get(name)!r}'
    for name in {**first, **second}
    if first.get(name) != second.get(name) and second.get(name) != UNKNOWN
  ]
