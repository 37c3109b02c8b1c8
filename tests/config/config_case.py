"""The base class of tests that load configurations."""

import os
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from absl.testing import absltest
from absl.testing import parameterized

from tinygin.config import loading
from tinygin.config import paths
from tinygin.config.errors import InputError

IMPORT = 'import tests.config.small_components\n'
# Every line is needed.
COMPLETE = f"""{IMPORT}
LEARNING_RATE = 0.1
train.epochs = 3
train.optimizer = @Adam
Adam.beta = 0.9
train.rate = %LEARNING_RATE
train.network = @Network()
Network.levels = (1, 2)
Network.width = 8
Network.padding = 'same'
"""


class ConfigCase(parameterized.TestCase):
  """Loads configurations from files in a temporary folder."""

  def setUp(self) -> None:
    super().setUp()
    self.folder = self.create_tempdir().full_path
    self.enter_context(_environment(BUILD_WORKING_DIRECTORY=self.folder))

  def write(self, name: str, text: str) -> str:
    path = os.path.join(self.folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
      file.write(text)
    return path

  def load(
    self,
    text: str | Mapping[str, str],
    bindings: Sequence[str] = (),
    root: str = 'train',
    **kwargs: Any,
  ) -> loading.Configuration:
    """Loads `x.gin`, or the first of several files."""
    files = {'x.gin': text} if isinstance(text, str) else text
    for name, content in files.items():
      self.write(name, content)
    return loading.load([next(iter(files))], bindings, root, **kwargs)

  def assert_faults(
    self,
    text: str | Mapping[str, str],
    *expected: str,
    bindings: Sequence[str] = (),
    **kwargs: Any,
  ) -> None:
    """Asserts that exactly these faults are found."""
    with self.assertRaises(InputError) as caught:
      self.load(text, bindings, **kwargs)
    self.assertEqual(str(caught.exception), '\n'.join(expected))

  def assert_fault_parts(
    self,
    text: str | Mapping[str, str],
    *expected: str,
    bindings: Sequence[str] = (),
    **kwargs: Any,
  ) -> None:
    """Asserts that each message has its parts, which ` | ` separates."""
    with self.assertRaises(InputError) as caught:
      self.load(text, bindings, **kwargs)
    messages = str(caught.exception).split('\n')
    self.assertLen(messages, len(expected), messages)
    for message, parts in zip(messages, expected, strict=True):
      for part in parts.split(' | '):
        self.assertIn(part, message)


def project_folders() -> list[str]:
  """Returns where included files are searched after the file's own folder."""
  return [f'{paths.project_root()}/gin', paths.project_root()]


def _environment(**variables: str) -> Any:
  return absltest.mock.patch.dict(os.environ, variables)
