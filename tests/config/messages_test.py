"""Every kind of fault is found once, with its place, names and suggestion."""

from absl.testing import absltest
from absl.testing import parameterized

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tests.config.config_case import IMPORT


class LiteralTest(config_case.ConfigCase):
  """Some messages, word by word."""

  @parameterized.parameters(
    (
      'train.epochz = 4',
      'Unknown parameter train.epochz at x.gin:12. Did you mean train.epochs?',
    ),
    (
      'train.count = 3.0',
      'train.count must be an integer or None. '
      'Received: train.count=3.0 at x.gin:12.',
    ),
    (
      'train.count = %COUNTS',
      'Unknown macro COUNTS at x.gin:12. Nothing sets it.',
    ),
    (
      'train.label = quickstart',
      'train.label = quickstart at x.gin:12: a string needs quotes: '
      "train.label = 'quickstart'",
    ),
    (
      'train.extra = @default()',
      'default.value is not set: @default() at x.gin:12 needs it. Expected: an '
      'integer. A default in code does not count; add the line: '
      'default.value = 3',
    ),
    (
      'text.value = "a"',
      'text.value at x.gin:12 is not used: no reference leads from train to '
      '@text.',
    ),
  )
  def test_message(self, line, message):
    self.assert_faults(COMPLETE + line, message)


