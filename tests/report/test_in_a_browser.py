"""Pages in Chromium: no console message, no request, nothing too wide, and tables and filters that work."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipcli.report import Bar, Charts, Gallery, Group, Headline, Number, Page, Table, Thumbnail, Verdict, write_page
from clipcli.report.accuracy_charts import Interval, confusion_matrix, forest_plot, reliability_diagram

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; tests/report/install_chromium.sh installs it"),
]
NAME = "a rather_long_name_without_any_place_to_break_it_at_in_a_table <script>alert(1)</script>"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="[^"]*">')
LOGGING = "<script>console.warn('here')</script>"
ADDRESS = "http://127.0.0.1:9/a.png"
# What a user does, after the page's own script: clicks a column twice, sets the filters, and reads the page.
ACTIONS = """
const seen = {wide: document.documentElement.scrollWidth > window.innerWidth};
seen.dark = getComputedStyle(document.body).backgroundColor;
const head = document.querySelectorAll("table[data-sortable] th")[1].querySelector("button");
const rows = () => [...document.querySelectorAll("table[data-sortable] tbody tr")];
const column = () => rows().map((row) => row.cells[1].innerText);
head.click(); seen.descending = column();
head.click(); seen.ascending = column();
const filters = document.querySelector(".filters");
const figures = [...document.querySelectorAll(".filters ~ div figure")];
const shown = () => figures.filter((one) => one.checkVisibility()).length;
const set = (query, value) => {
  const input = filters.querySelector(query); input.value = value;
  input.dispatchEvent(new Event("input", {bubbles: true})); return [shown(), filters.querySelector("output").value];
};
seen.all = shown();
seen.low = set("[data-to]", "0.5"); set("[data-to]", "");
seen.high = set("[data-from]", "0.5"); set("[data-from]", "");
seen.label = set("select", "1"); set("select", "");
seen.path = set("[type=search]", "CAT 1.JPG");
document.title = JSON.stringify(seen);
"""


def picture() -> str:
    stream = io.BytesIO()
    Image.new("RGB", (96, 64), "teal").save(stream, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a section of every kind."""
    photos = [Thumbnail(picture(), f"0.{n}", f"cat {n}.jpg", n / 10) for n in range(10)]
    rows = [("cat", Bar("9%", 0.09), "1,200"), (NAME, Bar("100%", 1), "9"), ("cow", None, "30")]
    charts = [
        confusion_matrix(np.array([[7, 3], [1, 9]]), [NAME, "cat"], title="T", x_label="x", y_label="y"),
        reliability_diagram([(0.2, 0.4, 0.3, 0.25)], title="T", x_label="x", y_label="y"),
        forest_plot([Interval(NAME, 0.1, 0.0, 0.2)], title="T", x_label="points"),
    ]
    sections = [
        Verdict([f"2 of 3 right: {NAME}."], bad=True),
        Headline([Number("Top-1", "73.4%", "of all")]),
        Charts("Charts", charts, large=True),
        Table("Table", ("class", "recall", "images"), rows),
        Gallery("Photos", [Group(photos, "cat", "10"), Group([Thumbnail(None, "gone", NAME)], NAME)], filtered=True),
    ]
    path = tmp_path_factory.mktemp("pages") / "page.html"
    write_page(path, Page(NAME, "subtitle", sections))
    return path


def visit(page: Path, folder: Path, *, width: int, dark: bool) -> tuple[str, list[str], list[str]]:
    """The page as the browser has it in the end, the console's messages, and the addresses that it asked for."""
    log = folder / "net.json"
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", scheme, f"--window-size={width},900"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-extensions"]
    command += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--v=0", f"--log-net-log={log}"]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=300)
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    events = json.loads(log.read_text(encoding="utf-8"))["events"]
    started = [event["params"] for event in events if "initiator" in event.get("params", {})]
    # The browser's own requests have no page for an origin.
    asked = {params["url"] for params in started if params["initiator"] != "not an origin"}
    return done.stdout, messages, sorted(asked)


@pytest.mark.parametrize(("width", "dark"), [(420, True), (1600, False)])
def test_a_page_is_whole_in_a_browser(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    html = page.read_text(encoding="utf-8")
    used = tmp_path / "used.html"
    used.write_text(POLICY.sub("", html).replace("</body>", f"<script>{ACTIONS}</script></body>"), encoding="utf-8")
    dom, messages, _ = visit(used, tmp_path, width=width, dark=dark)
    assert messages == []
    [title] = re.findall("<title>(.*?)</title>", dom)
    seen: dict[str, Any] = json.loads(title)
    assert seen["wide"] is False
    assert seen["dark"] == ("rgb(18, 20, 23)" if dark else "rgb(246, 246, 244)")
    assert [cell.split("%")[0] for cell in seen["descending"]] == ["100", "9", ""]
    assert [cell.split("%")[0] for cell in seen["ascending"]] == ["9", "100", ""]
    assert (seen["all"], seen["low"], seen["high"]) == (11, [6, "6 shown"], [5, "5 shown"])
    assert (seen["label"], seen["path"]) == ([1, "1 shown"], [1, "1 shown"])


def test_a_page_runs_its_own_script_says_nothing_and_asks_for_nothing(page: Path, tmp_path: Path) -> None:
    dom, messages, asked = visit(page, tmp_path, width=1600, dark=False)
    assert messages == []
    assert "<output>11 shown</output>" in dom
    assert asked == []


def test_a_request_and_a_message_would_be_seen(page: Path, tmp_path: Path) -> None:
    used = tmp_path / "used.html"
    html = page.read_text(encoding="utf-8")
    used.write_text(POLICY.sub("", html).replace("</body>", f'<img src="{ADDRESS}">{LOGGING}</body>'), encoding="utf-8")
    _, messages, asked = visit(used, tmp_path, width=1600, dark=False)
    assert (asked, len(messages)) == ([ADDRESS], 1)
