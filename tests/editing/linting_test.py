"""Mistakes in the project's gin files are found at their exact places."""

import json

from absl.testing import absltest
from absl.testing import parameterized

from tests.editing import workspace_case
from tests.editing.workspace_case import GIN
from tests.editing.workspace_case import changed
from tinygin.editing import findings
from tinygin.editing import linting

_ADDED = '^WIDTH = 16'
# A pattern in the quickstart, and its replacement with marks around what is
# wrong by the rules that follow.
_WHOLE = (
  (_ADDED, '«WIDHT» = 16', 'unused'),
  (r"'base.gin'([^E]*)^EPOCHS = 6\n", r"'«base.gin»'\1", 'missing'),
  ('^EPOCHS = 6', 'EPOCHS = «-6»', 'value'),
  ('^EPOCHS = 6', 'EPOCHS = 6\n«EPOCHS» = 7', 'repeated'),
  ('^EPOCHS = 6', 'EPOCHS = «[ %EPOCHS]»', 'circular'),
  ("'base.gin'", "'«bsae.gin»'", 'include'),
  ("include 'base.gin'", '«include base.gin»', 'syntax'),
  (
    r"\A([^W]*)include 'models/resnet10.gin'\n([^W]*)WIDTH",
    r'«»\1\2«WIDTH»',
    'missing',
    'unused',
  ),
  (
    "^include 'augment/flip.gin'\n\nEPOCHS = 6",
    "EPOCHS = 6\ninclude '«augment/flip.gin»'",
    'include',
  ),
  (
    "RUN_DIR = 'runs/quickstart-{time}'",
    '«RUN_DIR = runs/quickstart» # Here.',
    'syntax',
  ),
  ("'runs/quickstart-{time}'", "«'runs/{tme}'»", 'value'),
  ("'runs/quickstart-{time}'", "«'runs/{time}»", 'syntax'),
  (
    _ADDED,
    "WIDTH = 16\ntrain.precision =  «'bfloat61'»  # Fast.",
    'value',
  ),
  (_ADDED, 'WIDTH = 16\n«Cutout.size» = 0.3', 'unused'),
  (
    _ADDED,
    'WIDTH = 16\n«keras.optimizers.SGD.momentum» = 0.3',
    'unused',
  ),
  (
    _ADDED,
    'WIDTH = 16\ntrain.optimizer = «@keras.optimizers.SGD()»',
    'value',
  ),
  (_ADDED, 'WIDTH = 16\n«train.optimizer = SGD()»', 'syntax'),
  (_ADDED, 'WIDTH = 16\ntrain:\n  seed = 3\n  «epochz» = 4', 'parameter'),
  (
    _ADDED,
    'WIDTH = 16\n«train.augmentation = [»\n  @HorizontalFlip(),\nLEVELS = (1,)',
    'syntax',
  ),
  (_ADDED, 'WIDTH = 16\ntrain.seed «3»', 'syntax'),
  (
    _ADDED,
    'WIDTH = 16\n«train.seed = yes»\ntrain.«sed» = 2\n'
    'train.loss = @«cross_entropi»',
    'syntax',
    'parameter',
    'component',
  ),
  (
    _ADDED,
    'WIDTH = 16\nkeras.optimizers.AdamW.«learning_rate» = 1.0',
    'passed',
  ),
)
_FRAGMENTS = (
  ('base.gin', 'train.clip_norm', 'train.«clipnorm»', 'parameter'),
  ('base.gin', '%SEED', '%«SED»', 'macro'),
  ('base.gin', '@cross_entropy', '@«cros_entropy»', 'component'),
  (
    'base.gin',
    'tinygin.training.losses$',
    '«tinygin.training.loses»',
    'import',
  ),
  (
    'base.gin',
    r'^import tinygin.training.experiment\n((.*\n)*?)train',
    r'\1«train»',
    'component',
  ),
  ('models/inception.gin', '@a/', '@«aa»/', 'scope'),
  ('models/inception.gin', '^a/(.*)3', r'«aa»/\1 3', 'scope'),
  ('models/residual.gin', '%LEVELS', '%«LEVLES»', 'macro'),
  ('models/residual.gin', '^WIDTH', '«WIDHT»', 'unused'),
  ('models/residual.gin', 'size = 7', 'size = «7.5»', 'value'),
  ('models/residual.gin', 'kernel_size', '«kernel_sise»', 'parameter'),
  ('models/residual.gin', '@bottleneck', '@«botleneck»', 'component'),
  ('models/layers.gin', 'DROPOUT = 0.0', 'DROPOUT = «1.5»', 'value'),
  ('models/two_stage_head.gin', '%CLASSES', '%«CLASSSES»', 'macro'),
  (
    'optimizers/lion_cosine.gin',
    '@keras.optimizers.Lion$',
    '@«keras.optimizers.Lon»',
    'component',
  ),
  (
    'optimizers/lion_cosine.gin',
    r'^import keras\n((.*\n)*?.*@)(keras\S*)',
    r'\1«\3»',
    'component',
  ),
  ('optimizers/lion_cosine.gin', 'beta_1', '«beta1»', 'parameter'),
  ('optimizers/lion_cosine.gin', '= 0.9$', "= «'0.9'»", 'value'),
  ('optimizers/lion_cosine.gin', '^train', '«trian»', 'component'),
  ('optimizers/lion_cosine.gin', "'1 epoch'", "«'1 epok'»", 'value'),
  ('augment/strong.gin', "'reflect'", "«'refelct'»", 'value'),
  ('augment/strong.gin', r'Cutout\(\),', 'Cutout(«,»', 'syntax'),
  ('data/mini.gin', 'data/stanford.gin', '«data/x.gin»', 'include'),
  ('sweeps/mini.gin', 'low =', '«lo» =', 'parameter'),
  ('sweeps/mini.gin', '@rate/', '@«rte»/', 'scope'),
  ('sweeps/mini.gin', "'maximize'", "«'maximise'»", 'value'),
)


