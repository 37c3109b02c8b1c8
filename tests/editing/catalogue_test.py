"""Records of modules say what the modules say, and are never out of date."""

import os
import random
import stat
import subprocess
import sys
from unittest import mock

from absl.testing import absltest

from tests.config import config_case
from tests.config import mutation
from tests.config.config_case import COMPLETE
from tests.config.config_case import IMPORT
from tinygin.config import checking
from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import loading
from tinygin.config import statements
from tinygin.editing import catalogue

_HEADS = """
from typing import Annotated
import gin
from my_lab import limits

@gin.register
def head(size: Annotated[int, limits.SIZE], depth: int = 3):
  '''A head.'''
"""
_LIMITS = 'import annotated_types\nSIZE = annotated_types.Le({})\n'


class CatalogueTest(config_case.ConfigCase):
  def setUp(self):
    super().setUp()
    self.enter_context(mock.patch.object(sys, 'path', [*sys.path]))
    cache = self.create_tempdir().full_path
    self.enter_context(mock.patch.dict(os.environ, {'XDG_CACHE_HOME': cache}))

  def learn(self, *modules):
    known = catalogue.Catalogue()
    known.learn(modules)
    return known

  def registry(self, text, known=None):
    imports = [
      each
      for each in statements.parse(text, statements.Place('x.gin'))
      if isinstance(each, statements.Import)
    ]
    known = known or self.learn(*(each.module for each in imports))
    return known.registry(imports, 'train')

  def head(self, known=None):
    registry = self.registry('import my_lab.heads', known)
    self.assertEmpty(registry.faults)
    return registry.find('head').parameters

  def test_private_records_without_a_cache_folder(self):
    with mock.patch.dict(os.environ, {'XDG_CACHE_HOME': __file__}):
      known = self.learn('annotated_types')
    self.assertEqual(stat.S_IMODE(os.stat(known.folder).st_mode), 0o700)
    self.assertIn('annotated_types', known.modules)

  def assert_not_recorded(self):
    return mock.patch.object(subprocess, 'run', side_effect=AssertionError)

  def test_faults_are_those_of_the_program(self):
    known = self.learn('tests.config.small_components', 'json')
    compared = 0
    more = (
      'import json\ntrain.block = @block\nblock.size = 3\n'
      'train.extra = [@text(), @json.dumps]\ntext.value = "a"\n'
      'Network.layer = @Layer\nLayer.rate = 0.5\nLayer.dtype = "int8"\n'
      'train.names = ["a"]\ntrain.options = {"a": 1}\nMomentum.decay = 1.0\n'
      'small/Network.width = 3\nNetwork.inner = @small/Network()\n'
      'small/Network.inner = None\n'
    )
    for seed in range(400):
      text = mutation.mutated(COMPLETE + more, random.Random(seed))
      self.write('x.gin', text)
      document = statements.read(['x.gin'])
      if document.faults or [*checking.circular_macros(document)]:
        continue
      modules = {each.module for each in document.imports}
      # Without the import, the program does not register the components.
      if modules != {'tests.config.small_components', 'json'}:
        continue
      real = components.Registry(document.imports, 'train')
      recorded = known.registry(document.imports, 'train')
      with self.subTest(seed=seed, text=text):
        _, expected = loading.examine(document, real, 'train')
        _, found = loading.examine(document, recorded, 'train')
        # Records also know which import would help.
        self.assertEqual([*map(_shown, found)], [*map(_shown, expected)])
      compared += 1
    self.assertGreater(compared, 50)

  def test_a_library(self):
    text = 'import collections\nimport textwrap'
    registry = self.registry(text)
    shorten = registry.find('textwrap.shorten')
    self.assertEqual([*shorten.parameters], ['text', 'width'])
    self.assertIn('Collapse', shorten.target.documentation)
    self.assertEndsWith(shorten.target.file, 'textwrap.py')
    self.assertEmpty(registry.find('collections.OrderedDict').parameters)
    problem = registry.problem('textwrap.shortn')
    self.assertEqual(problem.correction, 'textwrap.shorten')

  def test_a_second_look_imports_nothing(self):
    self.write('my_lab/heads.py', _HEADS)
    self.write('my_lab/limits.py', _LIMITS.format(8))
    self.head()
    with self.assert_not_recorded():
      parameters = self.head()
    self.assertEqual([*parameters], ['size', 'depth'])
    self.assertEqual(parameters['depth'].default, 3)
    self.assertTrue(constraints.matches(8, parameters['size'].annotation))
    self.assertFalse(constraints.matches(9, parameters['size'].annotation))
    self.assertNotIn('my_lab.heads', sys.modules)

  def test_a_default_that_only_its_module_can_make(self):
    self.write(
      'my_lab/heads.py',
      'import gin\nSIZE = object()\n@gin.register\ndef head(size=SIZE): ...\n',
    )
    self.assertStartsWith(repr(self.head()['size'].default), '<object object')

  def test_a_changed_source_counts(self):
    self.write('my_lab/heads.py', _HEADS)
    self.write('my_lab/limits.py', _LIMITS.format(8))
    known = self.learn('my_lab.heads')
    path = self.write('my_lab/heads.py', _HEADS.replace('depth', 'width'))
    os.utime(path, (0, 0))
    known.learn(['my_lab.heads'])
    self.assertEqual([*self.head(known)], ['size', 'width'])
    self.assertEqual([*self.head()], ['size', 'width'])

  def test_a_changed_source_of_an_imported_module_counts(self):
    self.write('my_lab/heads.py', _HEADS)
    self.write('my_lab/limits.py', _LIMITS.format(8))
    self.head()
    self.write('my_lab/limits.py', _LIMITS.format(10))
    annotation = self.head()['size'].annotation
    self.assertTrue(constraints.matches(10, annotation))

  def test_other_versions_count(self):
    self.write('my_lab/heads.py', _HEADS)
    self.write('my_lab/limits.py', _LIMITS.format(8))
    self.head()
    site = self.create_tempdir()
    site.mkdir('numpy-99.dist-info')
    with mock.patch.object(sys, 'path', [*sys.path, site.full_path]):
      with self.assert_not_recorded(), self.assertRaises(AssertionError):
        self.learn('my_lab.heads')

  def test_a_damaged_record_is_made_again(self):
    self.write('my_lab/heads.py', _HEADS)
    self.write('my_lab/limits.py', _LIMITS.format(8))
    known = self.learn('my_lab.heads')
    (record,) = known.folder.iterdir()
    record.write_bytes(record.read_bytes()[:100])
    self.assertEqual([*self.head()], ['size', 'depth'])

  def test_failing_imports(self):
    self.write('my_lab/heads.py', 'x = 1\nx.y\n')
    text = 'import my_lab.heads\nimport my_lab.limits\nimport no_lab'
    faults = [str(each) for each in self.registry(text).faults]
    self.assertLen(faults, 3)
    self.assertIn('AttributeError', faults[0])
    self.assertIn('my_lab/heads.py:2', faults[0])
    self.assertIn('Unknown module my_lab.limits at x.gin:2', faults[1])
    self.assertIn('Unknown module no_lab at x.gin:3', faults[2])
    self.write('my_lab/heads.py', _HEADS)
    self.write('my_lab/limits.py', _LIMITS.format(8))
    self.assertEqual([*self.head()], ['size', 'depth'])

  def test_a_module_that_ends_the_process(self):
    self.write('my_lab/heads.py', 'import os\nos._exit(3)\n')
    registry = self.registry(f'{IMPORT}import my_lab.heads')
    (fault,) = registry.faults
    self.assertIn('my_lab.heads at x.gin:2', fault.message)
    self.assertIn('status 3', fault.message)


def _shown(fault):
  message = fault.message.partition(' Add the line: import ')[0]
  message = message.removesuffix(' No import in the configuration defines it.')
  return fault.rule, fault.name, fault.places, message


if __name__ == '__main__':
  absltest.main()
