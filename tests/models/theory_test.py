import os

import nbformat
from absl.testing import absltest
from nbclient import NotebookClient

from tests.models import building

_DOCS = building.ROOT / 'docs'


class TheoryTest(absltest.TestCase):
  def test_runs_from_top_to_bottom(self):
    # The kernel's own files must not land in the home folder.
    for name in 'IPYTHONDIR', 'JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR':
      os.environ[name] = self.create_tempdir(name).full_path
    os.environ['MPLBACKEND'] = 'agg'
    notebook = nbformat.read(_DOCS / 'theory.ipynb', as_version=4)
    NotebookClient(
      notebook, timeout=None, resources={'metadata': {'path': str(_DOCS)}}
    ).execute()
    printed = [
      output.text
      for cell in notebook.cells
      for output in cell.get('outputs', [])
      if output.get('name') == 'stdout'
    ]
    self.assertIn('975,715 parameters, 361 million', printed[0])


if __name__ == '__main__':
  absltest.main()
