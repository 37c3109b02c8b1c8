"""Predictions of a run's network, before and after export."""

import contextlib
import dataclasses
import datetime
import errno
import io
import json
import os
import pathlib
import shutil
from unittest import mock

import keras
import numpy as np
import onnx.reference
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from absl.testing import absltest
from absl.testing import flagsaver
from absl.testing import parameterized
from PIL import Image

from tests import bfloat16
from tinygin import predict
from tinygin.config import errors
from tinygin.config import loading
from tinygin.data import source
from tinygin.reporting import pictures
from tinygin.training import checkpoints
from tinygin.training import exporting
from tinygin.training import initialization
from tinygin.training import prediction
from tinygin.training import run_directory
from tinygin.training import trainer

_SMALL = """
LEVELS = (1,); WIDTH = 8; EPOCHS = 2; BATCH_SIZE = 16
synthetic.train_images = 20; synthetic.validation_images = 4
synthetic.greyscale = 0.3
"""


def setUpModule():
  global ROOT, RUN, RESULT, CLASSIFIER, EXPERIMENT, ENCODED
  ROOT = pathlib.Path(absltest.get_default_test_tmpdir()) / 'prediction'
  shutil.rmtree(ROOT, ignore_errors=True)
  # Paths that TensorFlow would take for patterns.
  RUN = ROOT / 'runs [v2]' / 'lr=[1,2] a\\b'
  bindings = [*_SMALL.splitlines(), f"dataset.data_dir = '{ROOT}/data'"]
  configuration = loading.load(['gin/quickstart.gin'], bindings, root='train')
  EXPERIMENT = configuration.build()
  start = datetime.datetime.now()
  with run_directory.locked(str(RUN), start) as directory:
    RESULT = trainer.train(
      EXPERIMENT,
      directory,
      may_build=True,
      describe=lambda step: run_directory.describe(
        directory, configuration, step, {}
      ),
    )
  CLASSIFIER = prediction.Classifier.restore(
    EXPERIMENT, RUN, 'latest', 'average'
  )
  ENCODED = [
    example['image']
    for example in tfds.builder_from_directory(EXPERIMENT.dataset.directory)
    .as_dataset('validation', decoders={'image': tfds.decode.SkipDecoding()})
    .as_numpy_iterator()
  ]


def _validation():
  split = source.read(EXPERIMENT.dataset.directory, 'validation', 4096)
  return split.images, split.labels.numpy()


def _save(name, image, **options):
  path = ROOT / 'images' / name
  path.parent.mkdir(exist_ok=True)
  image.save(path, **options)
  return str(path)


def _large():
  """Returns an image that is neither square nor of the run's size."""
  return Image.open(io.BytesIO(ENCODED[0])).convert('RGB').resize((200, 150))


