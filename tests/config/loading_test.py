"""Composition, scopes, building and replay of configurations."""

import json
import threading

from absl.testing import absltest
from absl.testing import parameterized

from tests.config import config_case
from tests.config import small_components
from tests.config.config_case import COMPLETE
from tests.config.config_case import IMPORT
from tinygin.config import loading

_LAB = 'tests.config.small_components'
_BASE = f"""{IMPORT}
EPOCHS = %gin.REQUIRED
train.epochs = %EPOCHS
train.optimizer = @Adam
Adam.beta = 0.9
"""


def _lines(text, start):
  return [line for line in text.splitlines() if line.startswith(start)]


class CompositionTest(config_case.ConfigCase):
  def test_builds(self):
    train = self.load(COMPLETE).build()
    self.assertEqual(train.epochs, 3)
    self.assertEqual(train.rate, 0.1)
    self.assertEqual(train.network, small_components.Network((1, 2), 8, 'same'))
    self.assertEqual(
      train.optimizer(learning_rate=0.5), small_components.Adam(0.5, 0.9)
    )

  def test_a_later_error_gets_the_places_of_what_it_names(self):
    configuration = self.load(f'{COMPLETE}train.count = 3', ['train.rate = 1'])
    with self.assertRaises(config_case.InputError) as caught:
      with configuration.located():
        raise config_case.InputError('Set train.count and train.rates.')
    self.assertEqual(
      str(caught.exception),
      'Set train.count and train.rates.\n  train.count is bound at x.gin:12.',
    )

  def test_later_files_win_over_includes_and_flags_over_all(self):
    files = {
      'x.gin': "include 'base.gin'\nEPOCHS = 2\ntrain.count = 1",
      'base.gin': _BASE + 'train.count = 0',
    }
    self.assertEqual(self.load(files).build().epochs, 2)
    self.assertEqual(self.load(files).build().count, 1)
    flags = ['EPOCHS = 3', 'EPOCHS = 4; train.count = 2']
    train = self.load(files, flags).build()
    self.assertEqual((train.epochs, train.count), (4, 2))

  def test_includes_are_searched_beside_the_file_then_on_the_search_path(self):
    self.write('lib/base.gin', _BASE)
    self.write('lib/more.gin', 'train.count = 1')
    files = {
      'mine/x.gin': "include 'more.gin'\ninclude 'base.gin'\nEPOCHS = 1",
      'mine/more.gin': 'train.count = 2',
    }
    train = self.load(files, search_paths=['lib']).build()
    self.assertEqual(train.count, 2)

  def test_a_file_included_twice_takes_effect_once_at_its_first_place(self):
    files = {
      'x.gin': "include 'a.gin'\ninclude 'b.gin'\nEPOCHS = 1",
      'a.gin': "include 'base.gin'\nAdam.beta = 0.5",
      'b.gin': "include 'base.gin'\ntrain.count = 2",
      'base.gin': _BASE,
    }
    self.assertIn('Adam.beta = 0.5', self.load(files).text())

  def test_bindings_are_separated_by_semicolons_outside_strings(self):
    flags = ["train.label = 'a;b'; train.count = 5 ;  train.epochs = 9;"]
    train = self.load(COMPLETE, flags).build()
    self.assertEqual((train.label, train.count, train.epochs), ('a;b', 5, 9))

  def test_an_overridden_component_is_neither_a_fault_nor_kept(self):
    override = ['train.optimizer = @Momentum; Momentum.decay = 0.5']
    configuration = self.load(COMPLETE, override)
    self.assertNotIn('Adam', configuration.text())
    momentum = configuration.build().optimizer(learning_rate=1.0)
    self.assertEqual(momentum, small_components.Momentum(1.0, 0.5))

  def test_bindings_for_other_programs(self):
    text = COMPLETE + 'build.shards = 3'
    self.assert_faults(
      text,
      'build.shards at x.gin:12 is not used: no reference leads from train '
      'to @build.',
    )
    train = self.load(text, other_roots=['build'])
    self.assertNotIn('build', train.text())
    build = self.load(text, root='build', other_roots=['train'])
    self.assertEqual(build.build().shards, 3)

  def test_a_list_becomes_the_declared_tuple(self):
    network = self.load(COMPLETE.replace('(1, 2)', '[1, 2]')).build().network
    self.assertEqual(network.levels, (1, 2))

  def test_supplied_by_position(self):
    text = COMPLETE + 'train.scale = @scale\nscale.factor = 3'
    self.assertEqual(self.load(text).build().scale(2.0), 6.0)

  def test_supplied_by_position_and_by_several_names(self):
    text = COMPLETE + 'train.block = @block\nblock.size = 3'
    block = self.load(text).build().block
    self.assertEqual(block(1, name='a', width=2), (1, 3, 2, 'a'))
    self.assert_faults(
      f'{text}\nblock.width = 2\nblock.x = 3',
      'block.width at x.gin:14 cannot be bound: the program passes it to '
      'train.block.',
      'block.x at x.gin:15 cannot be bound: the program passes it to '
      'train.block.',
    )

  def test_a_module_in_the_working_directory(self):
    self.write(
      'my_lab/heads.py',
      'import gin\n@gin.register\ndef head(size: int): return size\n',
    )
    text = f'import my_lab.heads\n{COMPLETE}train.extra = @head()\n'
    self.assertEqual(self.load(f'{text}head.size = 3').build().extra, 3)
    self.assert_faults(
      f"{text}head.size = '3'",
      "head.size must be an integer. Received: head.size='3' at x.gin:14.",
    )

  def test_a_class_with_a_constructor_in_c(self):
    text = f'import collections\n{COMPLETE}'
    text += 'train.extra = @collections.OrderedDict()'
    self.assertEqual(self.load(text).build().extra, {})

  def test_unregistered_functions(self):
    text = f'import textwrap\n{COMPLETE}train.extra = @textwrap.shorten()\n'
    text += "textwrap.shorten.text = 'a  b'\ntextwrap.shorten.width = 9\n"
    self.assertEqual(self.load(text).build().extra, 'a b')
    self.assert_faults(
      f'{text}textwrap.shorten.size = 3',
      'Unknown parameter textwrap.shorten.size at x.gin:16. '
      'textwrap.shorten takes: text, width.',
    )
    self.assert_faults(
      f'{COMPLETE}train.extra = @shorten()',
      'Unknown component shorten at x.gin:12. '
      'No import in the configuration defines it.',
    )