class LanguageTest(config_case.ConfigCase):
  """Faults that need no imports."""

  @parameterized.parameters(
    ('train.levels = (3, 4', 'x.gin:1 | not closed | (3, 4'),
    ('train.epochs = 3 4', 'x.gin:1 | parentheses | 3 4'),
    ('train.epochs 3', "x.gin:1 | '=' | train.epochs 3"),
    ('train.epochs =', 'x.gin:1 | value | train.epochs ='),
    ('train.epochs = -%EPOCHS', 'x.gin:1 | negative | -%EPOCHS'),
    ("train.options = {'a': 1, 'a': 2}", "x.gin:1 | Duplicate key 'a'"),
    ('train.options = {[1]: 2}', 'x.gin:1 | key | {[1]: 2}'),
    ('train.options = {%A: 2}', 'x.gin:1 | %A | key'),
    ('train.rate = 1e999', 'x.gin:1 | number | 1e999'),
    ('train.count = 10**400', 'x.gin:1 | 10**400'),
    (f'train.count = 1{"0" * 400}', 'x.gin:1 | 64 bits | 1000'),
    (f'train.count = 1{"0" * 5000}', 'x.gin:1 | digits | 1000'),
    ('train.label = EPOCHS', 'x.gin:1 | train.label = %EPOCHS'),
    ('train.network = Network()', 'x.gin:1 | train.network = @Network()'),
    ('include base.gin', "x.gin:1 | include 'base.gin'"),
    ("train.label = 'quickstart", 'x.gin:1 | string is not closed'),
    ('EPOCHS: 3  # Few.', 'x.gin:1 | EPOCHS = 3'),
    ('train.names = [text()]', 'x.gin:1 | quotes | [text()]'),
    ('train.flag = true', 'x.gin:1 | write True'),
    ('train.flag = No # Never.', 'x.gin:1 | write False'),
    ('train.flag = null', 'x.gin:1 | write None'),
    ('train.rate = nan', 'x.gin:1 | finite'),
    ('epochs = 3', 'epochs | x.gin:1 | component.parameter'),
    (
      'train.epochs = 3\ntrain.epochs = 4',
      'train.epochs | x.gin:1 | x.gin:2',
    ),
    (
      'train:\n  epochs = 3\ntrain.epochs = 4',
      'train.epochs | x.gin:2 | x.gin:3',
    ),
    (
      'LEARNING_RATE = 0.1\ntrain.rate = %LERNING_RATE\ntrain.epochs = 3',
      'LERNING_RATE at x.gin:2 | Did you mean LEARNING_RATE?',
    ),
    ('EPOCHS = %EPOCHS', 'EPOCHS at x.gin:1 refers to itself'),
    (
      'A = [%B]\nB = {1: %A}\ntrain.epochs = %A',
      'A at x.gin:1 refers to itself',
      'B at x.gin:2 refers to itself',
    ),
    ('train.epochs = %gin.REQUIRED', 'train.epochs must be set | x.gin:1'),
    (
      'EPOCHS = %gin.REQUIRED\ntrain.epochs = %EPOCHS',
      'EPOCHS must be set | x.gin:1',
    ),
  )
  def test_text(self, text, *faults):
    rest = 'train.optimizer = @Adam; Adam.beta = 0.9'
    self.assert_fault_parts(text, *faults, bindings=[rest])

  def test_faults_of_the_syntax_need_no_import(self):
    self.assert_fault_parts(
      'import no_such_module\ntrain.epochs = )', 'x.gin:2 | train.epochs = )'
    )

  def test_every_wrong_statement_is_reported(self):
    self.assert_fault_parts(
      'train.label = quickstart\n'
      'train.count = 3\n'
      'train.names = [\n  "a",\n'
      'Adam:\n  beta = = 0.5\n'
      'train.rate 3\n'
      'train.options = {"a": 1,\n  "b" 2}\n'
      'Momentum:\n  decay = 1e999\n'
      'train.flag = true\n'
      'epochs = 3\n'
      'train.extra = (1,\n  2\n',
      "x.gin:1 | train.label = 'quickstart'",
      'x.gin:3 | not closed | train.names = [',
      'x.gin:6 | beta = = 0.5',
      'x.gin:7 | train.rate 3',
      'x.gin:9 | "b" 2}',
      'x.gin:11 | number | 1e999',
      'x.gin:12 | write True',
      'epochs | x.gin:13 | component.parameter',
      'x.gin:14 | not closed | train.extra = (1,',
    )

  def test_faults_of_all_kinds_come_together(self):
    self.assert_fault_parts(
      'LEARNING_RATE = 0.1\n'
      'train.rate = %LERNING_RATE\n'
      'train.epochs = 0\n'
      'train.optimizer = @Adm\n',
      'LERNING_RATE at x.gin:2 | LEARNING_RATE?',
      'Adm at x.gin:4 | Adam?',
      'train.epochs=0 at x.gin:3',
    )

  def test_values_behind_an_unknown_reference_are_checked(self):
    self.assert_fault_parts(
      COMPLETE.replace('@Network()', '@Netwrk()').replace('= 8', '= 0'),
      'Netwrk at x.gin:8 | Network?',
      'Network.width=0 at x.gin:10',
    )

  def test_an_unused_macro_hides_no_unused_binding(self):
    self.assert_fault_parts(
      f'{COMPLETE}LERNING_RATE = 0.2\nMomentum.decay = 0.5',
      'LERNING_RATE at x.gin:12 | LEARNING_RATE?',
      'Momentum.decay at x.gin:13',
    )

  def test_values_of_an_overridden_component_are_checked(self):
    self.assert_fault_parts(
      {
        'x.gin': "include 'y.gin'\ntrain.optimizer = @Momentum\n"
        'Momentum.decay = 0.5',
        'y.gin': COMPLETE.replace('= 0.9', "= 'high'"),
      },
      "Adam.beta='high' at y.gin:6",
    )

  def test_a_scoped_value_is_one_fault(self):
    self.assert_fault_parts(
      COMPLETE.replace('= @N', '= @big/N').replace('Network.w', 'big/Network.w')
      + "Network.width = 'wide'\ntrain.scale = @big/pair\n"
      'big/pair.second = "a"',
      "big/pair.second='a' at x.gin:14",
      "Network.width='wide' at x.gin:12",
    )

  def test_faults_of_several_files_come_together(self):
    self.assert_fault_parts(
      {'x.gin': "include 'y.gin'\ntrain.a = (", 'y.gin': 'train.b = )'},
      'y.gin:1 | train.b = )',
      'x.gin:2 | train.a = (',
    )

  def test_not_utf8(self):
    with open(f'{self.folder}/y.gin', 'wb') as file:
      file.write(b'train.label = "\xff"')
    self.assert_fault_parts("include 'y.gin'", 'y.gin | UTF-8 | x.gin:1')


