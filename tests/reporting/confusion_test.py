"""Pictures of confusion matrices can be read."""

import itertools
import warnings

import matplotlib
import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from matplotlib import text
from PIL import Image

from tinygin.reporting import confusion

LONG = 'WIDE-WINGED WANDERING MOTH, of the mountains'


def _draw(classes):
  random = np.random.default_rng(0)
  counts = random.poisson(0.3, (classes, classes)) + 37 * np.eye(
    classes, dtype=int
  )
  names = [LONG, *(f'class {number}' for number in range(1, classes))]
  title = 'validation, step 1,000: average top-1 0.5120 of 10,000 images'
  return confusion.draw(counts, names, title)


class ConfusionTest(parameterized.TestCase):
  @parameterized.parameters(2, 12, 20, 31, 200)
  def test_names_stand_apart_and_within(self, classes):
    drawn = _draw(classes)
    drawn.draw_without_rendering()
    (axes,) = drawn.axes
    written = axes.get_title('right')
    (title,) = axes.findobj(
      lambda each: isinstance(each, text.Text) and each.get_text() == written
    )
    for edge in (title.get_window_extent().x0, title.get_window_extent().x1):
      self.assertTrue(drawn.bbox.containsx(edge))
    boxes = {
      'y': [each.get_window_extent() for each in axes.get_yticklabels()],
      'x': [each.get_window_extent() for each in axes.get_xticklabels()],
    }
    for name, each in boxes.items():
      self.assertLen(each, classes)
      for one, two in itertools.pairwise(each):
        apart = one.y0 - two.y1 if name == 'y' else two.x0 - one.x1
        self.assertGreater(apart, -1)  # Dots, of ascenders above descenders.
      for box in each:
        self.assertTrue(drawn.bbox.containsx(box.x0), (classes, box))
        self.assertTrue(drawn.bbox.containsy(box.y0), (classes, box))
        # At least ten dots high: letters that can be told apart.
        self.assertGreater(box.height if name == 'y' else box.width, 9)

  def test_counts_stand_in_the_cells_of_a_small_matrix(self):
    (axes,) = _draw(12).axes
    self.assertIn('37', [each.get_text() for each in axes.texts])
    (axes,) = _draw(200).axes
    self.assertEmpty(axes.texts)

  def test_names_are_the_first_ones_and_short(self):
    (axes,) = _draw(2).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    self.assertEqual(names, ['WIDE-WINGED WANDERING M…', 'class 1'])

  def test_any_name_can_be_drawn(self):
    names = ['$_{', '$\\frac', 'Größe — Ελληνικά', '日本', 'a\nb']
    drawn = confusion.draw(np.eye(5, dtype=int), names, 'costs $_{ and $^')
    (axes,) = drawn.axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    self.assertEqual(shown, [*names[:3], 'class 3', 'class 4'])
    with warnings.catch_warnings():
      warnings.simplefilter('error')  # Of characters that the font lacks.
      self.assertStartsWith(confusion.png(drawn), b'\x89PNG')

  def test_the_user_s_settings_change_nothing(self):
    expected = confusion.png(_draw(3))
    with matplotlib.rc_context({'text.usetex': True, 'font.family': 'serif'}):
      self.assertEqual(confusion.png(_draw(3)), expected)

  def test_a_thousand_classes_are_a_picture_too(self):
    drawn = _draw(1000)
    self.assertLess(max(drawn.get_size_inches() * drawn.dpi), 5000)
    self.assertEqual(drawn.axes[0].get_xlabel(), 'predicted')

  def test_is_a_png(self):
    path = self.create_tempfile('x.png', confusion.png(_draw(3))).full_path
    with Image.open(path) as image:
      self.assertEqual(image.format, 'PNG')
      self.assertNotEqual(image.getextrema()[0], (255, 255))


if __name__ == '__main__':
  absltest.main()
