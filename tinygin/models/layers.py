"""Layers that gin files can bind.

BatchNormalization, Conv2D and SeparableConv2D are faster than the Keras layers
that they extend, with the same variables, names and results. A checkpoint of
one can be restored to the other.
"""

import gin
import keras
from keras import ops

for _layer in (keras.layers.DepthwiseConv2D, keras.layers.ReLU):
  gin.external_configurable(_layer, module='keras.layers')


@gin.register
@keras.saving.register_keras_serializable('tinygin')
class BatchNormalization(keras.layers.BatchNormalization):
  """Batch normalization by TensorFlow's fused kernel, where possible.

  Keras composes batch normalization from a dozen operations, each of which
  reads or writes the whole tensor. On the TensorFlow backend, training on
  (batch, height, width, channels) runs as one kernel instead. All other cases
  (other backends and ranks, masks, renormalization, inference) use Keras'
  implementation.

  Replicas share their statistics by one all-reduce forward and one backward.
  The variance is accurate however large the mean is: each replica computes its
  own, in float32, and the deviations of the replicas' means are added (Chan et
  al., 1983, https://doi.org/10.1080/00031305.1983.10483115).

  Args:
    momentum: momentum of the moving statistics.
    epsilon: added to the variance before taking the square root.
    synchronized: whether replicas share batch statistics. None means yes if
      the layer is created under a strategy with several replicas.
    **kwargs: further arguments of keras.layers.BatchNormalization.

  Source: Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167.
  """

  def __init__(self, momentum, epsilon, synchronized=None, **kwargs):
    if synchronized is None:
      synchronized = _replicas() > 1
    super().__init__(
      momentum=momentum, epsilon=epsilon, synchronized=synchronized, **kwargs
    )

  def call(self, inputs, training=None, mask=None):
    """Normalizes `inputs`; in training, updates the moving statistics."""
    if not (training and self.trainable and self._fusible(inputs, mask)):
      return super().call(inputs, training=training, mask=mask)
    import tensorflow as tf

    dtype = inputs.dtype
    if inputs.shape[-1] % 16 and _on_cpu():
      # oneDNN has no fast bfloat16 kernel for such widths: 8 channels take
      # 15 ms instead of 1 ms.
      inputs = tf.cast(inputs, tf.float32)
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
      x=inputs,
      scale=tf.convert_to_tensor(self.gamma),
      offset=tf.convert_to_tensor(self.beta),
      mean=tf.zeros([0]),
      variance=tf.zeros([0]),
      epsilon=self.epsilon,
      is_training=True,
    )
    # The kernel returns the unbiased variance; Keras averages the biased one.
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
    variance *= (count - 1) / count
    for moving, batch in (
      (self.moving_mean, mean),
      (self.moving_variance, variance),
    ):
      moving.assign(moving * self.momentum + batch * (1 - self.momentum))
    return tf.cast(outputs, dtype)

  def _moments(self, inputs, mask):
    """Returns mean and variance, of all replicas' inputs if synchronized."""
    if not self.synchronized or mask is not None:
      return super()._moments(inputs, mask)
    import tensorflow as tf

    moments = tf.stack(tf.nn.moments(inputs, self._reduction_axes))
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
      return tf.unstack(moments)
    # Each replica fills its own row, so the sum gathers the rows. TensorFlow's
    # all-gather would exchange the shapes too.
    row = tf.one_hot(
      replica.replica_id_in_sync_group, replica.num_replicas_in_sync
    )
    rows = replica.all_reduce('SUM', row[:, None, None] * moments)
    means, variances = tf.unstack(rows, axis=1)
    # Every replica has the same number of inputs.
    mean = tf.reduce_mean(means, axis=0)
    between = tf.reduce_mean(tf.math.squared_difference(means, mean), axis=0)
    return mean, tf.reduce_mean(variances, axis=0) + between

  def _fusible(self, inputs, mask) -> bool:
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    return (
      keras.backend.backend() == 'tensorflow'
      and mask is None
      and not self.synchronized
      and not self.renorm
      and self.scale
      and self.center
      and len(inputs.shape) == 4
      and self.axis in (-1, 3)
      and self.epsilon > 1e-5  # The GPU kernel requires it.
      and dtype in ('float32', 'bfloat16')
      and dtype == self.compute_dtype
    )