class LintTest(workspace_case.WorkspaceCase):
  def test_the_project_has_no_mistakes(self):
    self.read({})
    self.assertEmpty(self.workspace.lint(self.files))

  @parameterized.parameters(*_WHOLE)
  def test_mistake_in_an_experiment(self, pattern, replacement, *rules):
    text = changed('quickstart.gin', pattern, replacement)
    self.assert_finds({'quickstart.gin': text}, *rules)

  @parameterized.parameters(*_FRAGMENTS)
  def test_mistake_in_a_fragment(self, file, pattern, replacement, rule):
    self.assert_finds({file: changed(file, pattern, replacement)}, rule)

  def test_a_fragment_leaves_the_rest_to_its_includer(self):
    for name, text in (
      ('a.gin', 'head.size = %SIZE\nmy_lab.heads.Head.width = 3\n'),
      ('b.gin', 'import keras\nLABEL = 3\nx/keras.layers.ReLU.name = %NAME\n'),
      ('c.gin', 'train.loss = @my_loss\nmy_loss.factor = %gin.REQUIRED\n'),
    ):
      with self.subTest(name):
        self.assert_finds({name: text})

  def test_a_mistake_in_an_included_file_is_shown_there_once(self):
    texts = {'base.gin': changed('base.gin', 'train.seed', 'train.sede')}
    names = 'quickstart.gin', 'base.gin', 'experiments/mini.gin'
    (found,) = self.lint(texts, names)
    self.assertEqual((found.file, found.column), ('gin/base.gin', 7))

  def test_message_does_not_repeat_the_place(self):
    (found,) = self.lint(
      {'base.gin': changed('base.gin', "'float32'", "'float23'")}
    )
    self.assertEqual(
      str(found),
      f'gin/base.gin:{found.line}:19: train.precision must be one of '
      "'float32', 'bfloat16'. Received: train.precision='float23'. [value]",
    )

  def test_every_rule_is_described(self):
    found = {rule for _, _, *rules in _WHOLE for rule in rules}
    found |= {rule for *_, rule in _FRAGMENTS}
    self.assertEqual(found, {*findings.RULES})


