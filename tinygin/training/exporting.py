"""A trained network in formats that other programs read."""

import os
import tempfile

import tensorflow as tf

from tinygin.config import errors
from tinygin.training import prediction

_OPSET = 18
# How TensorFlow calls the filters of data sets.
_KERNELS = {
  'box': 'box',
  'catmull_rom': 'keyscubic',
  'lanczos': 'lanczos3',
  'mitchell': 'mitchellcubic',
}


def export(
  classifier: prediction.Classifier, filter_name: str, path: str
) -> None:
  """Writes a classifier in the format that the ending of the path names.

  - `.keras`: the network alone, from preprocessed images to logits. It needs
    `tinygin.models.layers`; the others need nothing of this project.
  - `.onnx`: from `images`, float32 (batch, height, width, 3) in [0, 255], to
    `probabilities`, float32 (batch, classes). ONNX cannot decode files.
  - a folder: a SavedModel with the signature of `ImageClassifier.serve`.

  Args:
    classifier: what is written.
    filter_name: what the data set resizes by.
    path: where nothing is yet, and nothing is left if writing fails, but the
      folders above it.

  Raises:
    InputError: the path cannot be written.
  """
  folder, name = os.path.split(path)
  try:
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
      whole = os.path.join(scratch, name)
      _write(classifier, filter_name, whole)
      os.rename(whole, path)
  except (OSError, tf.errors.OpError) as error:
    reason = getattr(error, 'strerror', None) or error
    raise errors.InputError(
      f'{path} must be a place that can be written. Received: {reason}.'
    ) from error


def _write(
  classifier: prediction.Classifier, filter_name: str, path: str
) -> None:
  if path.endswith('.keras'):
    classifier.model.save(path)
  elif path.endswith('.onnx'):
    _write_onnx(classifier, path)
  else:
    module = ImageClassifier(classifier, filter_name)
    tf.saved_model.save(module, path, signatures=module.serve)


class ImageClassifier(tf.Module):
  """What a SavedModel holds: from the bytes of images to names of classes."""

  def __init__(self, classifier: prediction.Classifier, filter_name: str):
    """Takes the network.

    Args:
      classifier: whose variables are saved with it.
      filter_name: the data set's, for images of another size.
    """
    super().__init__()
    self._classifier = classifier
    self._kernel = _KERNELS[filter_name]
    self._size = classifier.model.input_shape[1]
    self._names = tf.constant(classifier.class_names)
    self.variables_ = [each.value for each in classifier.model.variables]

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'images')])
  def serve(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
    """Classifies encoded images: BMP, GIF, JPEG or PNG.

    Args:
      images: string (batch,).

    Returns:
      `probabilities`, float32, `class_ids`, int32, and `class_names`, string,
      each (batch, classes), the most probable class first.
    """
    decoded = tf.map_fn(
      self._decode,
      images,
      fn_output_signature=tf.TensorSpec(
        (self._size, self._size, 3), tf.float32
      ),
    )
    probabilities, ids = tf.math.top_k(
      self._classifier.probabilities(decoded), len(self._names)
    )
    return {
      'probabilities': probabilities,
      'class_ids': ids,
      'class_names': tf.gather(self._names, ids),
    }

  def _decode(self, content: tf.Tensor) -> tf.Tensor:
    image = tf.case(
      [
        (
          tf.io.is_jpeg(content),
          # As the run's images are decoded.
          lambda: tf.io.decode_jpeg(
            content, channels=3, dct_method='INTEGER_ACCURATE'
          ),
        ),
        (
          tf.strings.substr(content, 0, 4) == b'\x89PNG',
          lambda: _on_white(tf.io.decode_png(content, channels=4)),
        ),
      ],
      lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    image = tf.ensure_shape(image, (None, None, 3))
    size = tf.constant((self._size, self._size))
    return tf.ensure_shape(
      tf.cond(
        tf.reduce_all(tf.shape(image)[:2] == size),
        lambda: tf.cast(image, tf.float32),
        lambda: self._resized(image, size),
      ),
      (self._size, self._size, 3),
    )

  def _resized(self, image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    resized = tf.raw_ops.ScaleAndTranslate(
      images=image[None],
      size=size,
      scale=tf.cast(size / tf.shape(image)[:2], tf.float32),
      translation=(0.0, 0.0),
      kernel_type=self._kernel,
    )
    return tf.clip_by_value(tf.round(resized[0]), 0.0, 255.0)


def _on_white(image: tf.Tensor) -> tf.Tensor:
  """Lays an RGBA image, uint8, on white."""
  colour = tf.cast(image[..., :3], tf.float32)
  opacity = tf.cast(image[..., 3:], tf.float32) / 255
  laid = colour * opacity + 255 * (1 - opacity)
  return tf.cast(tf.round(laid), tf.uint8)


def _write_onnx(classifier: prediction.Classifier, path: str) -> None:
  import tf2onnx  # Takes a second, and is needed only here.

  @tf.function
  def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
    return {'probabilities': classifier.probabilities(images)}

  shape = classifier.model.input_shape
  signature = [tf.TensorSpec(shape, tf.float32, 'images')]
  tf2onnx.convert.from_function(
    classify, signature, opset=_OPSET, output_path=path
  )
