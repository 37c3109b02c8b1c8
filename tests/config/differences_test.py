"""Differences between configurations."""

from absl.testing import absltest
from absl.testing import parameterized

from tests.config import config_case
from tests.config.config_case import COMPLETE
from tinygin.config import differences

_LAB = 'tests.config.small_components'


def _differences(*texts):
  return differences.differing(*map(differences.values, texts))


class DifferencesTest(config_case.ConfigCase):
  def test_macros_are_compared_by_value(self):
    a = self.load(COMPLETE).text()
    b = self.load(COMPLETE.replace('%LEARNING_RATE', '0.1').replace(
      'LEARNING_RATE = 0.1\n', '')).text()  # fmt: skip
    self.assertNotEqual(a, b)
    self.assertEmpty(_differences(a, b))

  def test_differences(self):
    a = self.load(COMPLETE).text()
    override = ['train.optimizer = @Momentum; Momentum.decay = 0.5']
    b = self.load(COMPLETE, ['LEARNING_RATE = 0.2', *override]).text()
    self.assertEqual(
      [*_differences(a, b).items()],
      [
        ('train.optimizer', (f'@{_LAB}.Adam', f'@{_LAB}.Momentum')),
        ('train.rate', ('0.1', '0.2')),
        (f'{_LAB}.Adam.beta', ('0.9', differences.ABSENT)),
        (f'{_LAB}.Momentum.decay', (differences.ABSENT, '0.5')),
      ],
    )

  def test_not_a_configuration(self):
    with self.assertRaisesRegex(
      config_case.InputError, '^Syntax error at config.gin:1: .*'
    ):
      differences.values('train.a = (')
    with self.assertRaisesRegex(
      config_case.InputError, '^Unknown macro A at config.gin:1.'
    ):
      differences.values('train.a = %A')

  def test_a_circular_macro(self):
    with self.assertRaisesRegex(
      config_case.InputError, '^Macro A at config.gin:1 refers to itself.$'
    ):
      differences.values('A = [%A]\ntrain.a = %A')


class ImportsTest(config_case.ConfigCase):
  """Names are compared by what they mean."""

  @parameterized.named_parameters(
    ('of_an_alias', '', 'import {} as lab', 'lab.head'),
    ('of_a_part', '', 'from own.{} import layers', 'layers.head'),
    ('that_a_module_registers', '@gin.register', 'import {}', 'head'),
  )
  def test_one_name(self, decorator, line, name):
    texts = []
    # Names of modules are used once in a process.
    for module in (f'a{self.id()[-5:]}', f'b{self.id()[-5:]}'):
      code = f'import gin\n{decorator}\ndef head(size): return size\n'
      for path in (f'{module}.py', f'own/{module}/layers.py'):
        self.write(path, code)
      text = f'{line}\n{COMPLETE}train.extra = @{name}()\n{name}.size = 1\n'
      texts.append(self.load(text.format(module)).text())
    self.assertEqual(
      [name.rpartition('.')[2] for name in _differences(*texts)],
      ['extra', 'size', 'size'],
    )
    self.assertEmpty(_differences(texts[0], self.load(texts[0]).text()))


if __name__ == '__main__':
  absltest.main()
