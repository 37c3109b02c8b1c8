"""The progress of a run, line by line."""

import io
import os
import pty
import termios
import tty

from absl.testing import absltest

from tinygin.reporting import progress


class _Terminal:
  """A terminal of 60 columns."""

  def __init__(self):
    self._screen, terminal = pty.openpty()
    tty.setraw(terminal)
    termios.tcsetwinsize(terminal, (24, 60))
    self.stream = os.fdopen(terminal, 'w')

  def lines(self):
    """Returns what was written, cut where the live line is erased."""
    self.stream.write('\0')
    self.stream.close()
    written = b''
    while not written.endswith(b'\0'):  # It may come in parts.
      written += os.read(self._screen, 4096)
    os.close(self._screen)
    return written[:-1].decode().split('\r\x1b[2K')


class ProgressTest(absltest.TestCase):
  def _show(self, stream):
    shown = progress.Progress(1000, 32, now=100.0, stream=stream)
    shown.train(steps=50, now=110.0)
    shown.show(50, 0.5, {'loss': 1.5}, passing=True)
    shown.show(50, 0.5, {'loss': 1.25, 'top1': 0.5})
    shown.evaluation(50, 0.5, {'loss': 1.5, 'top1': 0.25})
    shown.resume(now=200.0)
    shown.train(steps=50, now=210.0)
    shown.show(100, 1.0, {'loss': 1.0, 'top1': 0.75})
    return shown

  def test_plain_lines(self):
    stream = io.StringIO()
    self._show(stream)
    self.assertEqual(
      stream.getvalue(),
      'step 50/1,000  epoch 0.50  loss 1.2500  top1 0.5000  160 images/s  '
      'ETA 3:10\n'
      'step 50/1,000  epoch 0.50  validation loss 1.5000  top1 0.2500\n'
      'step 100/1,000  epoch 1.00  loss 1.0000  top1 0.7500  160 images/s  '
      'ETA 3:00\n',
    )

  def test_a_terminal_shows_one_live_line(self):
    terminal = _Terminal()
    self._show(terminal.stream)
    # Every line starts by erasing the live one; only results end theirs.
    self.assertEqual(
      terminal.lines(),
      [
        '',
        'step 50/1,000  epoch 0.50  loss 1.5000  160 images/s  ETA 3',
        'step 50/1,000  epoch 0.50  loss 1.2500  top1 0.5000  160 im',
        'step 50/1,000  epoch 0.50  validation loss 1.5000  top1 0.2500\n',
        'step 100/1,000  epoch 1.00  loss 1.0000  top1 0.7500  160 i',
      ],
    )

  def test_the_last_live_line_is_ended_once(self):
    terminal = _Terminal()
    shown = self._show(terminal.stream)
    shown.close()
    shown.close()
    shown.note('done')
    self.assertEndsWith(terminal.lines()[-1], '160 i\ndone\n')

  def test_nothing_is_erased_before_a_live_line(self):
    terminal = _Terminal()
    shown = progress.Progress(9, 1, now=0.0, stream=terminal.stream)
    shown.note('start')
    shown.close()
    self.assertEqual(terminal.lines(), ['start\n'])

  def test_evaluations_do_not_count_as_training_time(self):
    shown = self._show(io.StringIO())
    self.assertEqual(shown.seconds, 20.0)
    self.assertEqual(shown.images_per_second, 160.0)

  def test_long_runs_show_hours(self):
    stream = io.StringIO()
    shown = progress.Progress(100_000, 32, now=0.0, stream=stream)
    shown.train(steps=10, now=10.0)
    shown.show(10, 0.1, {})
    self.assertIn('ETA 27:46:30', stream.getvalue())


if __name__ == '__main__':
  absltest.main()
