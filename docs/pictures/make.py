"""Makes the pictures of README from the photos of `make demo`: `python docs/pictures/make.py`.

Needs scikit-image, scikit-learn, and Chromium for the pictures of pages.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
COMMAND = "clipcli classify photos --labels labels.txt --model tiny --report photos.html"
COLUMNS = 90
REVIEW = "clipcli review predictions.csv --html review.html"
# The window of the browser, the part of it that is shown (left, top, right, bottom), and its width there, in pixels.
WINDOW, PART, WIDTH = (1200, 1360), (20, 725, 1180, 1338), 900
WINDOW_OF_REVIEW = (1200, 720)


def main() -> None:
    """Label the photos in a folder of their own, and draw what is printed and the page."""
    with tempfile.TemporaryDirectory() as folder:
        runpy.run_path(str(EXAMPLES / "demo_photos.py"))["main"](Path(folder) / "photos")
        shutil.copy(EXAMPLES / "demo-labels.txt", Path(folder) / "labels.txt")
        terminal(Path(folder), HERE / "terminal.svg")
        page(Path(folder) / "photos.html", HERE / "report.png", window=WINDOW, part=PART)
        subprocess.run([sys.executable, "-m", *REVIEW.split()], cwd=folder, check=True)
        whole = (0, 0, *WINDOW_OF_REVIEW)
        page(Path(folder) / "review.html", HERE / "review.png", window=WINDOW_OF_REVIEW, part=whole)


def terminal(folder: Path, target: Path) -> None:
    """Run the command, and draw what it prints in colour."""
    environment = os.environ | {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "TTY_INTERACTIVE": "0"}
    arguments = [sys.executable, "-m", *COMMAND.split()]
    done = subprocess.run(arguments, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, check=True)
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        console.print(Text(f"$ {COMMAND}", style="bold"))
        console.print(Text.from_ansi(done.stderr.rstrip()))
    # Without the fonts that would be fetched.
    drawn = re.sub(r"@font-face {.*?}\s*", "", console.export_svg(title="clipcli"), flags=re.DOTALL)
    target.write_text(drawn, encoding="utf-8")


def page(path: Path, target: Path, *, window: tuple[int, int], part: tuple[int, int, int, int]) -> None:
    """Draw the page as a browser shows it, with few colours, so that the picture is small."""
    shot = path.with_suffix(".png")
    size = f"--window-size={window[0]},{window[1]}"
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", size, f"--screenshot={shot}"]
    subprocess.run(["chromium", *flags, path.as_uri()], check=True, capture_output=True)
    image = Image.open(shot).convert("RGB").crop(part)
    image.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    image.quantize(128).save(target, optimize=True)


if __name__ == "__main__":
    main()
