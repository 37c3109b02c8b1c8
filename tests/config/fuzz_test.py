"""Mutated configurations are refused, or mean exactly what they say."""

import itertools
import pathlib
import random
import shutil
from collections.abc import Sequence

import gin
import hypothesis
from absl.testing import absltest
from gin import config as gin_config
from gin import config_parser
from hypothesis import strategies as st

from tests.config import config_case
from tinygin.config import differences
from tinygin.config import loading
from tinygin.config import paths

_CASES = 2000
_SOURCE = (
  config_case.COMPLETE
  + """
# A comment; with a semicolon.
train.names = ['a b', "it's", 'x#y']
train.options = {'first': 1, 'second': %COUNT}
train.count = %COUNT
COUNT = -12
train.extra = [@big/Network(), (1.5e-3, None, True)]
big/Network:
  width = 64
  padding = 'valid'
train.scale = @scale
scale.factor = 25
"""
)


def _mutated(text: str, random_: random.Random) -> str:
  """Deletes, duplicates or swaps characters or lines, once or twice."""
  for _ in range(random_.choice((1, 1, 2))):
    parts = text.splitlines(True) if random_.random() < 0.4 else list(text)
    at, other = random_.randrange(len(parts)), random_.randrange(len(parts))
    kind = random_.choice(('delete', 'duplicate', 'swap', 'swap next'))
    if kind == 'delete':
      del parts[at]
    elif kind == 'duplicate':
      parts.insert(at, parts[at])
    else:
      other = other if kind == 'swap' else min(at + 1, len(parts) - 1)
      parts[at], parts[other] = parts[other], parts[at]
    text = ''.join(parts)
  return text


def _meaning_to_gin(text: str) -> dict[str, object]:
  """Returns what plain gin, without our parser, makes of a text."""
  gin.clear_config()
  gin.parse_config(text)
  return {
    f'{scope}/{selector}.{name}'.lstrip('/'): repr(value)
    for (scope, selector), bound in gin_config._CONFIG.items()
    for name, value in bound.items()
  }


class _AsText(config_parser.ParserDelegate):
  def configurable_reference(self, scoped_configurable_name, evaluate):
    return f'@{scoped_configurable_name}{"()" if evaluate else ""}'

  def macro(self, macro_name):
    return f'%{macro_name}'


def _as_it_stands(
  text: str, folders: Sequence[pathlib.Path], read: list[pathlib.Path]
) -> dict[str, object]:
  """Returns what gin's own parser makes of a text and of what it includes.

  Adds the included files to those that are `read`, which count no more.
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
      name = f'{statement.scope}/{statement.selector}.{statement.arg_name}'
      found[name] = statement.value
  return found


class RealFilesTest(config_case.ConfigCase):
  """Of the project's own files, one at a time is mutated."""

  def meanings(self, experiment, folder):
    """Returns what the files say, what of that runs, and what is included."""
    # The demo's and the mini archive are left open by the files.
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
      mutated = _mutated(text, random_)
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
        # The run is what the files say, and drops only what it did before.
        self.assertEqual(kept, {name: said[name] for name in kept})
        # In another order, includes may override what they did not.
        if now_included == included:
          dropped = said.keys() - kept.keys()
          self.assertContainsSubset(dropped, was_said.keys() - was_kept.keys())
    self.assertBetween(accepted, _CASES // 20, _CASES // 2)


class FuzzTest(config_case.ConfigCase):
  def test_no_traceback_and_no_other_meaning(self):
    original = self.load(_SOURCE)
    lines = set(_SOURCE.splitlines())
    accepted = 0
    for seed in range(_CASES):
      text = _mutated(_SOURCE, random.Random(seed))
      with self.subTest(seed=seed):
        try:
          configuration = self.load(text)
        except config_case.InputError as error:
          self.assertTrue(str(error))
          continue
        accepted += 1
        # What is accepted is all used, and means to gin the same.
        expected = _meaning_to_gin(text)
        shadowed = not any(n.endswith('train.network') for n in expected)
        if shadowed:
          # Of Network only big/Network is left, with its own width, padding.
          expected = {
            name: value
            for name, value in expected.items()
            if not name.endswith(('s.Network.width', 's.Network.padding'))
            or name.startswith('big/')
          }
        kept = _meaning_to_gin(configuration.text())
        self.assertEqual(kept, expected)
        # Nothing differs but what a changed line names.
        changed = lines.symmetric_difference(text.splitlines())
        for each in differences.differences(
          original.text(), configuration.text()
        ):
          name = each.name.rpartition('.')[2]
          self.assertTrue(
            any(
              name in line or 'COUNT' in line or 'RATE' in line
              for line in (*changed, *(['width, padding'] if shadowed else []))
            )
            or len(text.splitlines()) != len(_SOURCE.splitlines()),
            f'{each} without a changed line: {changed}',
          )
    # The test would mean little if nearly all or nearly none were accepted.
    self.assertBetween(accepted, _CASES // 20, _CASES // 2)

  @hypothesis.settings(deadline=None, max_examples=500, derandomize=True)
  @hypothesis.given(st.text(alphabet='atrin.=%@()[]{}\'"/\\;:, \n\t-1eA#_\0é'))
  def test_any_text_as_a_flag(self, text):
    for flag in (text, f'train.extra = {text}'):
      try:
        configuration = self.load(config_case.COMPLETE, [flag])
      except config_case.InputError:
        continue
      again = self.load(configuration.text())
      self.assertEqual(again.text(), configuration.text())

  def test_every_prefix(self):
    """A file that was cut off is never taken for a whole one unnoticed."""
    whole = self.load(_SOURCE).text()
    for end in itertools.count(1):
      if end >= len(_SOURCE.rstrip()):
        break
      try:
        configuration = self.load(_SOURCE[:end])
      except config_case.InputError:
        continue
      kept = _meaning_to_gin(configuration.text())
      self.assertEqual(kept, _meaning_to_gin(_SOURCE[:end]))
      self.assertNotEqual(configuration.text(), whole)


if __name__ == '__main__':
  absltest.main()
