"""Signals are collected, except a SIGHUP that `nohup` ignores."""

import signal

from absl.testing import absltest

from tinygin.training import signals


class SignalsTest(absltest.TestCase):
  def test_collects_and_restores(self):
    before = signal.getsignal(signal.SIGTERM)
    with signals.collected(signal.SIGTERM, signal.SIGHUP) as received:
      signal.raise_signal(signal.SIGHUP)
      signal.raise_signal(signal.SIGTERM)
    self.assertEqual(received, [signal.SIGHUP, signal.SIGTERM])
    self.assertIs(signal.getsignal(signal.SIGTERM), before)

  def test_collects_sigint_in_a_background_job(self):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    self.addCleanup(signal.signal, signal.SIGINT, before)
    with signals.collected(signal.SIGINT) as received:
      signal.raise_signal(signal.SIGINT)
    self.assertEqual(received, [signal.SIGINT])

  def test_ignores_sighup_under_nohup(self):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    self.addCleanup(signal.signal, signal.SIGHUP, before)
    with signals.collected(signal.SIGHUP) as received:
      signal.raise_signal(signal.SIGHUP)
    self.assertEmpty(received)


if __name__ == '__main__':
  absltest.main()