class IncludeTest(config_case.ConfigCase):
  def test_missing(self):
    self.assert_fault_parts(
      {'experiments/a.gin': "include 'bases.gin'", 'experiments/base.gin': ''},
      'bases.gin | Did you mean base.gin? | experiments/a.gin:1',
    )

  def test_missing_file(self):
    folders = ' | '.join(
      f'{folder}/nothing/like'
      for folder in (self.folder, *config_case.project_folders())
    )
    self.assert_fault_parts(
      "include 'nothing/like/it.gin'",
      f'nothing/like/it.gin | {folders} | x.gin:1',
    )

  @parameterized.parameters(
    ({'x.gin': "include 'y.gin'", 'y.gin': "include 'x.gin'"}, 'y.gin:1'),
    ({'x.gin': "train.epochs = 3\ninclude 'y.gin'", 'y.gin': ''}, 'x.gin:2'),
  )
  def test_circular_or_below_bindings(self, files, place):
    self.assert_fault_parts(files, f'nclude of | {place}')

  def test_in_a_flag(self):
    self.assert_fault_parts(
      '', '--gin_file | --gin_bindings[0]', bindings=["include 'x.gin'"]
    )


class ImportTest(config_case.ConfigCase):
  def test_no_private_name_is_proposed(self):
    self.write('lab.py', '_spectrum = 1\ndef other(): return 1\n')
    self.assert_faults(
      f'import lab\n{COMPLETE}train.extra = @lab.spectrum()',
      'Unknown component lab.spectrum at x.gin:13. There is no spectrum in it.',
    )

  def test_unknown_module_beside_other_faults(self):
    self.assert_fault_parts(
      f'{COMPLETE}import my_lab\n'
      'train.extra = [@my_lab.Head(), @Head(), @keras.Head()]\n'
      'train.label = 1\nRATE = 1\n',
      f'my_lab at x.gin:12 | {self.folder}',
      'RATE at x.gin:15',
      'train.label=1 at x.gin:14',
    )

  @parameterized.parameters(
    ('import os\n\nLIMIT = 1 / 0\n', 'ZeroDivisionError', 3),
    ('import os\ndef f(:\n', 'SyntaxError: invalid syntax', 2),
    ('import no_such_lab\n', "No module named 'no_such_lab'", 1),
    ('import sys\nsys.exit(3)\n', 'SystemExit: 3', 2),
    ('raise SystemExit\n', 'SystemExit', 1),
  )
  def test_a_module_that_fails(self, code, reason, line):
    self.write('wrong_lab.py', code)
    self.assert_fault_parts(
      f'{COMPLETE}import wrong_lab',
      f'wrong_lab at x.gin:12 | {reason} | wrong_lab.py:{line}',
    )

  def test_one_name_for_two_modules(self):
    self.assert_fault_parts(
      f'{COMPLETE}import os.path as p\nimport json as p',
      'p | os.path at x.gin:12 | json at x.gin:13',
    )

  def test_ambiguous_name(self):
    for name in ('one_lab', 'two_lab'):
      self.write(
        f'{name}.py', 'import gin\n@gin.register\ndef Twin(): return 1\n'
      )
    self.assert_fault_parts(
      f'import one_lab\nimport two_lab\n{COMPLETE}train.extra = @Twin()',
      'Ambiguous component Twin at x.gin:14 | one_lab.Twin or two_lab.Twin',
    )

  def test_root_is_not_registered(self):
    self.assert_faults(
      '',
      'No import registers walk, which this program runs. The gin files may be '
      'for another program: gin/base.gin is for train, gin/sweeps/ for sweep.',
      root='walk',
    )


