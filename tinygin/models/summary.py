"""The layer table of a model, a row for each block."""

import keras
import numpy as np


def table(model: keras.Model) -> str:
  """Returns the table: name, output shape and parameter count of each layer.

  Args:
    model: a built model. Layers inside a nested model are counted in its row.

  Returns:
    Lines of text, without a newline at the end.
  """
  rows = [
    (layer.name, str(layer.output.shape), f'{layer.count_params():,}')
    for layer in model.layers
    if not isinstance(layer, keras.layers.InputLayer)
  ]
  header = ('Layer', 'Output shape', 'Parameters')
  name, shape, count = (
    max(map(len, column)) for column in zip(header, *rows, strict=True)
  )

  def line(row):
    return f'{row[0]:{name}}  {row[1]:{shape}}  {row[2]:>{count}}'

  rule = '-' * (name + shape + count + 4)
  total = model.count_params()
  trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
  return '\n'.join(
    [
      f'Model: {model.name}',
      rule,
      line(header),
      rule,
      *map(line, rows),
      rule,
      f'Parameters: {total:,}',
      f'Trainable: {trainable:,}',
      f'Not trainable: {total - trainable:,}',
    ]
  )