class PredictTest(parameterized.TestCase):
  def _predict(self, *arguments, **flags):
    output = io.StringIO()
    flags = {'run_dir': str(RUN), 'checkpoint': 'latest', **flags}
    with flagsaver.flagsaver(**flags), contextlib.redirect_stdout(output):
      predict.main(['predict', *arguments])
    return output.getvalue()

  def _predicted(self, *arguments):
    return json.loads(self._predict(*arguments, format='json'))

  def test_every_validation_image_as_in_the_evaluation(self):
    folder = ROOT / 'validation'
    folder.mkdir()
    for number, content in enumerate(ENCODED):
      (folder / f'{number:03}.jpg').write_bytes(content)
    (folder / 'notes.txt').write_text('no image')
    images, labels = _validation()
    found = self._predicted(str(folder))
    self.assertLen(found, len(labels))
    expected = CLASSIFIER.probabilities(images).numpy()
    for each, row in zip(found, expected, strict=True):
      for ranked in each['predictions']:
        self.assertAlmostEqual(
          ranked['probability'], row[ranked['class_id']], delta=1e-6
        )
    right = [
      each['predictions'][0]['class_id'] == label
      for each, label in zip(found, labels, strict=True)
    ]
    self.assertAlmostEqual(np.mean(right), RESULT['validation']['top1'])

  @parameterized.parameters(
    ('RGB', 'a.png', {}),
    ('RGB', 'a.jpg', {'quality': 100, 'subsampling': 0}),
    ('CMYK', 'a.tiff', {}),
    ('RGBA', 'a.webp', {'lossless': True}),
    ('P', 'a.gif', {}),
    ('L', 'a.bmp', {}),
  )
  def test_kinds_of_images(self, mode, name, options):
    image = _large().convert(mode)
    path = _save(name, image, **options)
    same = _save('same.png', image.convert('RGB'))
    found, expected = self._predicted(path, same)
    self.assertEqual(found['image'], path)
    for one, two in zip(
      found['predictions'][:1], expected['predictions'][:1], strict=True
    ):
      self.assertEqual(one['name'], two['name'])
      self.assertAlmostEqual(one['probability'], two['probability'], delta=0.02)

  def test_an_image_is_set_upright(self):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = _large().transpose(Image.Transpose.ROTATE_90)
    found, expected = self._predicted(
      _save('turned.png', turned, exif=exif), _save('upright.png', _large())
    )
    self.assertEqual(found['predictions'], expected['predictions'])

  def test_text_and_sheet(self):
    path = _save('one.png', _large())
    sheet = ROOT / 'sheet.png'
    lines = self._predict(path, sheet=str(sheet)).splitlines()
    self.assertEqual(lines[0], path)
    self.assertLen(lines, 6)
    (found,) = self._predicted(path)
    first = found['predictions'][0]
    self.assertEqual(lines[1], f'  {first["probability"]:.4f} {first["name"]}')
    with Image.open(sheet) as picture:
      self.assertEqual(picture.format, 'PNG')

  def test_images_that_cannot_be_read_are_all_named(self):
    broken, cut = ROOT / 'broken.jpg', ROOT / 'cut.png'
    broken.write_bytes(b'broken!!')
    cut.write_bytes(ENCODED[0][:-900])
    with self.assertRaises(errors.InputError) as caught:
      self._predict(str(broken), _save('whole.png', _large()), str(cut))
    first, *others = str(caught.exception).split('\n')
    self.assertEqual(first, 'Cannot read 2 of 3 images:')
    self.assertEqual(
      others[0],
      f'  {broken}: not a BMP, GIF, JPEG, PNG, TIFF or WEBP file: it begins '
      "with b'broken!!'.",
    )
    self.assertStartsWith(others[1], f'  {cut}: it cannot be decoded: ')
    self.assertLen(others, 2)

  def test_images_of_a_folder_by_their_content(self):
    folder = self.create_tempdir()
    folder.create_file('notes.txt', 'no image')
    folder.mkdir('empty.jpg')
    for name in ('a', 'b.txt', 'c.jfif'):
      folder.create_file(name, ENCODED[0], mode='wb')
    names = [
      os.path.basename(each['image'])
      for each in self._predicted(folder.full_path)
    ]
    self.assertEqual(names, ['a', 'b.txt', 'c.jfif'])
    folder.create_file('d.JPG', 'no image')
    with self.assertRaisesRegex(errors.InputError, r'1 of 4 images:\n.*d\.JPG'):
      self._predict(folder.full_path)

  def test_sixteen_bits_a_channel(self):
    values = np.random.default_rng(0).integers(0, 1 << 16, (64, 64), np.uint16)
    found, expected = self._predicted(
      _save('sixteen.png', Image.fromarray(values)),
      _save('eight.png', Image.fromarray((values >> 8).astype(np.uint8))),
    )
    self.assertEqual(found['predictions'], expected['predictions'])

  def test_a_sheet_of_another_format(self):
    sheet = ROOT / 'sheet.jpg'
    self._predict(_save('one.png', _large()), sheet=str(sheet))
    with Image.open(sheet) as picture:
      self.assertEqual(picture.format, 'JPEG')

  def test_names_that_the_font_lacks(self):
    classes = RUN / 'classes.txt'
    names = classes.read_bytes()
    self.addCleanup(classes.write_bytes, names)
    classes.write_text('猫\n' * names.count(b'\n'), encoding='utf-8')
    with mock.patch.object(pictures, 'grid', wraps=pictures.grid) as grid:
      path = _save('犬.png', _large())
      lines = self._predict(path, sheet=str(ROOT / 's.png')).splitlines()
    self.assertEndsWith(lines[1], ' 猫')
    (caption,) = grid.call_args[0][1]
    first, *others = caption.splitlines()
    self.assertEqual(first, 'image 0')
    for line in others:
      self.assertRegex(line, r'^0\.\d\d class \d+$')

  def test_classes_that_do_not_fit_the_network(self):
    classes = RUN / 'classes.txt'
    names = classes.read_bytes()
    self.addCleanup(classes.write_bytes, names)
    classes.write_bytes(b'one\n')
    with self.assertRaisesRegex(errors.InputError, 'classes.txt names 1 class'):
      prediction.Classifier.restore(EXPERIMENT, RUN, 'latest', 'raw')

  def test_a_folder_without_images(self):
    folder = self.create_tempdir()
    folder.create_file('__MACOSX/a.jpg')
    folder.create_file('._a.jpg')
    folder = folder.full_path
    with self.assertRaises(errors.InputError) as caught:
      self._predict(folder)
    self.assertEqual(
      str(caught.exception), f'The folder {folder} holds no images.'
    )

  @parameterized.parameters('no/s.png', 's.xyz', 's')
  def test_a_sheet_that_cannot_be_written(self, name):
    with self.assertRaisesRegex(
      errors.InputError, f'^--sheet must be .* Received: --sheet=.*{name}'
    ):
      self._predict(_save('two.png', _large()), sheet=str(ROOT / name))
    self.assertFalse((ROOT / name).exists())


