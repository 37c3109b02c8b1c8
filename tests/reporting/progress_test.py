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


def _values(epoch, loss, top1):
  return {
    'epoch': epoch,
    'loss': loss,
    'top1': top1,
    'top5': 0.875,
    'images_per_second': 160.0,
    'waiting_for_data': 0.5,
  }


class ProgressTest(absltest.TestCase):
  def _show(self, stream):
    shown = progress.Progress(1000, 32, stream=stream)
    shown.training(50, _values(0.5, 1.5, 0.25), passing=True)
    shown.training(50, _values(0.5, 1.25, 0.5))
    shown.evaluation(50, _values(0.5, 1.5, 0.25))
    shown.training(100, _values(1.0, 1.0, 0.75))
    return shown

  def test_plain_lines(self):
    stream = io.StringIO()
    self._show(stream)
    self.assertEqual(
      stream.getvalue(),
      'step 50/1,000  epoch 0.50  loss 1.2500  top1 0.5000  top5 0.8750  '
      '160 images/s  ETA 3:10\n'
      'step 50/1,000  epoch 0.50  validation loss 1.5000  top1 0.2500  '
      'top5 0.8750\n'
      'step 100/1,000  epoch 1.00  loss 1.0000  top1 0.7500  top5 0.8750  '
      '160 images/s  ETA 3:00\n',
    )

  def test_a_terminal_shows_one_live_line(self):
    terminal = _Terminal()
    self._show(terminal.stream)
    # Every line starts by erasing the live one; only evaluations end theirs.
    self.assertEqual(
      terminal.lines(),
      [
        '',
        'step 50/1,000  epoch 0.50  loss 1.5000  top1 0.2500  top5 0',
        'step 50/1,000  epoch 0.50  loss 1.2500  top1 0.5000  top5 0',
        'step 50/1,000  epoch 0.50  validation loss 1.5000  top1 0.2500  '
        'top5 0.8750\n',
        'step 100/1,000  epoch 1.00  loss 1.0000  top1 0.7500  top5 ',
      ],
    )

  def test_the_last_live_line_is_ended_once(self):
    terminal = _Terminal()
    shown = self._show(terminal.stream)
    shown.close()
    shown.close()
    shown.note('done')
    self.assertEndsWith(terminal.lines()[-1], 'top5 \ndone\n')

  def test_nothing_is_erased_before_a_live_line(self):
    terminal = _Terminal()
    shown = progress.Progress(9, 1, stream=terminal.stream)
    shown.note('start')
    shown.close()
    self.assertEqual(terminal.lines(), ['start\n'])

  def test_long_runs_show_hours(self):
    stream = io.StringIO()
    shown = progress.Progress(500_010, 32, stream=stream)
    shown.training(10, _values(0.1, 1.0, 0.5))
    self.assertIn('ETA 27:46:40', stream.getvalue())


if __name__ == '__main__':
  absltest.main()
