"""Every fault, with its exact message."""

from absl.testing import absltest
from absl.testing import parameterized

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tests.config.config_case import IMPORT


class LanguageTest(config_case.ConfigCase):
  """Faults that need no imports."""

  @parameterized.parameters(
    (
      'train.levels = (3, 4',
      'Syntax error at x.gin:1: A bracket or a string is not closed. '
      'Received: train.levels = (3, 4',
    ),
    (
      'train.epochs = 3 4',
      'Syntax error at x.gin:1: More follows after a value. A tuple needs '
      'brackets; bindings are separated by new lines, in flags also by '
      'semicolons. Received: train.epochs = 3 4',
    ),
    (
      'train.epochs 3',
      "Syntax error at x.gin:1: Couldn't parse statement, expected ':' or '='. "
      'Received: train.epochs 3',
    ),
    (
      'train.epochs =',
      'Syntax error at x.gin:1: Unable to parse value. '
      'Received: train.epochs =',
    ),
    (
      'train.epochs = -%EPOCHS',
      'Syntax error at x.gin:1: Only a number can be negative. '
      'Received: train.epochs = -%EPOCHS',
    ),
    (
      "train.options = {'a': 1, 'a': 2}",
      "Syntax error at x.gin:1: The key 'a' stands twice. "
      "Received: train.options = {'a': 1, 'a': 2}",
    ),
    (
      'train.options = {[1]: 2}',
      'Syntax error at x.gin:1: A list or dictionary cannot be the key of a '
      'dictionary. Received: train.options = {[1]: 2}',
    ),
    (
      'train.options = {%A: 2}',
      'Syntax error at x.gin:1: %A cannot be a key. '
      'Received: train.options = {%A: 2}',
    ),
    (
      'train.rate = 1e999',
      'Syntax error at x.gin:1: This number cannot be represented. '
      'Received: train.rate = 1e999',
    ),
    (
      'train.label = quickstart',
      'train.label = quickstart at x.gin:1: a string needs quotes: '
      "train.label = 'quickstart'.",
    ),
    (
      'train.label = EPOCHS',
      'train.label = EPOCHS at x.gin:1: a macro needs a %: '
      'train.label = %EPOCHS',
    ),
    (
      'train.network = Network()',
      'train.network = Network() at x.gin:1: a reference needs an @: '
      'train.network = @Network()',
    ),
    (
      'include base.gin',
      'include base.gin at x.gin:1: a file name needs quotes: '
      "include 'base.gin'",
    ),
    (
      "train.label = 'quickstart",
      'Syntax error at x.gin:1: A string is not closed. '
      "Received: train.label = 'quickstart",
    ),
    (
      'EPOCHS: 3',
      'EPOCHS: 3 at x.gin:1: a value needs an =: EPOCHS = 3',
    ),
    (
      'train.names = [text()]',
      'Syntax error at x.gin:1: This is no value. Strings need quotes, '
      'references an @, macros a %. Received: train.names = [text()]',
    ),
    ('train.flag = true', 'train.flag = true at x.gin:1: write True.'),
    (
      'train.rate = nan',
      'train.rate = nan at x.gin:1: a number must be finite.',
    ),
    (
      'epochs = 3',
      'epochs = 3 at x.gin:1 names no component. Write component.parameter, '
      'or capitals for a macro.',
    ),
    (
      'train.epochs = 3\ntrain.epochs = 4',
      'train.epochs is bound twice: at x.gin:1 and at x.gin:2.',
    ),
    (
      'train:\n  epochs = 3\ntrain.epochs = 4',
      'train.epochs is bound twice: at x.gin:2 and at x.gin:3.',
    ),
    (
      'train.epochs = %EPOCHS',
      'Unknown macro EPOCHS at x.gin:1. Nothing sets it.',
    ),
    (
      'LEARNING_RATE = 0.1\ntrain.rate = %LERNING_RATE\ntrain.epochs = 3',
      'Unknown macro LERNING_RATE at x.gin:2. Did you mean LEARNING_RATE?',
    ),
    (
      'EPOCHS = %EPOCHS',
      'Macro EPOCHS at x.gin:1 refers to itself.',
    ),
    (
      'A = [%B]\nB = {1: %A}\ntrain.epochs = %A',
      'Macro A at x.gin:1 refers to itself.',
      'Macro B at x.gin:2 refers to itself.',
    ),
    (
      'train.epochs = %gin.REQUIRED',
      'train.epochs must be set: x.gin:1 leaves it open (%gin.REQUIRED).',
    ),
    (
      'EPOCHS = %gin.REQUIRED\ntrain.epochs = %EPOCHS',
      'EPOCHS must be set: x.gin:1 leaves it open (%gin.REQUIRED).',
    ),
  )
  def test_text(self, text, *expected):
    rest = 'train.optimizer = @Adam; Adam.beta = 0.9'
    self.assert_faults(text, *expected, bindings=[rest])

  def test_faults_of_the_syntax_need_no_import(self):
    self.assert_faults(
      'import no_such_module\ntrain.epochs = )',
      'Syntax error at x.gin:2: Unable to parse value. '
      'Received: train.epochs = )',
    )

  def test_faults_of_all_kinds_come_together(self):
    self.assert_faults(
      'LEARNING_RATE = 0.1\n'
      'train.rate = %LERNING_RATE\n'
      'train.epochs = 0\n'
      'train.optimizer = @Adm\n',
      'Unknown macro LERNING_RATE at x.gin:2. Did you mean LEARNING_RATE?',
      'Unknown component Adm at x.gin:4. Did you mean Adam?',
      'train.epochs must be a positive integer. Received: train.epochs=0 at '
      'x.gin:3.',
    )

  def test_what_an_unknown_reference_hides_is_checked_all_the_same(self):
    self.assert_faults(
      COMPLETE.replace('@Network()', '@Netwrk()').replace('= 8', '= 0'),
      'Unknown component Netwrk at x.gin:8. Did you mean Network?',
      'Network.width must be a positive integer. Received: Network.width=0 at '
      'x.gin:10.',
    )

  def test_an_unused_macro_hides_no_unused_binding(self):
    self.assert_faults(
      f'{COMPLETE}LERNING_RATE = 0.2\nMomentum.decay = 0.5',
      'Macro LERNING_RATE at x.gin:12 is used nowhere. '
      'Did you mean LEARNING_RATE?',
      'Momentum.decay at x.gin:13 is used nowhere: no reference leads from '
      'train to @Momentum.',
    )

  def test_what_an_override_replaces_is_checked_all_the_same(self):
    self.assert_faults(
      {
        'x.gin': "include 'y.gin'\ntrain.optimizer = @Momentum\n"
        'Momentum.decay = 0.5',
        'y.gin': COMPLETE.replace('= 0.9', "= 'high'"),
      },
      'Adam.beta must be a number at least 0 and below 1. '
      "Received: Adam.beta='high' at y.gin:6.",
    )

  def test_a_scoped_value_is_one_fault(self):
    self.assert_faults(
      COMPLETE.replace('= @N', '= @big/N').replace('Network.w', 'big/Network.w')
      + "Network.width = 'wide'\ntrain.scale = @big/pair\n"
      'big/pair.second = "a"',
      'big/pair.second must be an integer. '
      "Received: big/pair.second='a' at x.gin:14.",
      'Network.width must be a positive integer. '
      "Received: Network.width='wide' at x.gin:12.",
    )

  def test_faults_of_several_files_come_together(self):
    self.assert_faults(
      {'x.gin': "include 'y.gin'\ntrain.a = (", 'y.gin': 'train.b = )'},
      'Syntax error at y.gin:1: Unable to parse value. Received: train.b = )',
      'Syntax error at x.gin:2: A bracket or a string is not closed. '
      'Received: train.a = (',
    )

  def test_not_utf8(self):
    with open(f'{self.folder}/y.gin', 'wb') as file:
      file.write(b'train.label = "\xff"')
    self.assert_faults(
      "include 'y.gin'",
      'Cannot read y.gin: it is not UTF-8 text. Given by x.gin:1.',
    )


