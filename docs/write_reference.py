"""Writes docs/reference.md from the code.

./bazelw run //docs:write_reference
"""

import os
import pathlib

from tinygin.config import native_output


def main() -> None:
  """Writes the page into the source tree."""
  with native_output.hidden():
    from tinygin.config import help_text

    text = help_text.page()
  root = os.environ.get('BUILD_WORKSPACE_DIRECTORY', '.')
  pathlib.Path(root, 'docs/reference.md').write_text(text, encoding='utf-8')


if __name__ == '__main__':
  main()
