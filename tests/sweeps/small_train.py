"""A program in place of train that needs no TensorFlow.

It writes a metric, and does what `train.behaviour` names.
"""

import json
import os
import pathlib
import signal
import sys

from tinygin.config import entry_point
from tinygin.config import errors


def main(argv: list[str]) -> None:
  """Writes a metric: seven steps of it, and the result."""
  del argv
  train = entry_point.load_from_flags('train').build()
  directory = pathlib.Path(train.run_dir)
  directory.mkdir(exist_ok=True)
  again = (directory / 'begun').exists()
  (directory / 'begun').touch()
  (directory / 'device').write_text(os.environ.get('CUDA_VISIBLE_DEVICES', ''))
  signal.signal(
    signal.SIGTERM,
    signal.SIG_IGN
    if train.behaviour == 'ignore SIGTERM'
    else lambda *_: sys.exit(143),
  )
  top1 = round(train.rate * train.width + 0.1 * train.seed, 4)
  endless = train.behaviour in ('diverge', 'ignore SIGTERM')
  if endless:
    top1 -= 1
  lines = [
    json.dumps({'step': step, 'split': 'validation', 'top1': top1 * step / 7})
    for step in range(1, 8)
  ]
  (directory / 'metrics.jsonl').write_text('\n'.join(lines) + '\n')
  if endless:
    while True:  # Until the sweep prunes it.
      signal.pause()
  if train.behaviour == 'fail once' and not again:
    print('1\n2', file=sys.stderr)
    raise errors.RunError('The disk is full:\n\n  /home')
  if train.behaviour == 'crash':
    raise RuntimeError('A mistake in the program.')
  if train.behaviour == 'stop the sweep once' and not again:
    os.kill(os.getppid(), signal.SIGTERM)
    while True:
      signal.pause()
  print('Continued.' if again else 'Trained.')
  if train.behaviour == 'write no result':
    return
  result = {'validation': {'top1': top1, 'count': len(train.levels)}}
  (directory / 'result.json').write_text(json.dumps(result))


if __name__ == '__main__':
  entry_point.define_config_flags()
  entry_point.run(main)