class IncludeTest(config_case.ConfigCase):
  def test_missing(self):
    self.assert_faults(
      {'experiments/a.gin': "include 'bases.gin'", 'experiments/base.gin': ''},
      'No such file: bases.gin. Did you mean base.gin? '
      'Included at experiments/a.gin:1.',
    )

  def test_missing_file(self):
    self.assert_faults(
      "include 'nothing/like/it.gin'",
      'No such file: nothing/like/it.gin. Looked in: '
      + ', '.join(
        f'{folder}/nothing/like'
        for folder in (self.folder, *config_case.project_folders())
      )
      + '. Included at x.gin:1.',
    )

  def test_circular(self):
    self.assert_faults(
      {'x.gin': "include 'y.gin'", 'y.gin': "include 'x.gin'"},
      'Circular include of x.gin at y.gin:1.',
    )

  def test_below_bindings(self):
    self.assert_faults(
      {'x.gin': "train.epochs = 3\ninclude 'y.gin'", 'y.gin': ''},
      'The include of y.gin at x.gin:2 must stand above all bindings: what it '
      'binds would override them.',
    )

  def test_in_a_flag(self):
    self.assert_faults(
      '',
      'No include at --gin_bindings[0]: give it as --gin_file.',
      bindings=["include 'x.gin'"],
    )


