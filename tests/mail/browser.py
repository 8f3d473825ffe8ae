"""Chromium: whether each text of a page can be read and nothing is cut, and pictures of pages."""

import json
import re
import shutil
import subprocess
import tempfile
from html import escape, unescape
from pathlib import Path

CHROMIUM = shutil.which("chromium") or "chromium"
DARK = "--blink-settings=preferredColorScheme=0"
# A page whose frames are as high as their content.
SHEET_STYLE = (
    "body {{ margin: 0; background: #888; zoom: {zoom} }} iframe {{ border: 0; margin: 8px; width: {width}px }}"
)
GROW = """<script>addEventListener('load', () => {
  for (const frame of document.querySelectorAll('iframe'))
    frame.style.height = frame.contentDocument.documentElement.scrollHeight + 'px';
});</script>"""
INVERTED = "iframe { filter: invert(1) hue-rotate(180deg) }"
# Judges each text by its own color and the nearest background; "inverted" is what a client makes of both that inverts.
SCRIPT = """
const parse = color => (color.match(/[\\d.]+/g) || []).map(Number);
const channel = share => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
const luminance = rgb => rgb.slice(0, 3).map(value => channel(value / 255))
  .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const invert = rgb => rgb.slice(0, 3).map(value => 255 - value);
function background(element, view) {
  for (let node = element; node; node = node.parentElement) {
    const color = parse(view.getComputedStyle(node).backgroundColor);
    if (color.length === 3 || color[3] > 0) return color;
  }
  return [255, 255, 255];
}
addEventListener('load', () => {
  const found = [];
  for (const frame of document.querySelectorAll('iframe')) {
    const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
    let worst = 21, inverted = 21, words = 0;
    const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || !element.getClientRects().length || element.closest('style')) continue;
      const color = parse(view.getComputedStyle(element).color), behind = background(element, view);
      worst = Math.min(worst, contrast(color, behind));
      inverted = Math.min(inverted, contrast(invert(color), invert(behind)));
      words += 1;
    }
    found.push({name: frame.title, worst, inverted, words, overflow: root.scrollWidth - root.clientWidth});
  }
  document.getElementById('found').textContent = JSON.stringify(found);
});
"""


def measure(pages, width, is_dark):
    """Return for each page the lowest contrast, also of a client that inverts colors, and by how much it is too wide.

    :param pages: HTML by name.
    """
    frames = "".join(
        f'<iframe title="{escape(name)}" style="border: 0; width: {width}px; height: 900px" srcdoc="{escape(html)}">'
        "</iframe>"
        for name, html in pages.items()
    )
    page = f'<meta charset="utf-8"><pre id="found"></pre>{frames}<script>{SCRIPT}</script>'
    output = _run(page, ["--dump-dom", *([DARK] if is_dark else [])])
    found = json.loads(unescape(re.search(r'<pre id="found">(.*?)</pre>', output, re.DOTALL)[1]))
    assert len(found) == len(pages)
    return found


def take_picture(pages, path, width, mode, zoom=1.0, size=(1500, 2000)):
    """Write a picture of several pages side by side.

    :param mode: ``"light"``, ``"dark"`` or ``"inverted"``.
    """
    frames = "".join(f'<iframe srcdoc="{escape(html)}"></iframe>' for html in pages)
    style = SHEET_STYLE.format(width=width, zoom=zoom) + (INVERTED if mode == "inverted" else "")
    page = f'<meta charset="utf-8"><style>{style}</style>{frames}{GROW}'
    options = [f"--screenshot={path}", f"--window-size={size[0]},{size[1]}", "--hide-scrollbars"]
    _run(page, [*options, *([DARK] if mode == "dark" else [])])


def _run(html, options):
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(html)
        command = [CHROMIUM, "--headless", "--no-sandbox", f"--user-data-dir={folder}/profile", *options, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
