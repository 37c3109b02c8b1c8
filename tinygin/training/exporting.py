"""Exports a trained network to formats that other programs read."""

import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tinygin.config import errors
from tinygin.training import checkpoints
from tinygin.training import experiment as experiments
from tinygin.training import prediction

_OPSET = 18
_CHECKED_IMAGES = 2
# TensorFlow mistakes a path with one of them for a pattern.
_PATTERN = frozenset('*?[]\\')
# The data set's resizing filters by TensorFlow's names.
_KERNELS = {
  'box': 'box',
  'catmull_rom': 'keyscubic',
  'lanczos': 'lanczos3',
  'mitchell': 'mitchellcubic',
}


def export(
  experiment: experiments.Experiment,
  directory: pathlib.Path,
  checkpoint: str,
  weights: checkpoints.Weights,
  path: str,
) -> prediction.Classifier:
  """Exports a run's network in the format of the path's extension.

  - `.keras`: the network alone, from preprocessed images to logits. Loading it
    needs `tinygin.models.layers`; the other formats need nothing of tinygin.
  - `.onnx`: from `images`, float32 (batch, height, width, 3) in [0, 255], to
    `probabilities`, float32 (batch, classes). Computes in float32 whatever the
    precision of the run.
  - no extension: a SavedModel with the signature of `ImageClassifier.serve`.

  The export is loaded back and compared with the run before it appears at the
  path.

  Args:
    experiment: the configuration of the run.
    directory: the directory of the run.
    checkpoint: as for `Classifier.restore`.
    weights: as for `Classifier.restore`.
    path: does not exist yet. Missing folders above it are created.

  Returns:
    The network that was exported.

  Raises:
    InputError: the path has another extension, no name, or cannot be written;
      or the checkpoint cannot be restored.
    RunError: the export computes other probabilities than the run.
  """
  folder, name = os.path.split(path)
  extension = os.path.splitext(name)[1]
  if name.startswith('.') or extension not in ('', '.keras', '.onnx'):
    raise errors.InputError(
      'An export must be FILE.keras, FILE.onnx or, for a SavedModel, a folder '
      f'without an extension. Received: {path}.'
    )
  if extension == '.onnx':
    # ONNX runtimes lack bfloat16 operations. The weights are float32 anyway.
    experiment = dataclasses.replace(experiment, precision='float32')
  classifier = prediction.Classifier.restore(
    experiment, directory, checkpoint, weights
  )
  try:
    os.makedirs(folder, exist_ok=True)
    with (
      # Not in `folder`: TensorFlow mistakes `[…]` in its path for a pattern.
      tempfile.TemporaryDirectory() as scratch,
      tempfile.TemporaryDirectory(dir=folder) as beside,
    ):
      written = os.path.join(scratch, f'export{extension}')
      if extension == '.keras':
        classifier.model.save(written)
      elif extension == '.onnx':
        _write_onnx(classifier, written)
      else:
        module = ImageClassifier(classifier, experiment.dataset.filter)
        tf.saved_model.save(module, written, signatures=module.serve)
      _check(written, classifier)
      os.rename(shutil.move(written, beside), path)
  except (OSError, tf.errors.OpError) as error:
    raise errors.InputError(
      f'Cannot write {path}: {errors.reason(error)}.'
    ) from error
  if not extension and _PATTERN & set(path):
    logging.warning(
      'TensorFlow cannot load a SavedModel from this path. Move the folder to '
      'a path without any of %s.',
      ' '.join(sorted(_PATTERN)),
    )
  return classifier


class ImageClassifier(tf.Module):
  """The module of a SavedModel: from encoded images to ranked classes."""

  def __init__(self, classifier: prediction.Classifier, filter_name: str):
    """Prepares the computation.

    Args:
      classifier: the network; its variables are saved too.
      filter_name: the data set's filter, which resizes images of other sizes.
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
          # The run's own images are decoded the same way.
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
  """Blends an RGBA image, uint8, with a white background."""
  color = tf.cast(image[..., :3], tf.float32)
  opacity = tf.cast(image[..., 3:], tf.float32) / 255
  blended = color * opacity + 255 * (1 - opacity)
  return tf.cast(tf.round(blended), tf.uint8)


def _write_onnx(classifier: prediction.Classifier, path: str) -> None:
  import tf2onnx  # Importing it takes a second.

  @tf.function
  def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
    return {'probabilities': classifier.probabilities(images)}

  shape = classifier.model.input_shape
  signature = [tf.TensorSpec(shape, tf.float32, 'images')]
  tf2onnx.convert.from_function(
    classify, signature, opset=_OPSET, output_path=path
  )


def _check(path: str, classifier: prediction.Classifier) -> None:
  """Compares an export with the run on random images."""
  shape = (_CHECKED_IMAGES, *classifier.model.input_shape[1:])
  images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  expected = classifier.probabilities(images).numpy()
  found = _load(path, classifier)(images)
  if not np.allclose(found, expected, rtol=0.05, atol=1e-3):
    raise errors.RunError(
      'The export computes other probabilities than the run: they differ by up '
      f'to {np.max(np.abs(found - expected)):.3g}. Nothing was written.'
    )


def _load(
  path: str, classifier: prediction.Classifier
) -> Callable[[np.ndarray], np.ndarray]:
  """Loads an export; returns a function from uint8 images to probabilities."""
  if path.endswith('.keras'):
    model = keras.saving.load_model(path)
    return dataclasses.replace(classifier, model=model).probabilities
  if path.endswith('.onnx'):
    import onnx.reference

    onnx.checker.check_model(path, full_check=True)
    session = onnx.reference.ReferenceEvaluator(path)
    return lambda images: session.run(
      ['probabilities'], {'images': images.astype(np.float32)}
    )[0]
  serve = tf.saved_model.load(path).signatures['serving_default']

  def classify(images: np.ndarray) -> np.ndarray:
    encoded = [tf.io.encode_png(image) for image in images]
    served = serve(images=tf.stack(encoded))
    probabilities = np.empty(served['probabilities'].shape, np.float32)
    np.put_along_axis(
      probabilities,
      served['class_ids'].numpy(),
      served['probabilities'].numpy(),
      axis=1,
    )
    return probabilities

  return classify