class FixTest(workspace_case.WorkspaceCase):
  @parameterized.parameters(
    *(
      ('quickstart.gin', *each)
      for each in (
        (_ADDED, 'WIDHT = 16'),
        ("'base.gin'", "'bsae.gin'"),
        ("'base.gin'", 'base.gin'),
        ("'base.gin'", 'base.gin  # Everything.'),
        ("'augment/flip.gin'", '"augment/flop.gin"'),
      )
    ),
    ('base.gin', 'clip_norm', 'clipnorm'),
    ('base.gin', '%SEED', '%SED'),
    ('base.gin', "'float32'", 'float32'),
    ('base.gin', "'float32'", "'float31'"),
    ('base.gin', '= False', '= no'),
    ('base.gin', '= %EPOCHS', '= EPOCHS'),
    ('base.gin', '@dataset', 'dataset'),
    ('base.gin', '@cross_entropy', '@cros_entropy'),
    ('base.gin', '^import tinygin.training.experiment\n', ''),
    ('base.gin', 'losses$', 'loses'),
    ('models/inception.gin', '@a/', '@aa/'),
    ('models/inception.gin', '^b/', 'bb/'),
    ('optimizers/lion_cosine.gin', '^import keras\n', ''),
    (
      'optimizers/lion_cosine.gin',
      'keras.optimizers.Lion$',
      'keras.optimizers.Lon',
    ),
    ('augment/strong.gin', '@Mixup', '@MixUp'),
    ('augment/strong.gin', "'reflect'", "'refelct'"),
  )
  def test_gives_the_original_back(self, file, pattern, replacement):
    text = changed(file, pattern, replacement)
    found = self.lint({file: text})
    fixed = findings.apply(text, [each.edit for each in found if each.edit])
    original = (GIN / file).read_text(encoding='utf-8')
    comment = '  # Everything.' if '# Everything' in replacement else ''
    self.assertEqual(
      fixed.replace(comment, '').replace('"', "'"), original.replace('"', "'")
    )
    self.assertEmpty(self.lint({file: fixed}))

  def test_ambiguous_mistakes_stay(self):
    text = changed('base.gin', '^train.seed = %SEED', 'train.seed = %QQQ')
    (found,) = (
      each for each in self.lint({'base.gin': text}) if each.rule == 'macro'
    )
    self.assertIsNone(found.edit)


class FormatTest(parameterized.TestCase):
  _FOUND = findings.Finding('a,b.gin', 1, 2, 3, 4, '5% is\nbad.', 'value')

  def test_text(self):
    self.assertEqual(
      findings.as_text([self._FOUND]), 'a,b.gin:1:2: 5% is\nbad. [value]\n'
    )

  def test_github(self):
    self.assertEqual(
      findings.as_github([self._FOUND]),
      '::error file=a%2Cb.gin,line=1,endLine=3,col=2,endColumn=4,title=value::'
      '5%25 is%0Abad.\n',
    )

  def test_json(self):
    (found,) = json.loads(findings.as_json([self._FOUND]))
    self.assertEqual(found['message'], '5% is\nbad.')
    self.assertEqual(found['end_line'], 3)

  def test_sarif(self):
    (run,) = json.loads(findings.as_sarif([self._FOUND]))['runs']
    (result,) = run['results']
    known = {each['id'] for each in run['tool']['driver']['rules']}
    self.assertIn(result['ruleId'], known)
    region = result['locations'][0]['physicalLocation']['region']
    self.assertEqual(region['endColumn'], 4)


class GinFilesTest(absltest.TestCase):
  def test_hidden_folders_are_left_out(self):
    folder = self.create_tempdir()
    for name in ('b.gin', 'a/c.gin', '.git/d.gin', 'a/e.txt'):
      folder.create_file(name)
    self.assertEqual(
      [*linting.gin_files(folder.full_path)],
      [f'{folder.full_path}/{name}' for name in ('b.gin', 'a/c.gin')],
    )


if __name__ == '__main__':
  absltest.main()