def _replicas() -> int:
  if keras.backend.backend() != 'tensorflow':
    return 1
  import tensorflow as tf

  return tf.distribute.get_strategy().num_replicas_in_sync


def _on_cpu() -> bool:
  """Whether TensorFlow computes without a GPU."""
  if keras.backend.backend() != 'tensorflow':
    return False
  import tensorflow as tf

  return not tf.config.list_physical_devices('GPU')


@gin.register
@keras.saving.register_keras_serializable('tinygin')
class Conv2D(keras.layers.Conv2D):
  """Convolution that computes 1×1 kernels as a matrix product."""

  def call(self, inputs):
    """Convolves `inputs`."""
    if (
      self.kernel_size != (1, 1)
      or self.strides != (1, 1)
      or self.groups > 1
      or self.data_format != 'channels_last'
    ):
      return super().call(inputs)
    return _finish(self, _convolve_1x1(inputs, self.kernel[0, 0]))


@gin.register
@keras.saving.register_keras_serializable('tinygin')
class SeparableConv2D(keras.layers.SeparableConv2D):
  """Separable convolution that computes 1×1 factors as one matrix product.

  A 1×1 depthwise convolution only scales channels. Scaling the rows of the
  pointwise kernel instead gives the same result and saves one pass over the
  activations forward and two backward. Larger depthwise kernels are not
  merged, because that costs more than it saves.
  """

  def call(self, inputs):
    """Convolves `inputs`."""
    if self.data_format != 'channels_last':
      return super().call(inputs)
    kernel = self.pointwise_kernel[0, 0]
    if self.kernel_size == (1, 1) and self.strides == (1, 1):
      kernel = ops.reshape(self.depthwise_kernel, (-1, 1)) * kernel
      kernel = ops.reshape(kernel, (inputs.shape[-1], -1, self.filters))
      kernel = ops.sum(kernel, axis=1)
    else:
      inputs = self._convolve_depthwise(inputs)
    return _finish(self, _convolve_1x1(inputs, kernel))

  def _convolve_depthwise(self, inputs):
    dtype, kernel = inputs.dtype, self.depthwise_kernel
    if max(self.strides) > 1 and self.compute_dtype == 'bfloat16' and _on_cpu():
      # oneDNN has no fast bfloat16 kernel for the gradient of the input: 6 ms
      # instead of 0.4 ms.
      inputs, kernel = (ops.cast(each, 'float32') for each in (inputs, kernel))
    outputs = ops.depthwise_conv(
      inputs,
      kernel,
      self.strides,
      self.padding,
      self.data_format,
      self.dilation_rate,
    )
    return ops.cast(outputs, dtype)


def _convolve_1x1(inputs, kernel):
  """Multiplies (..., channels) by (channels, filters).

  This equals a 1×1 convolution, but oneDNN computes its gradient faster.
  """
  rows = ops.reshape(inputs, (-1, inputs.shape[-1]))
  shape = (-1, *inputs.shape[1:-1], kernel.shape[-1])
  return ops.reshape(ops.matmul(rows, kernel), shape)


def _finish(layer, outputs):
  """Adds the bias of a convolution and applies the activation."""
  if layer.use_bias:
    outputs = outputs + layer.bias
  return outputs if layer.activation is None else layer.activation(outputs)


@gin.register
@keras.saving.register_keras_serializable('tinygin')
class Dropout(keras.layers.Layer):
  """Dropout with a stable name for its random state, as checkpoints need.

  Args:
    rate: fraction of the inputs set to zero in training.
    seed: seed of the random state; None draws one from Keras' global seed.
    **kwargs: further arguments of keras.layers.Layer.
  """

  def __init__(self, rate, seed=None, **kwargs):
    super().__init__(**kwargs)
    self.rate = rate
    self.seed = seed
    self.seed_generator = keras.random.SeedGenerator(
      seed, name=f'{self.name}_seed'
    )

  def call(self, inputs, training=False):
    """In training, drops `rate` of the inputs and scales up the rest."""
    if not training:
      return inputs
    return keras.random.dropout(inputs, self.rate, seed=self.seed_generator)

  def get_config(self):
    """Returns the constructor's arguments."""
    return {**super().get_config(), 'rate': self.rate, 'seed': self.seed}
