"""This project's networks in PyTorch, layer for layer, for benchmarks.

They differ only in the offset of convolutions with a stride of 2, which does
not change the time.
"""

from collections.abc import Sequence

import torch
from torch import nn


def residual(levels: Sequence[int], classes: int) -> nn.Module:
  """Returns `TinyImageNet` at its default width."""
  width = 32
  parts = [_separable(3, width, 7, multiplier=3)]
  for repeats in levels:
    parts += [_Bottleneck(width, width) for _ in range(repeats)]
    parts += [_Bottleneck(width, 2 * width)]
    width *= 2
  return nn.Sequential(*parts, *_end(width, classes))


def inception(levels: Sequence[int], classes: int) -> nn.Module:
  """Returns `TinyInceptionNet` at its default width."""
  repeats_a, repeats_b, repeats_c = levels
  return nn.Sequential(
    *_inception_tail(),
    *(_Incept(64, 3, (1, 2)) for _ in range(repeats_a)),
    *_reduction(64, shallow=[_separable(64, 64, 3, 2)]),
    *(_Incept(192, 7, (1,)) for _ in range(repeats_b)),
    *_reduction(
      192,
      shallow=[
        nn.Sequential(_separable(192, 96, 3), _separable(96, 192, 3, 2))
        for _ in range(2)
      ],
    ),
    *(_Incept(768, 7, (1,)) for _ in range(repeats_c)),
    *_end(768, classes),
  )


class _Bottleneck(nn.Module):
  """A bottleneck; a downsampling block where the channels change."""

  def __init__(self, inputs, outputs):
    super().__init__()
    stride = 1 if inputs == outputs else 2
    self.first = _activate(inputs)
    self.residual = nn.Sequential(
      _separable(inputs, outputs // 4, 1),
      _activate(outputs // 4),
      _separable(outputs // 4, outputs, 3, stride),
    )
    self.main = _convolve(inputs, outputs, 3, stride) if stride == 2 else None

  def forward(self, x):
    h = self.first(x)
    return (x if self.main is None else self.main(h)) + self.residual(h)


class _Incept(nn.Module):
  def __init__(self, channels, size, depths):
    super().__init__()
    inner = channels // 8
    paths = [_mini(channels, inner, depth, size) for depth in depths]
    self.first = _activate(channels)
    self.rest = nn.Sequential(
      _Concatenated(*paths, _convolve(channels, inner)),
      _normalize(inner * (len(depths) + 1)),
      _convolve(inner * (len(depths) + 1), channels),
    )

  def forward(self, x):
    h = self.first(x)
    return h + self.rest(h)


class _Concatenated(nn.Module):
  def __init__(self, *paths):
    super().__init__()
    self.paths = nn.ModuleList(paths)

  def forward(self, x):
    return torch.cat([path(x) for path in self.paths], 1)


def _inception_tail():
  return [
    _separable(3, 16, 3),
    _Concatenated(_separable(16, 16, 3), nn.MaxPool2d(3, 1, 1)),
    _Concatenated(_mini(32, 16, 1, 7), _separable(32, 16, 3)),
    _Concatenated(_separable(32, 32, 3), nn.MaxPool2d(3, 1, 1)),
  ]


def _reduction(channels, shallow):
  half = channels // 2
  deep = nn.Sequential(
    _convolve(channels, half),
    _convolve(half, half, 3, groups=half),
    _separable(half, channels, 3, 2),
  )
  pool = nn.MaxPool2d(3, 2, 1)
  return [_activate(channels), _Concatenated(*shallow, deep, pool)]


def _mini(inputs, outputs, depth, size):
  parts = [_convolve(inputs, outputs)]
  for _ in range(depth):
    parts += [
      _normalize(outputs),
      _convolve(outputs, outputs, (size, 1), groups=outputs),
      _convolve(outputs, outputs, (1, size), groups=outputs),
    ]
  return nn.Sequential(*parts)


def _end(channels, classes):
  pool = nn.AdaptiveAvgPool2d(1)
  return [
    _activate(channels),
    pool,
    nn.Flatten(),
    nn.Linear(channels, classes),
  ]


def _activate(channels):
  return nn.Sequential(_normalize(channels), nn.ReLU())


def _normalize(channels):
  return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _separable(inputs, outputs, size, stride=1, multiplier=1):
  inner = inputs * multiplier
  return nn.Sequential(
    _convolve(inputs, inner, size, stride, groups=inputs),
    _convolve(inner, outputs),
  )


def _convolve(inputs, outputs, size=1, stride=1, groups=1):
  rows, columns = size if isinstance(size, tuple) else (size, size)
  return nn.Conv2d(
    inputs,
    outputs,
    (rows, columns),
    stride,
    (rows // 2, columns // 2),
    groups=groups,
    bias=False,
  )
