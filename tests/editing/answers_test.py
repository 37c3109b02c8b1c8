"""What editors are told about places in gin files."""

import pathlib

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies

from tests.editing import workspace_case
from tinygin.editing import answers
from tinygin.editing import linting


class AnswersCase(workspace_case.WorkspaceCase):
  def ask(self, text, name='mine.gin'):
    """Returns answers about a text, and the offset of ‸ in it."""
    offset = text.index('‸')
    self.read({name: text.replace('‸', '')})
    return answers.Answers(self.workspace, str(self.gin / name)), offset

  def completions(self, text, kind=None):
    asked, offset = self.ask(text)
    return [
      each.text
      for each in asked.completions(offset)
      if kind in (None, each.kind)
    ]


class CompletionTest(AnswersCase):
  @parameterized.parameters(
    ("include 'quickstart.gin'\nLEV‸", 'LEVELS'),
    ("include 'quickstart.gin'\ntrain.‸", 'batch_size'),
    ("include 'quickstart.gin'\ntrain.ba‸", 'batch_size'),
    ("include 'quickstart.gin'\ntrain:\n  ba‸", 'batch_size'),
    ("include 'quickstart.gin'\ntrain.epochs = %‸", 'EPOCHS'),
    ("include 'quickstart.gin'\ntrain.epochs = %E‸\nWIDTH = 3", 'EPOCHS'),
    ("include 'quickstart.gin'\ntrain.loss = @‸", 'cross_entropy'),
    (
      "include 'quickstart.gin'\ntrain.loss = [@HorizontalFlip(), @C‸",
      'Cutout',
    ),
    (
      "include 'quickstart.gin'\ntrain.optimizer = @keras.‸",
      'keras.optimizers',
    ),
    (
      'import keras\ntrain.optimizer = @keras.optimizers.A‸',
      'keras.optimizers.AdamW',
    ),
    ("include 'quickstart.gin'\ntrain.precision = ‸", "'bfloat16'"),
    ("include 'quickstart.gin'\ntrain.precision = '‸'", 'bfloat16'),
    ("include 'quickstart.gin'\ntrain.jit_compile = ‸", 'True'),
    ("include 'quickstart.gin'\ntrain.clip_norm = ‸", 'None'),
    ("include '‸'", 'optimizers/lion_cosine.gin'),
    ("include 'mod‸", 'models/resnet10.gin'),
    ('import tinygin.tr‸', 'tinygin.training'),
    ('import tinygin.training.‸', 'tinygin.training.losses'),
    ('‸', 'include'),
    ('import keras\nkeras.optimizers.Lion.‸', 'beta_1'),
    ("include 'models/inception.gin'\na/incept.‸", 'kernel_size'),
  )
  def test_offers(self, text, expected):
    self.assertIn(expected, self.completions(text))

  def test_nothing_in_comments(self):
    self.assertEmpty(self.completions('WIDTH = 3  # @‸'))

  def test_only_the_word_is_replaced(self):
    asked, offset = self.ask("include 'base.gin'\ntrain.batch‸ = 3")
    (found,) = (
      each for each in asked.completions(offset) if each.text == 'batch_size'
    )
    self.assertEqual(found.start, offset - len('batch'))
    self.assertEqual(found.detail, 'a positive integer')


class HoverTest(AnswersCase):
  @parameterized.parameters(
    ("include 'quickstart.gin'\ntrain.ba‸tch_size = 3", 'a positive integer'),
    (
      "include 'quickstart.gin'\ntrain.batch_size = 3‸\n",
      '',
    ),
    (
      "include 'quickstart.gin'\nBATCH_SIZE = 5\ntrain.batch‸_size = 7",
      '`train.batch_size = 7`',
    ),
    (
      "include 'quickstart.gin'\nEPOCHS = 5\ntrain.epo‸chs = %EPOCHS",
      'set at gin/mine.gin:2 (EPOCHS)',
    ),
    ("include 'quickstart.gin'\nEPO‸CHS = 5", '`EPOCHS = 6` at gin/quickstart'),
    ('import keras\nx.y = @keras.optimizers.Li‸on', 'Lion'),
    ('import keras\nkeras.optimizers.Lion.bet‸a_1 = 0.5', 'Default: `0.9`'),
  )
  def test_tells(self, text, expected):
    asked, offset = self.ask(text)
    told = asked.hover(offset)
    self.assertIn(expected, told)
    self.assertEqual(bool(told), bool(expected))


