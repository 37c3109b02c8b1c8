"""Patterns choose the variables that are meant, or say that there are none."""

import keras
from absl.testing import absltest
from absl.testing import parameterized

from tinygin.config import errors
from tinygin.models import layers
from tinygin.models import parameters


def _network():
  inputs = keras.Input((4,), name='image')
  x = keras.layers.Dense(3, name='body_dense')(inputs)
  x = layers.BatchNormalization(0.9, 1e-3, name='body_norm')(x)
  body = keras.Model(inputs, x, name='body')
  x = body(inputs)
  x = keras.layers.Dense(2, name='head_dense')(x)
  return keras.Model(inputs, x, name='net')


def _trainable(model):
  return [each.path for each in model.trainable_variables]


class CheckTest(parameterized.TestCase):
  @parameterized.parameters(
    (['*'],),
    (['a/*', '?/kernel'],),
    ([],),
  )
  def test_patterns_that_match(self, patterns):
    parameters.check('train.head', patterns, ['a/kernel', 'a/bias'])

  @parameterized.parameters(
    ('head_dens/*', 'head_dense/kernel'),
    ('a/gama', 'a/gamma'),
    ('A/gamma', 'a/gamma'),
    ('a', 'a/gamma'),
  )
  def test_names_the_nearest_path(self, pattern, nearest):
    with self.assertRaises(errors.InputError) as caught:
      parameters.check(
        'train.head', ['*', pattern], ['a/gamma', 'head_dense/kernel']
      )
    self.assertEqual(
      str(caught.exception),
      'Each pattern of train.head must match the path of a variable. '
      f'Received: {pattern!r}, which matches none. The nearest path is '
      f'{nearest}.',
    )


class FreezeTest(absltest.TestCase):
  def test_trains_all(self):
    model = _network()
    before = _trainable(model)
    parameters.freeze(model, ['*'])
    self.assertEqual(_trainable(model), before)
    self.assertTrue(all(each.trainable for each in parameters.layers(model)))

  def test_freezes_the_layers_in_which_no_weight_is_trained(self):
    model = _network()
    parameters.freeze(model, ['head_*', '*dense/bias'])
    self.assertEqual(
      _trainable(model),
      ['body_dense/bias', 'head_dense/kernel', 'head_dense/bias'],
    )
    frozen = [
      each.name for each in parameters.layers(model) if not each.trainable
    ]
    self.assertEqual(frozen, ['body_norm'])

  def test_a_pattern_must_match_a_weight(self):
    model = _network()
    before = _trainable(model)
    # Moving statistics are no weights that could be trained.
    with self.assertRaisesRegex(errors.InputError, r"train\.trainable .*'\*me"):
      parameters.freeze(model, ['head_*', '*mean'])
    self.assertEqual(_trainable(model), before)


class GroupsTest(absltest.TestCase):
  def _groups(self, factors):
    groups = parameters.groups(_network().trainable_variables, factors)
    return [(each, [one.path for one in weights]) for each, weights in groups]

  def test_without_patterns(self):
    ((factors, paths),) = self._groups({})
    self.assertEqual(factors, {})
    self.assertLen(paths, 6)

  def test_the_first_pattern_decides(self):
    half, none = {'learning_rate_factor': 0.5}, {'weight_decay_factor': 0.0}
    self.assertEqual(
      self._groups({'head_*': half, '*/kernel': none}),
      [
        ({}, ['body_dense/bias', 'body_norm/gamma', 'body_norm/beta']),
        (half, ['head_dense/kernel', 'head_dense/bias']),
        (none, ['body_dense/kernel']),
      ],
    )
    self.assertLen(self._groups({'head_*': half, '*': none}), 2)

  def test_a_pattern_must_match_a_weight_that_is_left(self):
    for factors, nearest in (
      ({'haed_*': {}}, r' The nearest path is head_dense/bias\.'),
      (
        {'head_*': {}, 'head_*/kernel': {}},
        r' The nearest path is body_dense/',
      ),
      ({'*': {}, 'head_*': {}}, ''),
    ):
      with self.assertRaisesRegex(
        errors.InputError,
        rf'train\.parameter_groups .*which matches none\.{nearest}',
      ):
        self._groups(factors)


if __name__ == '__main__':
  absltest.main()
