"""Drawing continues where a picture fails."""

from absl.testing import absltest

from tinygin.config import errors
from tinygin.reporting import drawing


class OptionalTest(absltest.TestCase):
  def test_a_failure_is_a_warning(self):
    with self.assertLogs(level='WARNING') as logged:
      with drawing.optional('confusion.png'):
        raise ValueError('no such colour')
    self.assertEndsWith(
      logged.output[0],
      'The picture confusion.png cannot be drawn: no such colour',
    )

  def test_a_full_disk_is_an_error(self):
    with self.assertRaises(errors.RunError), drawing.optional('confusion.png'):
      raise errors.RunError('The disk is full.')


if __name__ == '__main__':
  absltest.main()