class ProgramTest(config_case.ConfigCase):
  """Faults of complete configurations with one more line."""

  @parameterized.parameters(
    ('Adam.x = 3', 'Adam.x at x.gin:12 | learning_rate, beta'),
    ('Netwerk.width = 3', 'Netwerk at x.gin:12 | Network?'),
    ('my_lab.heads.Head.width = 3', 'my_lab.heads.Head at x.gin:12 | import'),
    ('train.label = @json.dumps()', 'json.dumps at x.gin:12 | import json'),
    ('train.count = True', 'an integer or None | train.count=True at x.gin:12'),
    ('train.flag = 1', 'True or False or None | train.flag=1 at x.gin:12'),
    ("train.names = 'a'", "sequence of strings | train.names='a' at x.gin:12"),
    ("train.names = ['a', 1]", "strings | train.names=['a', 1] at x.gin:12"),
    (
      "train.options = {'a': 'b'}",
      "strings to integers | train.options={'a': 'b'} at x.gin:12",
    ),
    ('train.label = @text', 'a string | train.label=@text at x.gin:12'),
    ('train.label = @Adam()', 'a string | train.label=@Adam() at x.gin:12'),
    ('big/Adam.beta = 0.5', 'scope big | big/Adam.beta at x.gin:12'),
    (
      'Adam.learning_rate = 0.5',
      'Adam.learning_rate at x.gin:12 | train.optimizer',
    ),
    ('train.scale = @pair', 'pair.second | @pair at x.gin:12 | an integer'),
    (
      'train.scale = @Layer',
      'a function returning a float | train.scale=@Layer at x.gin:12',
    ),
    (
      'tests.config.small_components.train.epochs = 4',
      'train.epochs | x.gin:4 | x.gin:12 | tests.config.small_components',
    ),
    ('train.extra = @text()', 'text.value | @text() at x.gin:12 | a string'),
    (
      'train.extra = @other/text()\ntext.value = "a"',
      'scope other | @other/text() at x.gin:12',
    ),
    (
      'train.extra = @other/text()\nothre/text.value = "a"',
      'scope other | @other/text() at x.gin:12 | Did you mean othre?',
    ),
    (
      'train.extra = @other/text()\nother/text.valu = "a"',
      'other/text.valu at x.gin:13 | Did you mean other/text.value?',
    ),
    (
      'Network.layer = @Layer\nLayer.rte = 0.5',
      'Layer.rte at x.gin:13 | Did you mean Layer.rate?',
    ),
    (
      'Network.layer = @Layer\nLayer.dtype = "float16"',
      'Layer.dtype at x.gin:13 | rate, trainable',
      'Layer.rate | @Layer at x.gin:12 | Layer.rate = 0.1',
    ),
    (
      'Network.layer = @Layer\nLayer.rate = 0.5\nLayer.trainable = 1',
      'Layer.trainable=1 at x.gin:14',
    ),
    (
      'Network.layer = @Layer\nLayer.rate = "high"',
      "other than a string | Layer.rate='high' at x.gin:13",
    ),
    (
      'train.maker = @Adam()',
      'a function returning an Adam | train.maker=@Adam() at x.gin:12',
    ),
  )
  def test_one_more_line(self, line, *faults):
    self.assert_fault_parts(COMPLETE + line, *faults)

  @parameterized.parameters('None', '@text()', '@Adam()', '3')
  def test_a_value_that_does_not_implement_a_protocol(self, value):
    self.assert_fault_parts(
      f'import tests.config.small_components\nrun.on = {value}',
      f'a Runner | run.on={value} at x.gin:2',
      root='run',
    )

  @parameterized.parameters(
    ('epochs = 3', 'epochs = 0', 'positive | train.epochs=0 at x.gin:4'),
    ('0.9', '1.5', 'at least 0 and below 1 | Adam.beta=1.5 at x.gin:6'),
    ('(1, 2)', '(3, 0)', '1 to 3 | Network.levels=(3, 0) at x.gin:9'),
    ('(1, 2)', '(3)', 'Network.levels=3 at x.gin:9 | (3,)'),
    ("'same'", "'Same'", "'same', 'valid' | padding='Same' at x.gin:11"),
    ("'same'", '@text', "'same', 'valid' | padding=@text at x.gin:11"),
    ("'same'", '@pair()', "'same', 'valid' | padding=@pair() at x.gin:11"),
    ('= 0.1', "= '0.1'", "train.rate='0.1' at x.gin:3 (LEARNING_RATE)"),
    ('= @Adam', '= @Adam()', 'Momentum | train.optimizer=@Adam() at x.gin:5'),
    ('@Network()', '@Network', 'train.network=@Network at x.gin:8'),
    (
      '@Network()',
      '@Adam()',
      'a Network | train.network=@Adam() at x.gin:8',
      'Network.levels at x.gin:9',
      'Network.width at x.gin:10',
      'Network.padding at x.gin:11',
    ),
    ('train.epochs = 3\n', '', 'train.epochs is not set | positive integer'),
    (
      'Network.width = 8\n',
      '',
      'Network.width is not set | @Network() at x.gin:8 | positive integer',
    ),
    (
      '@Adam\nAdam.beta = 0.9',
      '@text\ntext.value = "a"',
      'train.optimizer=@text at x.gin:5',
    ),
  )
  def test_one_change(self, old, new, *faults):
    self.assertEqual(COMPLETE.count(old), 1)
    self.assert_fault_parts(COMPLETE.replace(old, new), *faults)

  def test_all_faults_at_once(self):
    self.assert_fault_parts(
      f"""{IMPORT}
train.epochs = 0
train.optimizer = @Adam
train.rat = 1.0
Adam.beta = 'high'
Momentum.decay = 0.5
""",
      'train.rat at x.gin:5 | train.rate?',
      'train.epochs=0 at x.gin:3',
      "Adam.beta='high' at x.gin:6",
      'Momentum.decay at x.gin:7',
    )


