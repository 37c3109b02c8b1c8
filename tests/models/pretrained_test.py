import csv
import io
import os
import pathlib
import zipfile

import h5py
import keras
import numpy as np
from absl.testing import absltest
from PIL import Image

from tests.models import building
from tinygin.config import errors
from tinygin.models import pretrained

_SHARED = pathlib.Path(os.environ.get('TINYGIN_SHARED_DATA', 'absent')).parent
_PUBLISHED = _SHARED / 'seed' / 'weights' / 'tin_067.hdf5'
_MINI = _SHARED / 'data' / 'tiny-imagenet-mini.zip'
_CLASSES = _SHARED / 'data' / 'tiny-imagenet-200-classes.tsv'

_HEAD = ['head_*']


def _network(*bindings):
  return building.build(
    'inception', 'IMAGE_SIZE = 8', 'LEVELS = (1,)', 'WIDTH = 8', *bindings
  )


def _weights(model):
  generator = np.random.default_rng(1)
  return {
    variable.path: generator.normal(size=variable.shape).astype(np.float32)
    for variable in model.variables
    if not variable.path.endswith('seed_generator_state')
  }


def _values(model):
  return {v.path: v.numpy() for v in model.variables}


class InitializeTest(absltest.TestCase):
  def test_assigns_every_weight(self):
    model = _network('DROPOUT = 0.5')
    weights = _weights(model)
    pretrained.initialize(model, weights, 'x')
    values = _values(model)
    for path, weight in weights.items():
      np.testing.assert_array_equal(values[path], weight)

  def test_without_head_fits_another_number_of_classes(self):
    weights = _weights(_network())
    model = _network('CLASSES = 7')
    before = _values(model)
    pretrained.initialize(model, weights, 'x', head=_HEAD, include_head=False)
    after = _values(model)
    for path in before:
      expected = before if path.startswith('head_') else weights
      np.testing.assert_array_equal(after[path], expected[path])

  def test_the_head_is_what_the_network_declares(self):
    def network(classes):
      inputs = keras.Input((3,))
      x = keras.layers.Dense(4, name='head_of_the_body')(inputs)
      return keras.Model(
        inputs, keras.layers.Dense(classes, name='predictions')(x)
      )

    weights, model = _weights(network(5)), network(2)
    before = _values(model)
    pretrained.initialize(
      model, weights, 'x', head=['predictions/*'], include_head=False
    )
    after = _values(model)
    for path in before:
      expected = before if path.startswith('predictions') else weights
      np.testing.assert_array_equal(after[path], expected[path])
    with self.assertRaisesRegex(
      errors.InputError, r"train\.head .*'heads/\*'.* nearest path is head"
    ):
      pretrained.initialize(
        model, weights, 'x', head=['heads/*'], include_head=False
      )

  def test_lists_all_that_does_not_fit_and_assigns_nothing(self):
    model = _network()
    before = _values(model)
    weights = _weights(model)
    del weights['bn/gamma']
    weights['head_dense/bias'] = np.zeros(7, np.float32)
    weights['other/kernel'] = np.zeros((2, 3), np.float32)
    with self.assertRaises(errors.InputError) as caught:
      pretrained.initialize(model, weights, 'a.h5', head=_HEAD)
    self.assertEqual(
      str(caught.exception),
      'The weights of a.h5 do not fit tiny_inception_net:\n'
      '  bn/gamma is missing\n'
      '  head_dense/bias is float32 (7,), expected float32 (200,)\n'
      '  other/kernel is unknown',
    )
    after = _values(model)
    for path in before:
      np.testing.assert_array_equal(after[path], before[path])

  def test_names_the_head_when_only_that_does_not_fit(self):
    weights = _weights(_network())
    with self.assertRaisesRegex(errors.InputError, 'All but the head fits'):
      pretrained.initialize(_network('CLASSES = 7'), weights, 'x', head=_HEAD)
    with self.assertRaisesRegex(errors.InputError, r'\)\nDo this\.$'):
      pretrained.initialize(
        _network('CLASSES = 7'), weights, 'x', head=_HEAD, advice='Do this.'
      )


