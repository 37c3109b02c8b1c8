"""What a run writes as it goes, cut back to what a checkpoint noted."""

import pathlib

from absl.testing import absltest

from tinygin.config import errors
from tinygin.reporting import history
from tinygin.reporting import logs


class LogsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.create_tempdir().full_path)

  def _write(self, lengths, *steps):
    """Writes a line for each step; returns what a checkpoint would note."""
    log = logs.Logs(self.directory, lengths)
    for step in steps:
      log.write('train', step, {'loss': 1.5})
    noted = log.flush()
    log.close()
    return noted

  def _steps(self):
    found = history.values(self.directory, 'train', 'loss')
    return [step for step, _ in found]

  def test_goes_on_where_the_checkpoint_was(self):
    noted = self._write({}, 1, 2)
    self._write(noted, 3)
    self.assertEqual(self._steps(), [1, 2, 3])
    self._write(noted, 4)
    self.assertEqual(self._steps(), [1, 2, 4])
    self._write({}, 5)
    self.assertEqual(self._steps(), [5])

  def test_says_what_keeps_it_from_writing(self):
    (self.directory / 'train').write_text('where a folder should be')
    with self.assertRaisesRegex(
      errors.RunError,
      rf'(?s)^Cannot write the logs in {self.directory}: .+\. Checkpoints are '
      r'intact; fix that, then start the run again\.$',
    ):
      self._write({}, 1)

  def test_nothing_is_written_where_something_is_missing(self):
    noted = self._write({}, 1, 2)
    (events,) = (each for each in noted if each.startswith('train/events'))
    for name in (history.METRICS, events):
      path, length = self.directory / name, noted[name]
      content = path.read_bytes()
      for received in (length - 1, 0):
        if received:
          path.write_bytes(content[:received])
        else:
          path.unlink()
        before = sorted(self.directory.rglob('*'))
        with self.assertRaises(errors.InputError) as caught:
          self._write(noted, 3)
        self.assertStartsWith(
          str(caught.exception), f'{path} must have at least the {length} bytes'
        )
        self.assertIn(f'Received: {received}.', str(caught.exception))
        self.assertEqual(sorted(self.directory.rglob('*')), before)
      path.write_bytes(content)


if __name__ == '__main__':
  absltest.main()
