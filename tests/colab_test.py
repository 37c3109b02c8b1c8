"""Runs the notebook from top to bottom, without its magics."""

import os
import pathlib
import re
import shutil

import nbformat
from absl.testing import absltest
from nbclient import NotebookClient

from tinygin.config import paths

_SMALL = """EPOCHS = 1
LEVELS = (1, 1)
WIDTH = 8
BATCH_SIZE = 16
synthetic.train_images = 4
synthetic.validation_images = 2
"""


class ColabTest(absltest.TestCase):
  def test_runs_from_top_to_bottom(self):
    root = pathlib.Path(paths.project_root())
    place = pathlib.Path(self.create_tempdir().full_path)
    shutil.copytree(root / 'gin', place / 'gin')
    # Keeps the kernel's files out of the home directory.
    for name in 'IPYTHONDIR', 'JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR':
      os.environ[name] = self.create_tempdir(name).full_path
    os.environ['BUILD_WORKING_DIRECTORY'] = ''
    python_path = [str(root), os.environ.get('PYTHONPATH', '')]
    os.environ['PYTHONPATH'] = os.pathsep.join(python_path)
    notebook = nbformat.read(root / 'docs/colab.ipynb', as_version=4)
    magics = 0
    for cell in notebook.cells:
      if cell.cell_type == 'code':
        cell.source, found = re.subn(r'(?m)^[%!].*$', '', cell.source)
        magics += found
        cell.source = cell.source.replace('EPOCHS = 4\n', _SMALL)
    self.assertEqual(magics, 4)
    NotebookClient(
      notebook, timeout=None, resources={'metadata': {'path': str(place)}}
    ).execute()
    outputs = [
      each for cell in notebook.cells for each in cell.get('outputs', [])
    ]
    printed = ''.join(
      each.text for each in outputs if each.get('name') == 'stdout'
    )
    self.assertIn('48 train, 24 validation', printed)
    self.assertIn('Run directory', printed)
    self.assertIn('image/png', outputs[-1].data)
    self.assertTrue((place / 'runs/colab/result.json').exists())


if __name__ == '__main__':
  absltest.main()
