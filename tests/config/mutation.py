"""Changes texts at random, like typing errors."""

import random


def mutated(text: str, generator: random.Random) -> str:
  """Deletes, duplicates or swaps characters or lines, once or twice."""
  for _ in range(generator.choice((1, 1, 2))):
    parts = text.splitlines(True) if generator.random() < 0.4 else list(text)
    at, other = generator.randrange(len(parts)), generator.randrange(len(parts))
    kind = generator.choice(('delete', 'duplicate', 'swap', 'swap next'))
    if kind == 'delete':
      del parts[at]
    elif kind == 'duplicate':
      parts.insert(at, parts[at])
    else:
      other = other if kind == 'swap' else min(at + 1, len(parts) - 1)
      parts[at], parts[other] = parts[other], parts[at]
    text = ''.join(parts)
  return text