class ExportTest(parameterized.TestCase):
  def _export(self, name, experiment=None, weights='average'):
    path = os.path.join(self.create_tempdir().full_path, name)
    exporting.export(experiment or EXPERIMENT, RUN, 'latest', weights, path)
    return path

  def test_saved_model_equals_the_run_on_every_validation_image(self):
    loaded = tf.saved_model.load(self._export('classifier'))
    serve = loaded.signatures['serving_default']
    served = serve(images=tf.constant(ENCODED))
    images, labels = _validation()
    rows = np.arange(len(labels))[:, None]
    ids = served['class_ids'].numpy()
    np.testing.assert_allclose(
      served['probabilities'].numpy(),
      CLASSIFIER.probabilities(images).numpy()[rows, ids],
      rtol=1e-5,
    )
    self.assertEqual(np.mean(ids[:, 0] == labels), RESULT['validation']['top1'])
    names = np.array(CLASSIFIER.class_names)[ids]
    np.testing.assert_array_equal(
      served['class_names'].numpy().astype(str), names
    )

  def test_saved_model_resizes_as_the_data_set_does(self):
    loaded = tf.saved_model.load(self._export('classifier'))
    contents = []
    for image, kind in (
      (_large(), 'PNG'),
      (_large().convert('L'), 'BMP'),
      (_large().convert('P'), 'GIF'),
      (_large().convert('CMYK'), 'JPEG'),
      (_with_alpha(), 'PNG'),
    ):
      buffer = io.BytesIO()
      image.save(buffer, kind)
      contents.append(buffer.getvalue())
    served = loaded.signatures['serving_default'](images=tf.constant(contents))
    images = np.stack([EXPERIMENT.dataset.conform(each) for each in contents])
    expected = CLASSIFIER.probabilities(images).numpy()
    ids = served['class_ids'].numpy()
    np.testing.assert_allclose(
      served['probabilities'].numpy(),
      np.take_along_axis(expected, ids, 1),
      atol=5e-3,
    )

  def test_keras(self):
    loaded = keras.saving.load_model(self._export('network.keras'))
    images, _ = _validation()
    inputs = EXPERIMENT.preprocessing(tf.cast(images, tf.float32))
    np.testing.assert_array_equal(loaded(inputs), CLASSIFIER.model(inputs))

  def test_onnx(self):
    session = onnx.reference.ReferenceEvaluator(self._export('network.onnx'))
    images, _ = _validation()
    inputs = tf.cast(images[:8], tf.float32).numpy()
    (probabilities,) = session.run(['probabilities'], {'images': inputs})
    np.testing.assert_allclose(
      probabilities, CLASSIFIER.probabilities(inputs).numpy(), atol=1e-5
    )

  def test_onnx_of_a_bfloat16_run_computes_in_float32(self):
    mixed = dataclasses.replace(EXPERIMENT, precision='bfloat16')
    path = self._export('network.onnx', mixed)
    onnx.checker.check_model(path, full_check=True)
    session = onnx.reference.ReferenceEvaluator(path)
    images, _ = _validation()
    inputs = tf.cast(images[:8], tf.float32).numpy()
    (probabilities,) = session.run(['probabilities'], {'images': inputs})
    np.testing.assert_allclose(
      probabilities, CLASSIFIER.probabilities(inputs).numpy(), atol=1e-5
    )

  @parameterized.parameters('classifier', 'network.keras')
  @bfloat16.needed
  def test_exports_of_a_bfloat16_run(self, name):
    mixed = dataclasses.replace(EXPERIMENT, precision='bfloat16')
    self.assertTrue(os.path.exists(self._export(name, mixed)))

  @parameterized.parameters('classifier', 'network.keras', 'network.onnx')
  def test_an_export_that_computes_something_else(self, name):
    folder = pathlib.Path(self.create_tempdir().full_path)
    right, calls = prediction.Classifier.probabilities, []

    def probabilities(classifier, images):
      """Reverses the classes in the first of two calls."""
      calls.append(images)
      found = right(classifier, images)
      return found[:, ::-1] if len(calls) == 1 else found

    with (
      mock.patch.object(prediction.Classifier, 'probabilities', probabilities),
      self.assertRaisesRegex(
        errors.RunError, 'other probabilities than the run(.|\n)*Nothing was'
      ),
    ):
      exporting.export(EXPERIMENT, RUN, 'latest', 'average', str(folder / name))
    self.assertEqual(list(folder.iterdir()), [])

  @parameterized.parameters('x.keras', 'x.onnx', 'x')
  def test_any_folder(self, name):
    folder = pathlib.Path(self.create_tempdir().full_path, "a [b]\\c 'd")
    exporting.export(EXPERIMENT, RUN, 'latest', 'raw', str(folder / name))
    self.assertEqual([each.name for each in folder.iterdir()], [name])

  @parameterized.parameters(
    *('x.h5', 'x.tflite', 'x.pb', 'x.ONNX', 'x.keras.zip', 'x.'),
    *('.onnx', '.model'),
  )
  def test_other_formats_are_refused(self, name):
    with self.assertRaisesRegex(
      errors.InputError,
      rf'^An export must be FILE\.keras, .* SavedModel.*/{name}\.$',
    ):
      self._export(name)

  @parameterized.parameters(
    ('a [b]/model', True), ('a\\b', True), ('a [b].onnx', False), ('a', False)
  )
  def test_warns_of_paths_that_tensorflow_cannot_load(self, name, expected):
    with self.assertLogs(level='WARNING') as logged:
      logging.warning('Something else.')  # One line at least.
      path = self._export(name)
    found = [each for each in logged.output if 'TensorFlow cannot' in each]
    self.assertLen(found, int(expected))
    if expected:
      with self.assertRaises((OSError, tf.errors.OpError)):
        tf.saved_model.load(path)

  def test_a_place_that_cannot_be_written(self):
    file = self.create_tempfile().full_path
    for path in (f'{file}/x.keras', '/proc/x.onnx', '/proc/classifier'):
      with self.assertRaisesRegex(errors.InputError, f'^Cannot write {path}: '):
        exporting.export(EXPERIMENT, RUN, 'latest', 'average', path)

  def test_nothing_is_left_where_the_disk_fills_up(self):
    folder = pathlib.Path(self.create_tempdir().full_path)

    def save(model, path):
      pathlib.Path(path).write_bytes(b'half')
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = folder / 'network.keras'
    with (
      mock.patch.object(keras.Model, 'save', save),
      self.assertRaisesRegex(errors.InputError, ': No space left on device'),
    ):
      exporting.export(EXPERIMENT, RUN, 'latest', 'average', str(path))
    self.assertEqual(list(folder.iterdir()), [])


