"""Trackio gets the metrics of a run."""

import importlib.util
import os
import pathlib
from unittest import mock

from absl.testing import absltest

from tinygin.config import loading
from tinygin.reporting import callbacks
from tinygin.reporting import tracking


@absltest.skipUnless(
  importlib.util.find_spec('trackio'), 'trackio is not installed'
)
class TrackioTest(absltest.TestCase):
  def test_a_resumed_run_continues(self):
    root = pathlib.Path(self.create_tempdir().full_path)
    self.enter_context(
      mock.patch.dict(os.environ, {'TRACKIO_DIR': str(root / 'trackio')})
    )
    run = root / 'runs/first'
    run.mkdir(parents=True)
    (run / 'config.gin').write_text('train.epochs = 3\n', encoding='utf-8')
    for step in (2, 4):
      callback = tracking.Trackio(project='lab')
      for kind, values in (
        ('train', {'loss': 1 / step}),
        ('validation', {'top1': 0.5}),
        ('checkpoint', {}),
      ):
        callback(callbacks.Event(kind, step, values, run))
      import trackio

      trackio.finish()
    (found,) = trackio.Api().runs('lab')
    self.assertEqual(found.name, 'first')
    self.assertEqual(found.config['train.epochs'], '3')
    self.assertEqual(
      [
        (each['step'], each.get('train/loss'), each.get('validation/top1'))
        for each in trackio.sqlite_storage.SQLiteStorage.get_logs(
          'lab', 'first'
        )
      ],
      [(2, 0.5, None), (2, None, 0.5), (4, 0.25, None), (4, None, 0.5)],
    )


class ConfigurationTest(absltest.TestCase):
  def test_a_continued_run_can_add_it(self):
    configuration = loading.load(
      ['gin/quickstart.gin', 'gin/trackio.gin'], [], root='train'
    )
    self.assertIn('train.seed', configuration.fixed())
    self.assertNoCommonElements(
      configuration.fixed(), ['train.callbacks', 'Trackio.project']
    )


if __name__ == '__main__':
  absltest.main()
