"""The examples in the documentation work."""

import pathlib
import re

from absl import flags
from absl.testing import absltest

from tests.config import config_case
from tinygin import train
from tinygin.config import entry_point
from tinygin.config import help_text
from tinygin.config import paths
from tinygin.training import durations


def _block(start: str, name: str = 'docs/configure.md') -> str:
  """Returns the code block of the page that starts with a line."""
  page = pathlib.Path(paths.project_root(), name).read_text()
  (block,) = re.findall(rf'```[a-z]*\n({re.escape(start)}.*?)```', page, re.S)
  return block


class OwnComponentTest(config_case.ConfigCase):
  def setUp(self):
    super().setUp()
    self.write('my_lab/heads.py', _block('# my_lab/heads.py'))
    self.text = f"include 'quickstart.gin'\n{_block('import my_lab.heads')}"

  def test_own_head(self):
    experiment = self.load(self.text).build()
    model = experiment.build_model()
    names = [layer.name for layer in model.get_layer('head').layers]
    self.assertContainsSubset(['head_pool', 'head_logits'], names)
    self.assertEqual(model.output_shape, (None, 12))

  def test_own_head_is_checked(self):
    self.assert_faults(
      self.text.replace("'max'", "'maximum'").replace('.cl', '.kl'),
      'Unknown parameter pooled_head.klasses at x.gin:4. '
      'Did you mean pooled_head.classes?',
      "pooled_head.pooling must be one of 'average', 'max'. "
      "Received: pooled_head.pooling='maximum' at x.gin:5.",
    )


class ReadmeTest(config_case.ConfigCase):
  def test_own_schedule(self):
    self.write('my_schedules.py', _block('# my_schedules.py', 'README.md'))
    text = _block('# with_my_schedule.gin', 'README.md')
    experiment = self.load(text).build()
    timeline = durations.Timeline(examples=8, batch_size=1, length=1)
    rates = experiment.learning_rate(timeline)
    self.assertAlmostEqual(float(rates(0)), 0.004)
    self.assertAlmostEqual(float(rates(8)), 0.002)
    self.assert_faults(
      text.replace('0.004', '0'),
      'Halving.start must be a positive number. '
      'Received: Halving.start=0 at x.gin:6.',
    )

  def test_own_experiment(self):
    experiment = self.load(_block('# mine.gin', 'README.md')).build()
    self.assertEqual((experiment.epochs, experiment.seed), (8, 0))


class FlagsTest(absltest.TestCase):
  def test_the_page_lists_every_flag(self):
    page = pathlib.Path(paths.project_root(), 'docs/configure.md').read_text()
    by_module = flags.FLAGS.flags_by_module_dict()
    defined = [
      flag.name
      for module in (train, entry_point)
      for flag in by_module[module.__name__]
    ]
    self.assertContainsSubset(['resume', 'levels', 'gin_file'], defined)
    table = ''.join(re.findall(r'^\|.*\n', page, re.M))
    missing = [
      name for name in defined if not re.search(rf'`--{name}[=`]', table)
    ]
    self.assertEmpty(missing)


class ReferenceTest(absltest.TestCase):
  def test_is_up_to_date(self):
    written = pathlib.Path(paths.project_root(), 'docs/reference.md')
    self.assertMultiLineEqual(
      written.read_text(),
      help_text.page(),
      'Update it with ./bazelw run //docs:write_reference',
    )


class FirstExampleTest(config_case.ConfigCase):
  def test_the_language_in_a_minute(self):
    text = _block('# mine.gin') + _block('WarmupCosine:')
    experiment = self.load(text).build()
    self.assertEqual(experiment.epochs, 8)
    self.assertEqual(experiment.optimizer(learning_rate=0.1).momentum, 0.9)


class SweepTest(config_case.ConfigCase):
  def test_own_sweeps(self):
    for name, count in (('# my_sweep.gin', 6), ('# sampled.gin', 20)):
      text = _block(name, 'docs/sweep.md')
      configuration = self.load(text, root='sweep')
      sweep = configuration.build()
      sweep.check(configuration.place)
      self.assertLen(sweep.points, count)

  def test_a_misspelt_parameter(self):
    text = _block('# my_sweep.gin', 'docs/sweep.md')
    configuration = self.load(
      {'my_sweep.gin': text.replace('RATE', 'RATES')}, root='sweep'
    )
    with self.assertRaises(config_case.InputError) as caught:
      configuration.build().check(configuration.place)
    self.assertEqual(
      _block('my_sweep.gin:8 has', 'docs/sweep.md'),
      f'{caught.exception}\n',
    )


if __name__ == '__main__':
  absltest.main()