class InitializeTest(parameterized.TestCase):
  """A run can start from every form of saved weights."""

  @parameterized.parameters(
    (True, 'network.keras'), (False, 'network.keras'), (True, 'run'),
    (True, 'run/checkpoints/step-{best:08d}/arrays.safetensors'),
  )  # fmt: skip
  def test_source(self, include_head, source):
    directory = pathlib.Path(self.create_tempdir().full_path)
    (directory / 'run').symlink_to(RUN)
    exporting.export(
      EXPERIMENT, RUN, 'best', 'average', str(directory / 'network.keras')
    )
    other = dataclasses.replace(EXPERIMENT, seed=EXPERIMENT.seed + 1)
    model = other.build_model()
    drawn = {each.path: each.numpy() for each in model.variables}
    source = source.format(best=checkpoints.find(RUN / 'checkpoints', 'best'))
    initialization.initialize(
      model,
      str(directory / source),
      head=EXPERIMENT.head,
      include_head=include_head,
    )
    best = prediction.Classifier.restore(EXPERIMENT, RUN, 'best', 'average')
    for ours, theirs in zip(model.variables, best.model.variables, strict=True):
      keeps = ours.path.startswith('head') and not include_head
      np.testing.assert_array_equal(
        ours, drawn[ours.path] if keeps else theirs, ours.path
      )

  def test_a_network_that_is_not_that_of_the_run(self):
    def network():
      return keras.Sequential([keras.Input((8, 8, 3))], name='other')

    other = dataclasses.replace(EXPERIMENT, model=network)
    with self.assertRaisesRegex(
      errors.InputError,
      r'do not fit other:\n(.|\n)*is unknown\nUse the configuration and '
      r'code that the run was trained with\.$',
    ):
      prediction.Classifier.restore(other, RUN, 'best', 'average')

  @parameterized.parameters('x.keras', 'x.safetensors')
  def test_a_damaged_file(self, name):
    path = self.create_tempfile(name, 'damaged').full_path
    with self.assertRaisesRegex(
      errors.InputError, f'^train.init_from must .* {path} must be'
    ):
      initialization.initialize(
        CLASSIFIER.model, path, head=[], include_head=True
      )


def _with_alpha():
  image = _large()
  image.putalpha(Image.linear_gradient('L').resize(image.size))
  return image


if __name__ == '__main__':
  absltest.main()
