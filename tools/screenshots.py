"""Takes the pictures of TensorBoard and XProf that docs/ shows.

  pip install playwright
  apt-get install chromium
  python tools/screenshots.py --tabs=scalars,images,graphs,histograms,text
  python tools/screenshots.py --tabs=hparams  # With TensorBoard on a sweep.
  python tools/screenshots.py --tabs=profile --url=http://localhost:6007

Start TensorBoard or XProf first. Playwright is not a dependency of the project.
Look at the pictures before you commit them.
"""

import argparse
import io
import pathlib

from PIL import Image
from playwright.sync_api import sync_playwright

_SIZE = {'width': 1280, 'height': 900}
# The part of the address that follows the name of each tab.
_TABS = {
  'scalars': '&_smoothingWeight=0&tagFilter=loss|top1|gradient|rate',
  'images': '',
  'graphs': '',
  'histograms': '&tagFilter=bottleneck_1_expand',
  'text': '',
  'hparams': '',
  'profile': '',
}
# Scripts that scroll a tab to the part worth seeing.
_BEFORE = {
  # The metrics are to the right of the many hyperparameters.
  'hparams': """
    const visit = (root) => root.querySelectorAll('*').forEach((each) => {
      if (each.scrollWidth > each.clientWidth + 300) each.scrollLeft = 1e6;
      if (each.shadowRoot) visit(each.shadowRoot);
    });
    visit(document);
  """,
}
# The element that shows the local path of the runs.
_HIDDEN = '#data-location'
_COLORS = 64
_DRAWN_MILLISECONDS = 6000


def main() -> None:
  """Saves a small PNG of each tab."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--url', default='http://localhost:6006')
  parser.add_argument('--output', default='docs/images', type=pathlib.Path)
  parser.add_argument('--chromium', default='/usr/bin/chromium')
  parser.add_argument('--tabs', default=','.join(_TABS))
  flags = parser.parse_args()
  flags.output.mkdir(parents=True, exist_ok=True)
  with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=flags.chromium, args=['--no-sandbox']
    )
    for tab in flags.tabs.split(','):
      page = browser.new_page(viewport=_SIZE)
      page.goto(f'{flags.url}/#{tab}{_TABS[tab]}', wait_until='networkidle')
      if tab == 'graphs':
        page.locator('g.node', has_text='tiny_image_net').first.dblclick()
      if tab == 'profile':
        page.locator('mat-select').nth(1).click()
        page.locator('mat-option', has_text='Trace Viewer').first.click()
      # Charts are drawn after the last request.
      page.wait_for_timeout(_DRAWN_MILLISECONDS)
      if script := _BEFORE.get(tab):
        page.evaluate(f'() => {{{script}}}')
        page.wait_for_timeout(_DRAWN_MILLISECONDS)
      for each in page.locator(_HIDDEN).all():
        each.evaluate("shown => shown.style.display = 'none'")
      with Image.open(io.BytesIO(page.screenshot())) as picture:
        small = picture.convert('RGB').quantize(_COLORS)
        small.save(flags.output / f'tensorboard_{tab}.png', optimize=True)
      page.close()
    browser.close()


if __name__ == '__main__':
  main()