class ScopeTest(config_case.ConfigCase):
  _SCOPED = (
    COMPLETE
    + """train.extra = @big/Network()
big/Network.width = 64
big/Network.inner = @Network()
train.network = @small/Network()
small/Network.width = 4
"""
  ).replace('train.network = @Network()\n', '')

  def test_a_scope_overrides_and_is_passed_on(self):
    # The inner network would contain itself.
    self.assert_faults(
      self._SCOPED,
      'Circular reference: big/Network.inner at x.gin:13 calls big/Network '
      'again.',
    )
    text = self._SCOPED.replace('= @Network()', '= @big/in/Network()')
    text += 'big/in/Network.inner = None\nbig/in/Network.padding = "valid"'
    train = self.load(text).build()
    self.assertEqual(
      train.extra,
      small_components.Network(
        (1, 2),
        64,
        'same',
        inner=small_components.Network((1, 2), 64, 'valid'),
      ),
    )
    self.assertEqual(train.network, small_components.Network((1, 2), 4, 'same'))

  def test_references_keep_their_scope_on_other_threads(self):
    text = COMPLETE.replace('= @Adam', '= @fast/Adam') + 'fast/Adam.beta = 0.5'
    optimizer = self.load(text).build().optimizer
    found = []
    thread = threading.Thread(
      target=lambda: found.append(optimizer(learning_rate=1.0).beta)
    )
    thread.start()
    thread.join()
    self.assertEqual(found, [0.5])

  def test_scoped_macros_differ_from_others(self):
    text = COMPLETE + 'a/RATE = 1\nRATE = 2\ntrain.count = %a/RATE\n'
    self.assert_faults(
      text, 'Macro RATE at x.gin:13 is not used. Did you mean a/RATE?'
    )
    text += 'train.options = {"a": %RATE}'
    self.assertEqual(self.load(text).build().count, 1)


class ReplayTest(config_case.ConfigCase):
  def test_text(self):
    text = f"""include 'y.gin'
train.names = ['{'a' * 40}', '{'b' * 40}']
LEARNING_RATE = 0.2
"""
    configuration = self.load({'x.gin': text, 'y.gin': COMPLETE})
    self.assertEqual(
      configuration.text(),
      f"""import tests.config.small_components

LEARNING_RATE = 0.2

# train
train.epochs = 3
train.optimizer = @{_LAB}.Adam
train.network = @{_LAB}.Network()
train.rate = %LEARNING_RATE
train.names = ['{'a' * 40}',
               '{'b' * 40}']

# {_LAB}.Adam
{_LAB}.Adam.beta = 0.9

# {_LAB}.Network
{_LAB}.Network.levels = (1, 2)
{_LAB}.Network.width = 8
{_LAB}.Network.padding = 'same'
""",
    )

  @parameterized.parameters(
    COMPLETE,
    COMPLETE + 'train.extra = @big/Network()\nbig/Network.width = 64',
    COMPLETE + 'train.extra = [@a/text(), %T]\na/text.value = "x"\nT = (1,)',
    COMPLETE.replace('= @Adam', '= @tests.config.small_components.Adam'),
    f'import json as j\n{COMPLETE}train.extra = @j.dumps()\nj.dumps.obj = 1',
  )
  def test_replay_repeats_text_and_objects(self, text):
    first = self.load(text)
    again = self.load(first.text())
    self.assertEqual(first.text(), again.text())
    built = [dict(vars(each.build())) for each in (first, again)]
    for values in built:
      values.pop('optimizer')  # A function, made anew.
    self.assertEqual(*built)

  def test_macros_can_be_overridden_on_replay(self):
    text = self.load(COMPLETE).text()
    self.assertEqual(self.load(text, ['LEARNING_RATE = 0.5']).build().rate, 0.5)


