"""Takes the pictures of TensorBoard that docs/ shows.

  pip install playwright
  apt-get install chromium
  python tools/screenshots.py --logdir=runs --output=docs/images

Playwright is no dependency of the project; the pictures are looked at by a
person, who then commits them.
"""

import argparse
import io
import pathlib

from PIL import Image
from playwright.sync_api import sync_playwright

_SIZE = {'width': 1280, 'height': 760}
# What is done on a tab before it is pictured, as JavaScript.
_TABS = {
  'scalars': '',
  'images': '',
  'graphs': '',
  'histograms': '',
  'text': '',
  'hparams': '',
}
_COLOURS = 64


def main() -> None:
  """Saves a small PNG of each tab of a TensorBoard that runs."""
  parser = argparse.ArgumentParser(description=__doc__)
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
    page = browser.new_page(viewport=_SIZE)
    for tab in flags.tabs.split(','):
      page.goto(f'{flags.url}/#{tab}', wait_until='networkidle')
      page.reload(wait_until='networkidle')
      page.wait_for_timeout(4000)  # Charts are drawn after the last request.
      with Image.open(io.BytesIO(page.screenshot())) as picture:
        small = picture.convert('RGB').quantize(_COLOURS)
        small.save(flags.output / f'{tab}.png', optimize=True)
    browser.close()


if __name__ == '__main__':
  main()
