"""A table of a model's layers, one row for each block."""

import keras
import numpy as np
import tabulate


def table(model: keras.Model) -> str:
  """Returns the table: name, output shape and parameter count of each layer.

  Args:
    model: a built model. Nested models are one row each.

  Returns:
    Lines of text, without a trailing newline.
  """
  rows = [
    (layer.name, str(layer.output.shape), f'{layer.count_params():,}')
    for layer in model.layers
    if not isinstance(layer, keras.layers.InputLayer)
  ]
  layers = tabulate.tabulate(
    rows,
    ('Layer', 'Output shape', 'Parameters'),
    colalign=('left', 'left', 'right'),
    disable_numparse=True,
  )
  total = model.count_params()
  trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
  return (
    f'Model: {model.name}\n\n{layers}\n\n'
    f'Parameters: {total:,}\n'
    f'Trainable: {trainable:,}\n'
    f'Not trainable: {total - trainable:,}'
  )