class FlagTest(config_case.ConfigCase):
  @parameterized.parameters(
    (
      ['train.epochs = 4; train.label = runs/mine'],
      "--gin_bindings[0] | train.label = 'runs/mine'",
    ),
    (
      ['train.count = 1', 'train.epochs = -1'],
      'train.epochs=-1 at --gin_bindings[1]',
    ),
    (
      ['train.epochz = 3'],
      'train.epochz at --gin_bindings[0] | train.epochs?',
    ),
    (
      ['train.optimiser = @Momentum; Momentum.decay = %DECAY; DECAY = 0.1'],
      'train.optimiser at --gin_bindings[0] | train.optimizer?',
    ),
    (
      ['train.optimizer = @Momentum; Momentum.decay = 0.1; Adam.beta = 0.5'],
      '--gin_bindings[0] has no effect | Adam.beta',
    ),
    (
      ['LEARNING_RATES = 0.5'],
      '--gin_bindings[0] has no effect | LEARNING_RATES | LEARNING_RATE?',
    ),
    (
      ['train.epochs = 4; train.epochs = 5'],
      'train.epochs | --gin_bindings[0]',
    ),
  )
  def test_bindings(self, bindings, *faults):
    self.assert_fault_parts(COMPLETE, *faults, bindings=bindings)

  @parameterized.parameters(
    ('--l1', 'L1 = 0.5', [], '--l1 has no effect | L1'),
    (
      '--lr',
      'LEARNING_RATE = 0.2',
      ['LEARNING_RATE = 0.5'],
      '--gin_bindings[0] has no effect | --lr sets LEARNING_RATE',
    ),
    (
      '--lr',
      'LEARNING_RATE = 0.2',
      ['train.rate = 0.5'],
      '--lr has no effect | LEARNING_RATE',
    ),
  )
  def test_macro_flags(self, flag, binding, bindings, *faults):
    self.assert_fault_parts(
      COMPLETE, *faults, bindings=bindings, macro_flags=[(flag, binding)]
    )

  def test_a_macro_flag_out_of_range(self):
    self.assert_fault_parts(
      COMPLETE.replace('(1, 2)', '%LEVELS'),
      'Network.levels=(3, 0) at --levels (LEVELS)',
      macro_flags=[('--levels', 'LEVELS = (3,0,)')],
    )

  def test_file_given_twice(self):
    self.write('x.gin', COMPLETE)
    with self.assertRaisesRegex(
      config_case.InputError,
      '^--gin_file=./x.gin has no effect: --gin_file=x.gin ',
    ):
      config_case.loading.load(['x.gin', './x.gin'], [], 'train')


if __name__ == '__main__':
  absltest.main()