class ReadHdf5Test(absltest.TestCase):
  def _write(self, layers):
    path = self.create_tempfile('weights.h5').full_path
    with h5py.File(path, 'w') as file:
      file.attrs['layer_names'] = [layer.encode() for layer in layers]
      for layer, weights in layers.items():
        group = file.create_group(layer)
        group.attrs['weight_names'] = [name.encode() for name in weights]
        for name, array in weights.items():
          group[name] = array
    return path

  def test_numbers_within_each_layer_whatever_the_order(self):
    prefix = 'net/block/block_path1'
    path = self._write(
      {
        'block': {
          f'{prefix}/batch_normalization_10/gamma:0': [10.0],
          f'{prefix}/batch_normalization_9/gamma:0': [9.0],
          'net/block/batch_normalization_11/gamma:0': [11.0],
          f'{prefix}/depthwise_conv2d/depthwise_kernel:0': [1.0],
          f'{prefix}/conv2d_3/kernel:0': [3.0],
          'net/block/block_conv1/depthwise_kernel:0': [4.0],
          'net/block/block_conv1/pointwise_kernel:0': [5.0],
        },
        'head': {'net/head/Head_dense/bias:0': [6.0]},
      }
    )
    self.assertEqual(
      {key: array.item() for key, array in pretrained.read_hdf5(path).items()},
      {
        'block_path1_norm1/gamma': 9,
        'block_path1_norm2/gamma': 10,
        'block_norm1/gamma': 11,
        'block_path1_depthwise1/kernel': 1,
        'block_path1_conv1/kernel': 3,
        'block_conv1/depthwise_kernel': 4,
        'block_conv1/pointwise_kernel': 5,
        'head_dense/bias': 6,
      },
    )

  def test_names_of_a_functional_network(self):
    path = self._write({'conv1': {'conv1/kernel:0': [1.0]}})
    self.assertEqual(list(pretrained.read_hdf5(path)), ['conv1/kernel'])

  def test_refuses_to_drop_one_of_two_weights(self):
    path = self._write(
      {'a': {'net/bn/gamma:0': [1.0]}, 'b': {'other/bn/gamma:0': [2.0]}}
    )
    with self.assertRaisesRegex(
      errors.InputError,
      f'{path} must hold one weight for each path. '
      'Several weights map to: bn/gamma.',
    ):
      pretrained.read_hdf5(path)

  def test_refuses_other_files(self):
    text = self.create_tempfile('a.txt', 'text').full_path
    empty = self.create_tempfile('b.h5').full_path
    h5py.File(empty, 'w').close()
    for path in text, empty, f'{text}.missing':
      with self.assertRaisesRegex(
        errors.InputError,
        f'{path} must be an HDF5 file of weights saved by Keras 2. Received: ',
      ):
        pretrained.read_hdf5(path)


class PublishedWeightsTest(absltest.TestCase):
  def test_classify_validation_images(self):
    for file in _PUBLISHED, _MINI, _CLASSES:
      if not file.exists():
        self.skipTest(f'{file} is not there.')
    model = building.build('inception')
    weights = pretrained.read_hdf5(str(_PUBLISHED))
    pretrained.initialize(model, weights, str(_PUBLISHED))
    images, labels = _validation_images()
    images -= images.mean((1, 2, 3), keepdims=True)
    images /= images.std((1, 2, 3), keepdims=True)
    logits = model.predict(images, batch_size=50, verbose=0)
    best = np.argsort(-logits)[:, :5] == labels[:, None]
    # Of all 1,000 images: 0.539 and 0.789.
    self.assertAlmostEqual(best[:, 0].mean(), 0.525, delta=0.011)
    self.assertAlmostEqual(best.any(1).mean(), 0.78, delta=0.011)


def _validation_images():
  """Returns every fifth image of the cut and its class among the 200."""
  with open(_CLASSES, newline='') as file:
    ids = [row[0] for row in csv.reader(file, delimiter='\t')]
  images, labels = [], []
  with zipfile.ZipFile(_MINI) as archive:
    root = pathlib.PurePosixPath('tiny-imagenet-200/val')
    lines = archive.read(str(root / 'val_annotations.txt')).decode()
    rows = [line.split('\t') for line in lines.splitlines()]
    for name, wnid, *_ in rows[::5]:
      data = io.BytesIO(archive.read(str(root / 'images' / name)))
      images.append(np.asarray(Image.open(data).convert('RGB'), np.float32))
      labels.append(ids.index(wnid))
  return np.stack(images), np.array(labels)


if __name__ == '__main__':
  absltest.main()