class ProvenanceTest(config_case.ConfigCase):
  _FILES = {
    'x.gin': f"{IMPORT}include 'y.gin'\nLEARNING_RATE = 0.2\ntrain.epochs = 5\n"
    "import base64 as b\ntrain.extra = @b.b32decode()\nb.b32decode.s = ''",
    'y.gin': COMPLETE,
  }

  def test_explained(self):
    flags = ['train.epochs = 30; Adam.beta = 0.5']
    explained = self.load(self._FILES, flags).explained()
    self.assertEqual(
      explained.split('\n\n')[0].split('\n'),
      [
        '# train',
        'train.epochs = 30              '
        '--gin_bindings[0], over x.gin:4 (5), over y.gin:4 (3)',
        'train.optimizer = @Adam        y.gin:5 < x.gin:2',
        'train.network = @Network()     y.gin:8 < x.gin:2',
        'train.rate = 0.2               '
        'x.gin:3 (LEARNING_RATE), over y.gin:3 (0.1), used at y.gin:7',
        'train.extra = @b.b32decode()   x.gin:6',
        '# absent: scale, names, count, flag, options, label, log_every, '
        'block, maker',
      ],
    )
    self.assertEqual(
      explained.split('\n\n')[1], '# Adam\nAdam.beta = 0.5   '
      '--gin_bindings[0], over y.gin:6 (0.9)',
    )  # fmt: skip
    self.assertEqual(
      explained.split('\n\n')[3].rstrip().split('\n'),
      [
        '# b.b32decode',
        "b.b32decode.s = ''             x.gin:7",
        'b.b32decode.casefold = False   default in code',
        '# absent: map01',
      ],
    )

  def test_json(self):
    records = json.loads(self.load(self._FILES).json())
    by_name = {(x['component'], x['parameter']): x for x in records}
    self.assertEqual(
      by_name['train', 'rate'],
      {
        'component': 'train',
        'parameter': 'rate',
        'numeric': True,
        'value': 0.2,
        'text': '0.2',
        'source': 'x.gin:3',
        'included_at': [],
        'macros': ['LEARNING_RATE'],
        'bound_at': 'y.gin:7',
        'over': [{'source': 'y.gin:3', 'text': '0.1'}],
      },
    )
    self.assertEqual(by_name['b.b32decode', 'casefold']['source'], 'default')
    self.assertEqual(by_name['train', 'network']['value'], '@Network()')

  def test_values_of_overridden_macros(self):
    files = {
      'x.gin': "include 'y.gin'\nSMALL = 4\ntrain.count = %SMALL\n"
      'train.names = [%NAME]\ntrain.label = %LOST',
      'y.gin': f"{COMPLETE}SMALL = 3\nNAME = 'a'",
    }
    flags = [
      "train.count = 5; train.names = ['b', %NAME]; train.label = 'c'",
      'Adam.beta = 0.5',
    ]
    explained = self.load(files, flags).explained()
    for line in (
      'train.count = 5              --gin_bindings[0], over x.gin:3 (4)',
      "train.names = ['b', 'a']     --gin_bindings[0], over x.gin:4 (['a'])",
      "train.label = 'c'            --gin_bindings[0], over x.gin:5 (%LOST)",
    ):
      self.assertIn(f'{line}\n', explained)

  def test_macro_flags_are_named(self):
    self.write('x.gin', COMPLETE)
    configuration = loading.load(
      ['x.gin'], [], 'train', macro_flags=[('--lr', 'LEARNING_RATE = 0.5')]
    )
    self.assertStartsWith(
      _lines(configuration.explained(), 'train.rate')[0],
      'train.rate = 0.5             --lr (LEARNING_RATE), over x.gin:3 (0.1), '
      'used at x.gin:7',
    )


if __name__ == '__main__':
  absltest.main()
