"""Initialises a network from weights that were trained before."""

import re
from collections.abc import Mapping

import h5py
import keras
import numpy as np

from tinygin.config import errors

HEAD = 'head'

# How Keras 2 numbered layers without a name, and how ours are called.
_KINDS = {
  'batch_normalization': 'norm',
  'conv2d': 'conv',
  'depthwise_conv2d': 'depthwise',
}
_NUMBERED = re.compile(rf'({"|".join(_KINDS)})(?:_(\d+))?')


def initialize(
  model: keras.Model,
  weights: Mapping[str, np.ndarray],
  include_head: bool,
  source: str,
) -> None:
  """Assigns `weights` to the variables of `model` that have their paths.

  Nothing is assigned unless every array fits a variable and every variable
  has an array. Random states are left as they are.

  Args:
    model: what `TinyImageNet` and its like have built.
    weights: arrays by the path of their variable.
    include_head: whether the head's weights are assigned too; if not, the head
      keeps its own, and may have another number of classes.
    source: where the weights come from, for the message.

  Raises:
    InputError: a weight is missing, is one too many or has another shape.
  """
  variables = {
    variable.path: variable
    for variable in model.variables
    if include_head or not _in_head(variable.path)
    if not variable.path.endswith('/seed_generator_state')
  }
  weights = {
    path: weight
    for path, weight in weights.items()
    if include_head or not _in_head(path)
    if not path.endswith('/seed_generator_state')
  }
  faults = [f'{path} is missing' for path in variables if path not in weights]
  for path, weight in weights.items():
    if path not in variables:
      faults.append(f'{path} {weight.shape} is not in the network')
    elif tuple(variables[path].shape) != weight.shape:
      shape = tuple(variables[path].shape)
      faults.append(f'{path} must be {shape}. Received: {weight.shape}')
  if faults:
    hint = ''
    if include_head and all(_in_head(fault.split()[0]) for fault in faults):
      hint = '\nWithout the head, they fit.'
    raise errors.InputError(
      f'The weights of {source} do not fit {model.name}:\n  '
      + '\n  '.join(faults)
      + hint
    )
  for path, variable in variables.items():
    variable.assign(weights[path])


def read_hdf5(path: str) -> dict[str, np.ndarray]:
  """Reads the weights of a network that Keras 2 has saved.

  Keras 2 numbered the layers that had no name through the whole network:
  `incept_A_2/incept_A_2_path1/batch_normalization_7/gamma:0`. Here they are
  numbered from 1 within the layer that holds them, in the order in which they
  were made: `incept_A_2_path1_norm1/gamma`, as the networks of this package
  name them.

  Args:
    path: an HDF5 file, of weights alone or of a whole model.

  Returns:
    Arrays by the path of their variable.

  Raises:
    InputError: the file is damaged, is no such file, or holds two weights of
      one path.
  """
  try:
    with h5py.File(path) as file:
      root = file.get('model_weights', file)
      names = [
        (group, name)
        for group in _texts(root, 'layer_names')
        for name in _texts(root[group], 'weight_names')
      ]
      arrays = [np.asarray(root[group][name]) for group, name in names]
  except (OSError, KeyError) as error:
    raise errors.InputError(
      f'{path} must be an HDF5 file of weights saved by Keras 2. '
      f'Received: {error}.'
    ) from None
  paths = _paths([name for _, name in names])
  if repeated := sorted({each for each in paths if paths.count(each) > 1}):
    raise errors.InputError(
      f'{path} must hold one weight of each name. Received several of: '
      f'{", ".join(repeated)}.'
    )
  return dict(zip(paths, arrays, strict=True))


def _texts(group: h5py.Group, attribute: str) -> list[str]:
  return [
    text.decode() if isinstance(text, bytes) else text
    for text in group.attrs[attribute]
  ]


def _paths(names: list[str]) -> list[str]:
  """Turns Keras 2's weight names into paths of this package's variables."""
  split = [name.removesuffix(':0').split('/') for name in names]
  # A subclassed network's own name comes first; a functional one has none.
  split = [parts[1:] if len(parts) > 2 else parts for parts in split]
  numbers: dict[tuple[str, str], set[int]] = {}
  for *layers, _ in split:
    if match := _NUMBERED.fullmatch(layers[-1]):
      key = ('/'.join(layers[:-1]), match[1])
      numbers.setdefault(key, set()).add(int(match[2] or 0))
  paths = []
  for *layers, weight in split:
    if match := _NUMBERED.fullmatch(layers[-1]):
      known = sorted(numbers['/'.join(layers[:-1]), match[1]])
      number = known.index(int(match[2] or 0)) + 1
      layers[-1] = f'{_KINDS[match[1]]}{number}'
    paths.append(f'{_joined(layers)}/{weight}')
  # A depthwise convolution's kernel; a separable one's keeps its name.
  for index, path in enumerate(paths):
    layer, _, weight = path.partition('/')
    if (
      weight == 'depthwise_kernel' and f'{layer}/pointwise_kernel' not in paths
    ):
      paths[index] = f'{layer}/kernel'
  return paths


def _joined(layers: list[str]) -> str:
  """Joins nested names, each of which may repeat the one that holds it."""
  joined = layers[0]
  for layer in layers[1:]:
    if layer.lower().startswith(f'{joined.lower()}_'):
      joined += layer[len(joined) :]
    else:
      joined += f'_{layer}'
  return joined


def _in_head(path: str) -> bool:
  return path.partition('/')[0] == HEAD or path.startswith(f'{HEAD}_')
