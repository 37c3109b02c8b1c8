"""Changes the colors of a batch of images, each image by its own amount.

Images and results are float32 (batch, height, width, 3) in [0, 255], amounts
float32 (batch,). Brightness, contrast, saturation and sharpness are those of
Pillow's `ImageEnhance`: a factor of 1 changes nothing, 0 removes the property
and more than 1 increases it.
"""

import tensorflow as tf

# ITU-R BT.601.
_LUMINANCE = (0.299, 0.587, 0.114)


def brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Blends images with black."""
  return _clip(images * _each(factor))


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Blends each image with its mean luminance."""
  mean = tf.reduce_mean(_luminance(images), [1, 2, 3], keepdims=True)
  return _mix(mean, images, factor)


def saturation(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Blends images with their luminance."""
  return _mix(_luminance(images), images, factor)


def sharpness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Blends images with smoothed copies."""
  # Not a convolution: TensorFlow's fails if there are no images.
  padded = tf.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], 'SYMMETRIC')
  box = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
  box = box[:, :, :-2] + box[:, :, 1:-1] + box[:, :, 2:]
  # The kernel of Pillow's `ImageFilter.SMOOTH`: 5 at the center, 1 around it.
  return _mix((box + 4 * images) / 13, images, factor)


def posterize(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
  """Rounds values down to multiples of 2 ** bits; 0 bits change nothing."""
  step = _each(tf.round(2.0**bits))
  rounded = tf.floor(images / step) * step
  return tf.raw_ops.Select(condition=bits > 0, x=rounded, y=images)


def solarize(images: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
  """Inverts values of 256 · (1 - amount) and above."""
  inverted = tf.cast(images >= 256 * (1 - _each(amount)), tf.float32)
  return images + inverted * (255 - 2 * images)


def _mix(without: tf.Tensor, images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  # This form is exact for a factor of 1.
  return _clip(images + (1 - _each(factor)) * (without - images))


def _luminance(images: tf.Tensor) -> tf.Tensor:
  kernel = tf.reshape(tf.constant(_LUMINANCE), [1, 1, 3, 1])
  return tf.nn.conv2d(images, kernel, strides=1, padding='VALID')


def _each(amount: tf.Tensor) -> tf.Tensor:
  return amount[:, None, None, None]


def _clip(images: tf.Tensor) -> tf.Tensor:
  return tf.clip_by_value(images, 0.0, 255.0)
