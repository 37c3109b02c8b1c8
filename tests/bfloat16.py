"""Skips tests of bfloat16 where oneDNN may not use the instructions they need.

With ONEDNN_MAX_CPU_ISA, oneDNN computes as on an older processor. TensorFlow
looks at the processor only, and asks oneDNN for kernels that it then lacks.
"""

import os
import unittest

IS_MISSING = os.environ.get('ONEDNN_MAX_CPU_ISA') in ('SSE41', 'AVX', 'AVX2')
needed = unittest.skipIf(
  IS_MISSING, 'oneDNN is limited to instructions without bfloat16.'
)
