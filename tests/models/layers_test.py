import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from tests import bfloat16
from tinygin.models import layers

_SIZES = st.integers(1, 5)
_CHANNELS = st.sampled_from([1, 3, 8, 16, 24])
_DTYPES = st.sampled_from(
  ['float32'] if bfloat16.IS_MISSING else ['float32', 'mixed_bfloat16']
)
_TOLERANCE = {'float32': 1e-4, 'mixed_bfloat16': 4e-2}
_examples = settings(max_examples=25, deadline=None, derandomize=True)


def setUpModule():
  cpus = tf.config.list_physical_devices('CPU')
  tf.config.set_logical_device_configuration(
    cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2
  )


class SameAsKerasTest(absltest.TestCase):
  """Fast and stock layers agree: variables, results, gradients, statistics."""

  @_examples
  @given(_SIZES, _SIZES, _SIZES, _CHANNELS, _DTYPES, st.integers(0, 99))
  def test_batch_normalization(self, batch, height, width, channels, dtype, s):
    arguments = {'momentum': 0.7, 'epsilon': 2e-3, 'dtype': dtype}
    if dtype == 'mixed_bfloat16' and batch * height * width < 8:
      batch = 8  # With fewer values, the statistics amplify rounding.
    self._compare(
      'BatchNormalization', arguments, (batch, height, width, channels), s
    )

  @_examples
  @given(
    _SIZES,
    _CHANNELS,
    st.integers(1, 9),
    st.sampled_from([1, 2, 3, (1, 3)]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(['same', 'valid']),
    st.booleans(),
    _DTYPES,
    st.integers(0, 99),
  )
  def test_separable_convolution(
    self,
    batch,
    channels,
    filters,
    size,
    strides,
    multiplier,
    pad,
    bias,
    dtype,
    s,
  ):
    arguments = {
      'filters': filters,
      'kernel_size': size,
      'strides': strides,
      'depth_multiplier': multiplier,
      'padding': pad,
      'use_bias': bias,
      'activation': 'relu' if bias else None,
      'bias_initializer': 'random_normal',
      'dtype': dtype,
    }
    self._compare('SeparableConv2D', arguments, (batch, 5, 6, channels), s)

  @_examples
  @given(
    _SIZES,
    _CHANNELS,
    st.integers(1, 9),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 2]),
    st.booleans(),
    _DTYPES,
    st.integers(0, 99),
  )
  def test_convolution(
    self, batch, channels, filters, size, strides, bias, dtype, seed
  ):
    arguments = {
      'filters': filters,
      'kernel_size': size,
      'strides': strides,
      'use_bias': bias,
      'activation': 'relu' if bias else None,
      'bias_initializer': 'random_normal',
      'dtype': dtype,
    }
    self._compare('Conv2D', arguments, (batch, 5, 6, channels), seed)

  def _compare(self, name, arguments, shape, seed):
    generator = np.random.default_rng(seed)
    inputs = generator.normal(1, 2, shape).astype(np.float32)
    stock = getattr(keras.layers, name)(**arguments, name='layer')
    fast = getattr(layers, name)(**arguments, name='layer')
    stock.build(shape)
    fast.build(shape)
    self.assertEqual(
      [variable.path for variable in fast.variables],
      [variable.path for variable in stock.variables],
    )
    for variable in stock.trainable_variables:
      noise = generator.normal(size=variable.shape) / 2
      variable.assign(variable + noise)
    fast.set_weights(stock.get_weights())
    tolerance = _TOLERANCE[arguments['dtype']]
    upstream = generator.normal(size=stock.compute_output_shape(shape))
    if arguments.get('activation'):
      upstream *= _far_from_zero(stock, inputs, tolerance)
    for expected, received in zip(
      _step(stock, inputs, upstream), _step(fast, inputs, upstream), strict=True
    ):
      scale = np.abs(expected).max(initial=1)
      np.testing.assert_allclose(
        received / scale, expected / scale, atol=tolerance
      )


def _far_from_zero(layer, inputs, tolerance):
  """Returns where the input of the layer's ReLU is not close to zero.

  Elsewhere rounding decides whether ReLU has a gradient.
  """
  activation, layer.activation = layer.activation, keras.activations.linear
  outputs = np.abs(tf.cast(layer(inputs), tf.float32))
  layer.activation = activation
  return outputs > tolerance * outputs.max(initial=1)


def _step(layer, inputs, upstream):
  """Returns outputs, gradients and variables after a step of training."""
  inputs = tf.cast(inputs, layer.compute_dtype)

  @tf.function
  def step():
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      arguments = {'training': True} if 'Norm' in type(layer).__name__ else {}
      outputs = layer(inputs, **arguments)
      loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
    sources = [inputs, *(v.value for v in layer.trainable_variables)]
    return [outputs, *tape.gradient(loss, sources)]

  results = [tf.cast(each, tf.float32).numpy() for each in step()]
  return results + [variable.numpy() for variable in layer.variables]


class BatchNormalizationTest(absltest.TestCase):
  def test_fused_in_training_only(self):
    layer = layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    layer.build((None, 4, 4, 3))
    self.assertIn('FusedBatchNormV3', _operations(layer, training=True))
    self.assertNotIn('FusedBatchNormV3', _operations(layer, training=False))
    layer.trainable = False
    self.assertNotIn('FusedBatchNormV3', _operations(layer, training=True))

  def test_synchronised_under_a_strategy_of_several_replicas(self):
    arguments = {'momentum': 0.9, 'epsilon': 1e-3}
    self.assertFalse(layers.BatchNormalization(**arguments).synchronized)
    strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
    with strategy.scope():
      self.assertTrue(layers.BatchNormalization(**arguments).synchronized)
      fixed = layers.BatchNormalization(synchronized=False, **arguments)
      self.assertFalse(fixed.synchronized)