class ImportTest(config_case.ConfigCase):
  def test_no_private_name_is_proposed(self):
    self.write('lab.py', '_spectrum = 1\ndef other(): return 1\n')
    self.assert_faults(
      f'import lab\n{COMPLETE}train.extra = @lab.spectrum()',
      'Unknown component lab.spectrum at x.gin:13. There is no spectrum in it.',
    )

  def test_unknown_module(self):
    self.assert_faults(
      f'{COMPLETE}import my_lab.heads',
      'Unknown module my_lab.heads at x.gin:12. '
      f'Looked in {self.folder} and the Python path.',
    )

  def test_unknown_module_beside_other_faults(self):
    self.assert_faults(
      f'{COMPLETE}import my_lab\n'
      'train.extra = [@my_lab.Head(), @Head(), @keras.Head()]\n'
      'train.label = 1\nRATE = 1\n',
      'Unknown module my_lab at x.gin:12. '
      f'Looked in {self.folder} and the Python path.',
      'Macro RATE at x.gin:15 is used nowhere.',
      'train.label must be a string or None. Received: train.label=1 at '
      'x.gin:14.',
    )

  def test_error_in_a_module(self):
    self.write('wrong_lab.py', 'import os\n\nLIMIT = 1 / 0\n')
    self.assert_faults(
      f'{COMPLETE}import wrong_lab',
      'The import of wrong_lab at x.gin:12 failed: ZeroDivisionError: division '
      'by zero at wrong_lab.py:3.',
    )

  def test_syntax_error_in_a_module(self):
    self.write('broken_lab.py', 'import os\ndef f(:\n')
    self.assert_faults(
      f'{COMPLETE}import broken_lab',
      'The import of broken_lab at x.gin:12 failed: SyntaxError: invalid '
      'syntax at broken_lab.py:2.',
    )

  def test_missing_dependency_of_a_module(self):
    self.write('poor_lab.py', 'import no_such_dependency\n')
    self.assert_faults(
      f'{COMPLETE}import poor_lab',
      'The import of poor_lab at x.gin:12 failed: ModuleNotFoundError: No '
      "module named 'no_such_dependency' at poor_lab.py:1.",
    )

  def test_one_name_for_two_modules(self):
    self.assert_faults(
      f'{COMPLETE}import os.path as p\nimport json as p',
      'p means os.path at x.gin:12 but json at x.gin:13.',
    )


