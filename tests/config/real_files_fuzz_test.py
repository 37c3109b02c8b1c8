"""Mutations of the project's gin files are refused or mean what they say."""

import pathlib
import random
import shutil
from collections.abc import Sequence

from absl.testing import absltest
from gin import config_parser

from tests.config import config_case
from tests.config import mutation
from tinygin.config import loading
from tinygin.config import paths

_CASES = 2000


def _short(name: str) -> str:
  # The files name the registered layers of Keras without their module.
  return name.replace('keras.layers.', '')


class _AsText(config_parser.ParserDelegate):
  def configurable_reference(self, scoped_configurable_name, evaluate):
    return f'@{_short(scoped_configurable_name)}{"()" if evaluate else ""}'

  def macro(self, macro_name):
    return f'%{macro_name}'


def _as_it_stands(
  text: str, folders: Sequence[pathlib.Path], read: list[pathlib.Path]
) -> dict[str, object]:
  """Returns the bindings that gin's parser finds in a text and its includes.

  Files that are in `read` are skipped; others are added to it.
  """
  found = {}
  parser = config_parser.ConfigParser(text, _AsText())
  while statement := parser.parse_statement():
    if isinstance(statement, config_parser.IncludeStatement):
      places = [folder / statement.filename for folder in folders]
      included = next(filter(pathlib.Path.is_file, places))
      if included not in read:
        read.append(included)
        found |= _as_it_stands(included.read_text(), folders, read)
    elif isinstance(statement, config_parser.BindingStatement):
      component = _short(statement.selector)
      name = f'{statement.scope}/{component}.{statement.arg_name}'
      found[name] = statement.value
  return found


class RealFilesTest(config_case.ConfigCase):
  """Mutates one file at a time."""

  def meanings(self, experiment, folder):
    """Returns the bindings of the files, the used ones, and included files."""
    # The files do not set the archives.
    bindings = ["stanford.source = 'absent.zip'"]
    if experiment.name == 'quickstart.gin':
      bindings = []
    configuration = loading.load(
      [str(experiment)], bindings, 'train', search_paths=[str(folder)]
    )
    kept = _as_it_stands(configuration.text(), (), [])
    included = []
    said = _as_it_stands(
      experiment.read_text(), [experiment.parent, folder], included
    )
    for text in bindings:
      said |= _as_it_stands(text, (), [])
    return said, kept, included

  def test_no_traceback_and_no_other_meaning(self):
    folder = pathlib.Path(self.folder, 'gin')
    shutil.copytree(f'{paths.project_root()}/gin', folder)
    experiments = [
      folder / 'quickstart.gin',
      *sorted(folder.glob('experiments/*.gin')),
    ]
    originals = {each: self.meanings(each, folder) for each in experiments}
    accepted = 0
    for seed in range(_CASES):
      random_ = random.Random(seed)
      experiment = random_.choice(experiments)
      was_said, was_kept, included = originals[experiment]
      file = random_.choice([experiment, *included])
      text = file.read_text()
      mutated = mutation.mutated(text, random_)
      file.write_text(mutated)
      with self.subTest(seed=seed, file=file.name, mutated=mutated):
        try:
          said, kept, now_included = self.meanings(experiment, folder)
        except config_case.InputError as error:
          self.assertTrue(str(error))
          continue
        finally:
          file.write_text(text)
        accepted += 1
        # The run has the values of the files, and drops no other bindings.
        self.assertEqual(kept, {name: said[name] for name in kept})
        # In another order, includes may override other bindings.
        if now_included == included:
          dropped = said.keys() - kept.keys()
          self.assertContainsSubset(dropped, was_said.keys() - was_kept.keys())
    self.assertBetween(accepted, _CASES // 20, _CASES // 2)


if __name__ == '__main__':
  absltest.main()