class SynchronizedTest(parameterized.TestCase):
  """Two replicas normalize their parts as one normalizes the whole batch."""

  def _results(self, replicas, inputs, upstream, dtype):
    """Returns outputs, gradients and moving statistics, in float64."""
    strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'][:replicas])
    with strategy.scope():
      layer = layers.BatchNormalization(
        momentum=0.0, epsilon=1e-3, dtype=dtype, name='norm'
      )
      layer.build(inputs.shape)
      layer.gamma.assign(np.linspace(0.5, 2, inputs.shape[-1]))
    parts = [
      strategy.experimental_distribute_values_from_function(
        lambda context, each=each: tf.constant(
          np.split(each, replicas)[context.replica_id_in_sync_group],
          layer.compute_dtype,
        )
      )
      for each in (inputs, upstream)
    ]

    def step(x, upstream):
      with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(tf.cast(outputs * upstream, tf.float32))
      sources = [x, layer.gamma.value, layer.beta.value]
      return outputs, *tape.gradient(loss, sources)

    each = tf.function(lambda: strategy.run(step, parts))()
    outputs, *gradients = map(strategy.experimental_local_results, each)
    found = [tf.concat(outputs, 0), tf.concat(gradients[0], 0)]
    found += [tf.add_n(each) for each in gradients[1:]]
    found += [layer.moving_mean, layer.moving_variance]
    return [tf.cast(each, tf.float64).numpy() for each in found]

  @parameterized.parameters('float32', 'mixed_bfloat16')
  def test_same_as_one_replica(self, dtype):
    generator = np.random.default_rng(2)
    inputs = generator.normal(1, 2, (6, 5, 4, 16))
    upstream = generator.normal(size=inputs.shape)
    for expected, received in zip(
      self._results(1, inputs, upstream, dtype),
      self._results(2, inputs, upstream, dtype),
      strict=True,
    ):
      scale = np.abs(expected).max()
      np.testing.assert_allclose(
        received / scale, expected / scale, atol=_TOLERANCE[dtype]
      )

  @parameterized.parameters('float32', 'mixed_bfloat16')
  def test_variance_of_inputs_far_from_zero(self, dtype):
    generator = np.random.default_rng(2)
    deviation = 1 if dtype == 'float32' else 100  # As bfloat16 rounds to 64.
    inputs = generator.normal(1e4, deviation, (6, 5, 4, 16))
    rounded = tf.cast(tf.cast(inputs, dtype.removeprefix('mixed_')), tf.float64)
    *_, mean, variance = self._results(2, inputs, np.ones_like(inputs), dtype)
    axes = (0, 1, 2)
    np.testing.assert_allclose(mean, np.mean(rounded, axes), rtol=1e-6)
    np.testing.assert_allclose(variance, np.var(rounded, axes), rtol=1e-3)


def _operations(layer, training):
  @tf.function
  def call(inputs):
    return layer(inputs, training=training)

  graph = call.get_concrete_function(tf.TensorSpec((None, 4, 4, 3))).graph
  return {operation.type for operation in graph.get_operations()}


class CastsTest(parameterized.TestCase):
  """Kernels that are slow on CPUs in bfloat16 run in float32 there only."""

  @parameterized.parameters(
    (
      'BatchNormalization',
      {'momentum': 0.9, 'epsilon': 1e-3},
      'FusedBatchNorm',
    ),
    (
      'SeparableConv2D',
      {'filters': 4, 'kernel_size': 3, 'strides': 2},
      'DepthwiseConv2d',
    ),
  )
  def test_only_without_a_gpu(self, name, arguments, kernel):
    gpu = tf.config.PhysicalDevice('/physical_device:GPU:0', 'GPU')
    for gpus, dtype in (([], tf.float32), ([gpu], tf.bfloat16)):
      layer = getattr(layers, name)(**arguments, dtype='mixed_bfloat16')
      layer.build((None, 4, 4, 8))
      keywords = {'training': True} if 'Norm' in name else {}

      @tf.function
      def call(inputs, layer=layer, keywords=keywords):
        return layer(inputs, **keywords)

      with absltest.mock.patch.object(
        tf.config, 'list_physical_devices', lambda kind, gpus=gpus: gpus
      ):
        graph = call.get_concrete_function(
          tf.TensorSpec((2, 4, 4, 8), tf.bfloat16)
        ).graph
      types = {
        each.get_attr('T')
        for each in graph.get_operations()
        if each.type.startswith(kernel)
      }
      self.assertEqual(types, {dtype})


class DropoutTest(absltest.TestCase):
  def test_drops_in_training_only_and_restores_its_state(self):
    layer = layers.Dropout(0.5, seed=1, name='drop')
    ones = np.ones((4, 1000), np.float32)
    first = layer(ones, training=True).numpy()
    self.assertCountEqual(np.unique(first), [0, 2])
    self.assertBetween(first.mean(), 0.9, 1.1)
    np.testing.assert_array_equal(layer(ones), ones)
    [state] = layer.variables
    self.assertEqual(state.path, 'drop_seed/seed_generator_state')
    saved = state.numpy()
    second = layer(ones, training=True).numpy()
    self.assertFalse(np.array_equal(first, second))
    state.assign(saved)
    np.testing.assert_array_equal(layer(ones, training=True), second)


if __name__ == '__main__':
  absltest.main()