class ProgramTest(config_case.ConfigCase):
  """Faults of complete configurations with one more line."""

  @parameterized.parameters(
    (
      'train.epochz = 3',
      'Unknown parameter train.epochz at x.gin:12. Did you mean train.epochs?',
    ),
    (
      'Adam.x = 3',
      'Unknown parameter Adam.x at x.gin:12. Adam takes: learning_rate, beta.',
    ),
    (
      'Netwerk.width = 3',
      'Unknown component Netwerk at x.gin:12. Did you mean Network?',
    ),
    (
      'my_lab.heads.Head.width = 3',
      'Unknown component my_lab.heads.Head at x.gin:12. '
      'No import in the configuration defines it.',
    ),
    (
      'train.label = @json.dumps()',
      'Unknown component json.dumps at x.gin:12. Add the line: import json',
    ),
    (
      'train.count = 3.0',
      'train.count must be an integer or None. Received: train.count=3.0 at '
      'x.gin:12.',
    ),
    (
      'train.count = True',
      'train.count must be an integer or None. Received: train.count=True at '
      'x.gin:12.',
    ),
    (
      'train.flag = 1',
      'train.flag must be True or False or None. Received: train.flag=1 at '
      'x.gin:12.',
    ),
    (
      "train.names = 'a'",
      'train.names must be a sequence of strings or None. '
      "Received: train.names='a' at x.gin:12.",
    ),
    (
      "train.names = ['a', 1]",
      'train.names must be a sequence of strings or None. '
      "Received: train.names=['a', 1] at x.gin:12.",
    ),
    (
      "train.options = {'a': 'b'}",
      'train.options must be a dictionary from strings to integers or None. '
      "Received: train.options={'a': 'b'} at x.gin:12.",
    ),
    (
      'train.label = @text',
      'train.label must be a string or None. Received: train.label=@text at '
      'x.gin:12.',
    ),
    (
      'train.label = @Adam()',
      'train.label must be a string or None. Received: train.label=@Adam() at '
      'x.gin:12.',
    ),
    (
      'text.value = "a"',
      'text.value at x.gin:12 is used nowhere: no reference leads from train '
      'to @text.',
    ),
    (
      'big/Adam.beta = 0.5',
      'Unknown scope big in big/Adam.beta at x.gin:12. No reference names it.',
    ),
    (
      'Adam.learning_rate = 0.5',
      'Adam.learning_rate at x.gin:12 cannot be bound: train.optimizer is '
      'called with it.',
    ),
    (
      'train.scale = @pair',
      'pair.second is not set: @pair at x.gin:12 needs it. '
      'Expected: an integer.',
    ),
    (
      'train.scale = @Layer',
      'train.scale must be a function returning a float, as @function or '
      '@Class(), or None. '
      'Received: train.scale=@Layer at x.gin:12.',
    ),
    (
      'tests.config.small_components.train.epochs = 4',
      'train.epochs is bound twice: at x.gin:4 and at x.gin:12 as '
      'tests.config.small_components.train.epochs.',
    ),
    (
      'train.extra = @text()',
      'text.value is not set: @text() at x.gin:12 needs it. '
      'Expected: a string.',
    ),
    (
      'train.extra = @other/text()\ntext.value = "a"',
      'Unknown scope other in @other/text() at x.gin:12. '
      'Nothing is bound in it.',
    ),
    (
      'train.extra = @other/text()\nothre/text.value = "a"',
      'Unknown scope other in @other/text() at x.gin:12. Did you mean othre?',
    ),
    (
      'train.extra = @other/text()\nother/text.valu = "a"',
      'Unknown parameter other/text.valu at x.gin:13. '
      'Did you mean other/text.value?',
    ),
    (
      'Network.layer = @Layer\nLayer.rte = 0.5',
      'Unknown parameter Layer.rte at x.gin:13. Did you mean Layer.rate?',
    ),
    (
      'Network.layer = @Layer\nLayer.dtype = "float16"',
      'Unknown parameter Layer.dtype at x.gin:13. '
      'Layer takes: rate, trainable.',
      'Layer.rate is not set: @Layer at x.gin:12 needs it. Expected: a value '
      'other than a string, True, False or None. A default in code does not '
      'count; add the line: Layer.rate = 0.1',
    ),
    (
      'train.extra = @default()',
      'default.value is not set: @default() at x.gin:12 needs it. Expected: an '
      'integer. A default in code does not count; add the line: '
      'default.value = 3',
    ),
    (
      'Network.layer = @Layer\nLayer.rate = 0.5\nLayer.trainable = 1',
      'Layer.trainable must be True or False or None. '
      'Received: Layer.trainable=1 at x.gin:14.',
    ),
    (
      'Network.layer = @Layer\nLayer.rate = "high"',
      'Layer.rate must be a value other than a string, True, False or None. '
      "Received: Layer.rate='high' at x.gin:13.",
    ),
  )
  def test_one_more_line(self, line, *expected):
    self.assert_faults(COMPLETE + line, *expected)

  def test_a_call_too_many(self):
    self.assert_faults(
      f'{COMPLETE}train.maker = @Adam()',
      'train.maker must be a function returning an Adam, as @function or '
      '@Class(), or None. Received: train.maker=@Adam() at x.gin:12.',
    )

  @parameterized.parameters(
    ('None', 'None'), ('@text()', '@text()'), ('@Adam()', '@Adam()'), ('3', '3')
  )
  def test_what_does_not_provide_what_a_protocol_asks_for(self, value, shown):
    self.assert_faults(
      f'import tests.config.small_components\nrun.on = {value}',
      f'run.on must be a Runner, as @name(). Received: run.on={shown} at '
      'x.gin:2.',
      root='run',
    )

  @parameterized.parameters(
    (
      'train.epochs = 3',
      'train.epochs = 0',
      'train.epochs must be a positive integer. Received: train.epochs=0 at '
      'x.gin:4.',
    ),
    (
      'Adam.beta = 0.9',
      'Adam.beta = 1.5',
      'Adam.beta must be a number at least 0 and below 1. '
      'Received: Adam.beta=1.5 at x.gin:6.',
    ),
    (
      '(1, 2)',
      '(3, 0)',
      'Network.levels must be 1 to 3 positive integers. '
      'Received: Network.levels=(3, 0) at x.gin:9.',
    ),
    (
      '(1, 2)',
      '(3)',
      'Network.levels must be 1 to 3 positive integers. '
      'Received: Network.levels=3 at x.gin:9. One element is written (3,).',
    ),
    (
      "'same'",
      "'Same'",
      "Network.padding must be one of 'same', 'valid'. "
      "Received: Network.padding='Same' at x.gin:11.",
    ),
    *(
      (
        "'same'",
        reference,
        "Network.padding must be one of 'same', 'valid'. "
        f'Received: Network.padding={reference} at x.gin:11.',
      )
      for reference in ('@text', '@pair()')
    ),
    (
      '= 0.1',
      "= '0.1'",
      "train.rate must be a number or None. Received: train.rate='0.1' at "
      'x.gin:3 '
      '(LEARNING_RATE).',
    ),
    (
      '= @Adam',
      '= @Adam()',
      'train.optimizer must be a reference to an Adam or a Momentum, as @name. '
      'Received: train.optimizer=@Adam() at x.gin:5.',
    ),
    (
      '@Network()',
      '@Network',
      'train.network must be a Network, as @name(), or None. '
      'Received: train.network=@Network at x.gin:8.',
    ),
    (
      '@Network()',
      '@Adam()',
      'train.network must be a Network, as @name(), or None. '
      'Received: train.network=@Adam() at x.gin:8.',
      *(
        f'Network.{name} at x.gin:{line} is used nowhere: no reference leads '
        'from train to @Network.'
        for line, name in ((9, 'levels'), (10, 'width'), (11, 'padding'))
      ),
    ),
    (
      'train.epochs = 3\n',
      '',
      'train.epochs is not set: train is what the program runs. '
      'Expected: a positive integer.',
    ),
    (
      'Network.width = 8\n',
      '',
      'Network.width is not set: @Network() at x.gin:8 needs it. '
      'Expected: a positive integer.',
    ),
    (
      '@Adam\nAdam.beta = 0.9',
      '@text\ntext.value = "a"',
      'train.optimizer must be a reference to an Adam or a Momentum, as @name. '
      'Received: train.optimizer=@text at x.gin:5.',
    ),
  )
  def test_one_change(self, old, new, *expected):
    self.assertEqual(COMPLETE.count(old), 1)
    self.assert_faults(COMPLETE.replace(old, new), *expected)

  def test_all_faults_at_once(self):
    self.assert_faults(
      f"""{IMPORT}
train.epochs = 0
train.optimizer = @Adam
train.rat = 1.0
Adam.beta = 'high'
Momentum.decay = 0.5
""",
      'Unknown parameter train.rat at x.gin:5. Did you mean train.rate?',
      'train.epochs must be a positive integer. Received: train.epochs=0 at '
      'x.gin:3.',
      'Adam.beta must be a number at least 0 and below 1. '
      "Received: Adam.beta='high' at x.gin:6.",
      'Momentum.decay at x.gin:7 is used nowhere: no reference leads from '
      'train to @Momentum.',
    )

  def test_ambiguous_name(self):
    for name in ('one_lab', 'two_lab'):
      self.write(
        f'{name}.py', 'import gin\n@gin.register\ndef Twin(): return 1\n'
      )
    self.assert_faults(
      f'import one_lab\nimport two_lab\n{COMPLETE}train.extra = @Twin()',
      'Ambiguous component Twin at x.gin:14. '
      'It could be one_lab.Twin or two_lab.Twin.',
    )

  def test_nothing_brings_the_root(self):
    self.assert_faults(
      '',
      'No import line brings walk, which this program runs.',
      root='walk',
    )