class NavigationTest(AnswersCase):
  def test_definitions(self):
    for text, file, words in (
      ("include 'base.gin'\ntrain.l‸oss = 3", 'experiment.py', 'loss'),
      ("include 'base.gin'\nx.y = @cross_en‸tropy", 'losses.py', 'def cross_'),
      ('import keras\nx.y = @keras.optimizers.Li‸on', 'lion.py', 'class Lion'),
      ("include 'ba‸se.gin'", 'base.gin', ''),
      ('import tinygin.training.los‸ses', 'losses.py', ''),
    ):
      with self.subTest(text):
        asked, offset = self.ask(text)
        (found,) = asked.definition(offset)
        self.assertEqual(pathlib.Path(found.path).name, file)
        lines = linting.read_text(found.path).split('\n')
        self.assertIn(words, lines[found.line - 1])

  def test_definitions_of_a_macro_come_latest_first(self):
    asked, offset = self.ask("include 'quickstart.gin'\nx.y = %EPO‸CHS")
    names = [pathlib.Path(each.path).name for each in asked.definition(offset)]
    self.assertEqual(names, ['quickstart.gin', 'base.gin'])

  def test_references(self):
    asked, offset = self.ask("include 'quickstart.gin'\nEPO‸CHS = 3")
    for each in asked.references(offset):
      text = linting.read_text(each.path)
      if each.path != str(self.gin / 'mine.gin'):
        self.assertEqual(text[each.range.start : each.range.end], 'EPOCHS')
    self.assertGreater(len(asked.references(offset)), 5)
    self.assertEqual(asked.renaming(offset), asked.references(offset))

  def test_references_of_a_component_have_several_names(self):
    asked, offset = self.ask(
      'import tinygin.training.losses\n'
      'tinygin.training.losses.cross_entro‸py.label_smoothing = 0.5'
    )
    found = {pathlib.Path(each.path).name for each in asked.references(offset)}
    self.assertEqual(found, {'mine.gin', 'base.gin', 'mini.gin'})

  def test_only_macros_are_renamed(self):
    asked, offset = self.ask("include 'base.gin'\ntra‸in.loss = 3")
    self.assertEmpty(asked.renaming(offset))

  def test_outline(self):
    asked, _ = self.ask("include 'base.gin'‸\nEPOCHS = 3\ntrain:\n  seed = 4")
    self.assertEqual(
      [(name, value) for name, value, _ in asked.outline()],
      [("'base.gin'", ''), ('EPOCHS', '3'), ('train', ''), ('seed', '4')],
    )


class UnfinishedTextTest(AnswersCase):
  @settings(deadline=None, derandomize=True, max_examples=60)
  @given(strategies.data())
  def test_never_fails(self, data):
    path = pathlib.Path(data.draw(strategies.sampled_from(self.files)))
    text = linting.read_text(str(path))
    cut = data.draw(strategies.integers(0, len(text)))
    kept = data.draw(strategies.integers(cut, min(cut + 40, len(text))))
    name = str(path.relative_to(self.gin))
    asked, offset = self.ask(f'{text[:cut]}‸{text[kept:]}', name)
    self.workspace.lint([str(path)])
    for answer in (
      asked.completions,
      asked.hover,
      asked.definition,
      asked.references,
      asked.renaming,
    ):
      answer(offset)
    asked.outline()


if __name__ == '__main__':
  absltest.main()
