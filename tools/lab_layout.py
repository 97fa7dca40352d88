#!/usr/bin/env python3
"""Looks at report pages as a browser lays them out, at a phone's width and at a desktop's.

usage: tools/lab_layout.py [--dark] PAGE.html...

Prints JSON: of each page and width the text of who, how-much, verdict and reason, and `problems`: what of
these is not wholly in the first screen, what is wider than the screen (but tables, which scroll and show an
edge), labels of charts that overlap or leave their chart, a colour that two engines share or that something
else has, and an engine's colour that is hard to see. Exits with 1 if there are problems, with 77 where no
browser is installed (chromium, google-chrome, or the one that HEARTH_BROWSER names)."""
import argparse
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SCREENS = [(390, 844), (1400, 900)]
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]

MEASURE = r"""
function visible(box) { return box.width > 0 && box.height > 0; }
function words(el) { return el.tagName + ' "' + el.textContent.trim().slice(0, 40) + '"'; }

function firstScreen(doc, width, height, problems) {
  const found = {};
  for (const id of ["who", "how-much", "verdict", "reason"]) {
    const el = doc.getElementById(id);
    if (!el || !el.textContent.trim()) { problems.push("no " + id); continue; }
    found[id] = el.textContent;
    for (const box of el.getClientRects())
      if (!visible(box) || box.left < 0 || box.top < 0 || box.right > width + 0.5 || box.bottom > height)
        problems.push(id + " is not in the first screen: " + JSON.stringify(box));
  }
  return found;
}

function tooWide(doc, width, problems) {
  if (doc.documentElement.scrollWidth > width) problems.push("the page is " + doc.documentElement.scrollWidth + " wide");
  for (const el of doc.body.querySelectorAll("*")) {
    const box = el.getBoundingClientRect();
    if (visible(box) && !el.parentElement.closest(".scroll, svg") && box.right > width + 0.5)
      problems.push("wider than the screen: " + words(el));
  }
  for (const el of doc.querySelectorAll(".scroll")) {
    const style = doc.defaultView.getComputedStyle(el);
    if (el.scrollWidth <= el.clientWidth + 1) continue;
    if (style.overflowX != "auto" || !style.backgroundImage.includes("gradient") || !parseFloat(style.borderRightWidth))
      problems.push("a table that scrolls shows no edge: " + words(el));
  }
}

function labels(doc, problems) {
  for (const svg of doc.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map(el => [el, el.getBoundingClientRect()]);
    for (let i = 0; i < texts.length; ++i) {
      const [a, p] = texts[i];
      if (p.left < frame.left - 1 || p.right > frame.right + 1 || p.top < frame.top - 3 || p.bottom > frame.bottom + 3)
        problems.push("leaves its chart: " + words(a));
      for (let k = 0; k < i; ++k) {
        const [b, q] = texts[k];
        const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
        const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        if (across > 1 && down > 0.25 * Math.min(p.height, q.height)) problems.push("overlap: " + words(a) + ", " + words(b));
      }
    }
  }
}

function luminance(colour) {
  const [r, g, b] = colour.match(/[\d.]+/g).map(Number).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function colours(doc, problems) {
  const owners = new Map();
  for (const el of doc.body.querySelectorAll("*")) {
    if (el.closest("title")) continue;
    const style = doc.defaultView.getComputedStyle(el);
    const drawn = el.closest("svg") ? [style.fill, style.stroke] : [style.color, style.backgroundColor, style.borderTopColor];
    const engine = (el.getAttribute("class") || "").match(/(?:^| )[sfk](\d+)(?: |$)/);
    const own = !engine ? null : el.closest("svg") ? (/(?:^| )s\d/.test(el.getAttribute("class")) ? style.stroke : style.fill) : style.backgroundColor;
    for (const colour of drawn) {
      if (!colour.startsWith("rgb") || /, 0\)$/.test(colour)) continue;
      if (!owners.has(colour)) owners.set(colour, new Set());
      owners.get(colour).add(colour === own ? engine[1] : "none");
    }
  }
  const paper = luminance(doc.defaultView.getComputedStyle(doc.body).backgroundColor);
  for (const [colour, all] of owners) {
    const engines = [...all].filter(name => name != "none");
    if (!engines.length) continue;
    if (all.size > 1) problems.push("the colour " + colour + " belongs to " + [...all].join(" and "));
    const [low, high] = [luminance(colour), paper].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 2.8) problems.push("hard to see: " + colour + " of engine " + engines);
  }
}

onload = () => {
  const all = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const doc = frame.contentDocument, width = Number(frame.width), height = Number(frame.height), problems = [];
    const found = firstScreen(doc, width, height, problems);
    for (const el of doc.querySelectorAll("details")) el.open = true;
    tooWide(doc, width, problems);
    labels(doc, problems);
    colours(doc, problems);
    all.push({page: frame.title, width, height, ...found, problems});
  }
  document.body.replaceChildren(Object.assign(document.createElement("pre"), {id: "all", textContent: JSON.stringify(all)}));
};
"""


def browser():
    named = os.environ.get("HEARTH_BROWSER")
    for name in [named] if named else NAMES:
        if path := shutil.which(name):
            return path
    print(f"no browser: none of {', '.join([named] if named else NAMES)} is installed")
    sys.exit(77)


def run_browser(*words):
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run([browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                               "--force-device-scale-factor=1", f"--user-data-dir={home}", *words], check=True,
                              timeout=120, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def measure(pages, dark=False):
    """What each page comes to at each width, as the docstring says."""
    frames = ""
    for page in pages:
        with open(page, encoding="utf-8") as file:
            text = html.escape(file.read())
        for width, height in SCREENS:
            frames += f'<iframe title="{html.escape(page)}" width="{width}" height="{height}" style="border:0" srcdoc="{text}"></iframe>\n'
    with tempfile.TemporaryDirectory() as folder:
        wrapper = os.path.join(folder, "all.html")
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(f'<!DOCTYPE html><meta charset="utf-8"><script>{MEASURE}</script><body>{frames}</body>')
        scheme = "--blink-settings=preferredColorScheme=" + ("0" if dark else "1")
        out = run_browser("--dump-dom", "--virtual-time-budget=20000", scheme, "file://" + wrapper).decode()
    found = re.search(r'<pre id="all">(.*?)</pre>', out, re.S)
    if not found:
        sys.exit("lab_layout: the browser gave no measurements")
    return json.loads(html.unescape(found[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+")
    parser.add_argument("--dark", action="store_true", help="in the dark scheme")
    options = parser.parse_args()
    found = measure(options.pages, options.dark)
    print(json.dumps(found, indent=1))
    sys.exit(any(one["problems"] for one in found))


if __name__ == "__main__":
    main()