class FlagTest(config_case.ConfigCase):
  def assert_flag_faults(self, bindings, *expected, **kwargs):
    self.assert_faults(COMPLETE, *expected, bindings=bindings, **kwargs)

  def test_unquoted_string(self):
    self.assert_flag_faults(
      ['train.epochs = 4; train.label = runs/mine'],
      'train.label = runs/mine at --gin_bindings[0]: a string needs quotes: '
      '"train.label = \'runs/mine\'".',
    )

  def test_wrong_value(self):
    self.assert_flag_faults(
      ['train.count = 1', 'train.epochs = -1'],
      'train.epochs must be a positive integer. '
      'Received: train.epochs=-1 at --gin_bindings[1].',
    )

  def test_misspelt_parameter_is_one_fault(self):
    self.assert_flag_faults(
      ['train.epochz = 3'],
      'Unknown parameter train.epochz at --gin_bindings[0]. '
      'Did you mean train.epochs?',
    )
    self.assert_flag_faults(
      ['train.optimiser = @Momentum; Momentum.decay = %DECAY; DECAY = 0.1'],
      'Unknown parameter train.optimiser at --gin_bindings[0]. '
      'Did you mean train.optimizer?',
    )
    self.assert_faults(
      COMPLETE.replace('train.epochs', 'train.epochz'),
      'Unknown parameter train.epochz at x.gin:4. Did you mean train.epochs?',
    )

  def test_without_effect(self):
    self.assert_flag_faults(
      ['train.optimizer = @Momentum; Momentum.decay = 0.1; Adam.beta = 0.5'],
      '--gin_bindings[0] has no effect: nothing that runs uses Adam.beta.',
    )

  def test_macro_without_effect(self):
    self.assert_flag_faults(
      ['LEARNING_RATES = 0.5'],
      '--gin_bindings[0] has no effect: nothing uses macro LEARNING_RATES. '
      'Did you mean LEARNING_RATE?',
    )

  def test_short_flag_without_effect(self):
    self.assert_flag_faults(
      [],
      '--l1 has no effect: nothing uses macro L1.',
      short_flags=[('--l1', 'L1 = 0.5')],
    )

  def test_short_flag_and_the_same_macro(self):
    self.assert_flag_faults(
      ['LEARNING_RATE = 0.5'],
      '--lr and --gin_bindings[0] both set LEARNING_RATE: give one.',
      short_flags=[('--lr', 'LEARNING_RATE = 0.2')],
    )

  def test_short_flag_and_the_same_parameter(self):
    self.assert_flag_faults(
      ['train.rate = 0.5'],
      '--lr and --gin_bindings[0] both set train.rate: give one.',
      short_flags=[('--lr', 'LEARNING_RATE = 0.2')],
    )

  def test_short_flag_out_of_range(self):
    self.assert_faults(
      COMPLETE.replace('(1, 2)', '%LEVELS'),
      'Network.levels must be 1 to 3 positive integers. '
      'Received: Network.levels=(3, 0) at --levels (LEVELS).',
      short_flags=[('--levels', 'LEVELS = (3,0,)')],
    )

  def test_twice_in_one_flag(self):
    self.assert_flag_faults(
      ['train.epochs = 4; train.epochs = 5'],
      'train.epochs is bound twice: at --gin_bindings[0] and at '
      '--gin_bindings[0].',
    )

  def test_file_given_twice(self):
    self.write('x.gin', COMPLETE)
    with self.assertRaisesRegex(
      config_case.InputError,
      '^--gin_file=./x.gin has no effect: --gin_file=x.gin has brought it '
      'already.$',
    ):
      config_case.loading.load(['x.gin', './x.gin'], [], 'train')


if __name__ == '__main__':
  absltest.main()
