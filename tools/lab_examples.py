#!/usr/bin/env python3
"""Makes the example reports of docs/ from results that are stored in tests/lab/data, and pictures of them.

usage: tools/lab_examples.py build/release/hearth [--check]

docs/lab_report_NAME.html is what `hearth lab report` makes of each result. Where a browser is installed
(see tools/lab_layout.py), lab_report_NAME_phone.png and _desktop.png are their first screens; in each
stands the hash of the page that it was taken of. --check writes nothing: it exits with 1 where a page is
another than the program makes, or a picture is of another page."""
import argparse
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

sys.dont_write_bytecode = True
import lab_layout

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA, DOCS = ROOT / "tests/lab/data", ROOT / "docs"
# hearth beside PyTorch, the post that the project began with, two commands.
EXAMPLES = {"peers": "peers_2026.json", "post": "post_2023.json", "commands": "commands_2026.json"}
PICTURES = {"phone": lab_layout.SCREENS[0], "desktop": lab_layout.SCREENS[1]}
KEY = b"page-sha256"


def page_of(hearth, result):
    """The report of a stored result."""
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, "page.html")
        subprocess.run([hearth, "lab", "report", result, "-o", page], cwd=DATA, check=True, stdout=subprocess.DEVNULL)
        return pathlib.Path(page).read_bytes()


def chunks(png):
    at = 8
    while at + 12 <= len(png):
        size = struct.unpack(">I", png[at:at + 4])[0]
        yield at, png[at + 4:at + 8], png[at + 8:at + 8 + size]
        at += 12 + size


def page_of_picture(png):
    """The hash that a picture carries, or ""."""
    for _, kind, data in chunks(png):
        if kind == b"tEXt" and data.startswith(KEY + b"\0"):
            return data[len(KEY) + 1:].decode()
    return ""


def picture_of(page, size):
    with tempfile.TemporaryDirectory() as folder:
        file, png = os.path.join(folder, "page.html"), os.path.join(folder, "page.png")
        pathlib.Path(file).write_bytes(page)
        lab_layout.run_browser("--blink-settings=preferredColorScheme=1", f"--window-size={size[0]},{size[1]}",
                               f"--screenshot={png}", "file://" + file)
        picture = pathlib.Path(png).read_bytes()
    data = b"tEXt" + KEY + b"\0" + hashlib.sha256(page).hexdigest().encode()
    text = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    end = next(at for at, kind, _ in chunks(picture) if kind == b"IEND")
    return picture[:end] + text + picture[end:]


def check(name, page):
    wrong = []
    file = DOCS / f"lab_report_{name}.html"
    if not file.exists() or file.read_bytes() != page:
        wrong.append(f"{file} is not what the program makes")
    for what in PICTURES:
        picture = DOCS / f"lab_report_{name}_{what}.png"
        if not picture.exists() or page_of_picture(picture.read_bytes()) != hashlib.sha256(page).hexdigest():
            wrong.append(f"{picture} is of another page")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hearth")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    hearth = os.path.abspath(options.hearth)
    wrong = []
    for name, result in EXAMPLES.items():
        page = page_of(hearth, result)
        if options.check:
            wrong += check(name, page)
            continue
        (DOCS / f"lab_report_{name}.html").write_bytes(page)
        for what, size in PICTURES.items():
            (DOCS / f"lab_report_{name}_{what}.png").write_bytes(picture_of(page, size))
    if wrong:
        sys.exit("\n".join(wrong) + f"\nrun tools/lab_examples.py {options.hearth} where a browser is installed")


main()
