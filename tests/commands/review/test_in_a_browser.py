"""The page in Chromium: 200 photos by keyboard through a reload and kills, look-alikes, several labels, no server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clipcli.commands.review.page import write_html
from clipcli.commands.review.run import Review
from clipcli.commands.review.serve import open_decisions
from clipcli.commands.review.server import ReviewServer
from clipcli.events import result_of
from clipcli.notices import Notices
from clipcli.outputs.corrections import read_corrections
from clipcli.records import Row
from clipcli.scoring.schema import Schema

from .conftest import LABELS, Written, labelled, prepared

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; tests/report/install_chromium.sh installs it"),
]
ROOT = Path(__file__).parents[3]
MANY = tuple(f"kind {name}" for name in "abcdefghijklmnop")
# A photo has one of these in place of its label, by its number: some right, some on a key, some to search, some none.
TRUTH = {n: (MANY[(n * 5) % 16] if n % 3 == 0 else MANY[n % 16] if n % 7 else None) for n in range(200)}


class Opened:
    """A page in the browser, with what it said and asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: set[str] = set()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.add(request.url))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def current(self) -> dict[str, Any]:
        """The current photo: its path, its labels, and those with keys."""
        found: dict[str, Any] = self.page.evaluate(
            "({path: photos[current].path, said: photos[current].said.map((n) => labels[n][0]),"
            " keys: photos[current].keys.map((n) => labels[n][0])})"
        )
        return found

    @property
    def count(self) -> int:
        """How many photos the page says are reviewed."""
        return int(self.page.locator("#count").inner_text().split()[0])

    def settle(self) -> None:
        """Wait until all decisions are answered."""
        self.page.evaluate("queue.then(() => null)")

    def text(self, place: str) -> str:
        found: str = self.page.locator(place).inner_text()
        return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextmanager
def opened(browser: Any, url: str, **context: Any) -> Iterator[Opened]:
    in_context = browser.new_context(**context)
    try:
        found = Opened(in_context.new_page())
        found.page.goto(url)
        yield found
    finally:
        in_context.close()


@contextmanager
def served(review: Review) -> Iterator[str]:
    with open_decisions(review, "c.csv") as decisions, ReviewServer(review, decisions) as server:
        yield server.url


def in_file(file: str = "c.csv") -> dict[str, tuple[str, ...]]:
    return {path: one.labels for path, one in read_corrections([file], Notices()).by_path.items()}


@contextmanager
def started() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`clipcli review` as a process of its own, with the address that it prints."""
    command = [sys.executable, "-m", "clipcli", "review", "predictions.csv", "--no-browser", "-o", "c.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def correct(page: Opened, *, most: int) -> int:
    """Correct so many photos by keyboard, as a person who knows them all; returns how many were left to do."""
    for done in range(most):
        photo = page.current
        number = int(photo["path"].split("/")[1][:3])
        truth = TRUTH[number]
        if truth is None:
            page.press("x")
        elif [truth] == photo["said"]:
            page.press("Enter")
        elif truth in photo["keys"]:
            page.press(str((photo["keys"].index(truth) + 1) % 10))
        else:
            # The space is a part of the name: it does not turn to the single view while a label is searched.
            page.page.keyboard.type(truth)
            page.press("Enter")
        if done % 20 == 19:
            # A step that is undone is taken again.
            page.settle()
            page.press("u")
            page.settle()
            assert page.current["path"] == photo["path"]
            page.press("x" if truth is None else "Enter" if [truth] == photo["said"] else "/")
            if truth is not None and [truth] != photo["said"]:
                page.page.keyboard.type(truth)
                page.press("Enter")
    page.settle()
    return 200 - page.count


def test_200_photos_by_keyboard_through_a_reload_and_kills(
    written: Written, browser: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    written(labelled(200, labels=MANY), labels=MANY)
    spent = 0.0
    with started() as (process, url), opened(browser, url) as page:
        began = time.monotonic()
        assert correct(page, most=60) == 140
        page.page.reload()
        assert page.count == 60
        assert correct(page, most=40) == 100
        spent += time.monotonic() - began
        # The server dies between two keys, and what the page then says is not saved is not.
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.press("x", "x")
        page.settle()
        assert page.text("#message").startswith("The server has stopped. What was reviewed so far is in c.csv; start")
        assert (page.count, len(in_file())) == (100, 100)
        asked = {one for one in page.asked if not one.startswith((url, "data:"))}
        assert asked == set()
        assert [text for text in page.said if "ERR_CONNECTION_REFUSED" not in text] == []
    with started() as (process, url):
        with opened(browser, url) as page:
            assert page.count == 100
            began = time.monotonic()
            assert correct(page, most=50) == 50
            spent += time.monotonic() - began
        # And now the browser was closed.
        with opened(browser, url) as page:
            assert page.count == 150
            began = time.monotonic()
            assert correct(page, most=50) == 0
            spent += time.monotonic() - began
            assert page.text("#message") == "All 200 photos are reviewed."
            page.page.click("#done")
            page.page.wait_for_selector(".ended")
            assert page.text("main") == ("200 of 200 photos are reviewed, and saved in c.csv. You may close this page.")
            assert page.said == []
            accuracy = page.text("#accuracy")
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(10) == 0
    truth = {f"photos/{n:03}.png": () if label is None else (label,) for n, label in TRUTH.items()}
    assert in_file() == truth
    right = sum(TRUTH[n] == MANY[n % 16] for n in range(200))
    assert f"200 of 200 photos reviewed: {right} labels confirmed, {200 - right} corrected.\n" in said
    assert "use it with clipcli classify PHOTOS --update --corrections c.csv\n" in said
    # The page and the command line give one estimate.
    [interval] = re.findall(r"Accuracy by 50 photos drawn at random: (.*)\.\n", said)
    assert accuracy == f"Accuracy {interval}, by 50 photos drawn at random"
    with capsys.disabled():
        sys.stdout.write(f"\n200 photos reviewed by a driven keyboard: {200 * 60 / spent:,.0f} a minute ")


def test_look_alikes_are_confirmed_together(written: Written, browser: Any) -> None:
    written(labelled(12))
    review = replace(prepared(random=0), alike=((1, 4, 7, 10), (2, 5, 8)))
    paths = [photo.row.path for photo in review.photos]
    said = [photo.said for photo in review.photos]
    with served(review) as url, opened(browser, url) as page:
        page.page.click("#view-alike")
        assert page.text("#view-alike") == "Look-alikes (2)"
        assert page.text(".pages p") == "Group 1 of 2: photos that look alike and have the same label"
        assert page.page.locator(".tile").count() == 4
        # One is another; the others are confirmed at once.
        page.press("ArrowRight", "x", "Shift+Enter")
        page.settle()
        assert in_file() == {paths[1]: said[1], paths[4]: (), paths[7]: said[7], paths[10]: said[10]}
        assert page.text("#message") == "3 photos: confirmed"
        assert page.text(".pages p").startswith("Group 2 of 2")
        page.press("Shift+Digit3")
        page.settle()
        assert {paths[n]: in_file()[paths[n]] for n in (2, 5, 8)} == {paths[n]: ("cow",) for n in (2, 5, 8)}
        page.press("u")
        page.settle()
        assert len(in_file()) == 4
        assert page.text("#message").startswith("Undone: 3 photos, such as ")
        page.press("Space")
        assert "Look-alikes with the same label (2)" in page.text("#photos")


def test_several_labels_are_toggled(written: Written, browser: Any) -> None:
    rows = [Row(f"{n}.png", ("cat", "dog"), (0.9, 0.6)) for n in range(3)]
    written([*rows, Row("3.png", (), ())], schema=Schema(several=True), multi_label=True)
    with served(prepared(random=0)) as url, opened(browser, url) as page:
        by_path = {}
        for keys in (["Enter"], ["2", "3", "Enter"], ["c", "o", "w", "Enter", "Enter"], ["x"]):
            by_path[page.current["path"]] = page.current["said"], keys
            page.press(*keys)
        page.settle()
        found = in_file()
    expected = {"Enter": ["Enter"], "23": ["2", "3", "Enter"], "cow": ["c", "o", "w", "Enter", "Enter"], "x": ["x"]}
    for path, (said, keys) in by_path.items():
        labels = list(said)
        for label in {"Enter": [], "23": ["dog", "cow"], "cow": ["cow"], "x": []}[
            next(name for name, one in expected.items() if one == keys)
        ]:
            labels = [one for one in labels if one != label] if label in labels else [*labels, label]
        assert set(found[path]) == (set() if keys == ["x"] else set(labels))


def test_the_last_step_is_undone_after_a_restart(written: Written, browser: Any) -> None:
    written(labelled(12))
    for count, keys in enumerate((["x"], ["Enter"]), 1):
        with served(prepared(random=0, output="c.csv")) as url, opened(browser, url) as page:
            page.press(*keys)
            page.settle()
            assert page.count == count
    with served(prepared(random=0, output="c.csv")) as url, opened(browser, url) as page:
        for count in (1, 0):
            page.press("u")
            page.settle()
            assert page.count == len(in_file()) == count
        page.press("u")
        page.settle()
        assert page.text("#message") == "There is no step to undo."


def test_on_a_phone_photos_have_most_of_the_screen(written: Written, browser: Any) -> None:
    written(labelled(60, labels=MANY), labels=MANY)
    with served(prepared()) as url, opened(browser, url, viewport={"width": 390, "height": 844}) as page:
        height = "(name) => document.querySelector(name).getBoundingClientRect().height"
        assert page.page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.page.evaluate(height, "header") < 150
        assert page.page.evaluate(height, "aside") < 200
        assert not page.page.locator("kbd >> visible=true").count()
        for _ in range(9):
            page.page.click("#keys .main")
        page.settle()
        assert page.count == 9
        # The photo that is decided about next is marked, and in sight above the keys.
        place = "document.querySelector('.tile.current').getBoundingClientRect()"
        assert page.page.evaluate(f"{place}.top >= 0 && {place}.bottom <= innerHeight - 190")
        assert page.page.evaluate("getComputedStyle(document.querySelector('.tile.current')).boxShadow") != "none"
        page.page.fill("#search", "kind p")
        assert page.text("#found") == "kind p"


def test_views_pages_and_the_mouse(written: Written, browser: Any) -> None:
    written(labelled(60))
    with served(prepared()) as url, opened(browser, url, viewport={"width": 1200, "height": 800}) as page:
        assert page.text(".pages p") == "Photos 1 to 24 of 60, the most doubtful first"
        assert page.page.locator(".badge").count() == 6
        page.press("PageDown")
        assert page.text(".pages p").startswith("Photos 25 to 48")
        page.page.locator(".tile").nth(2).click()
        page.page.get_by_role("button", name="x none of these labels").click()
        page.settle()
        assert list(in_file().values()) == [()]
        page.page.locator(".tile").nth(5).dblclick()
        assert page.text(".pages p") == "Photo 30 of 60"
        image = "document.querySelector('.single img')"
        assert page.page.evaluate(f"{image}.decode().then(() => {image}.naturalWidth)") == 24
        page.press("ArrowLeft", "ArrowLeft", "Enter")
        page.settle()
        assert page.text(".pages p") == "Photo 29 of 60"
        page.press("Space", "/")
        page.page.keyboard.type("zebra")
        assert page.text("#found") == "No label has “zebra”."
        page.press("Escape", "Shift+Enter")
        page.settle()
        assert page.count == 24
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.page.set_viewport_size({"width": 420, "height": 800})
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.said == []


def test_a_photo_that_cannot_be_read_is_told(written: Written, browser: Any) -> None:
    written(labelled(4))
    Path("photos/003.png").unlink()
    with served(prepared(random=0)) as url, opened(browser, url) as page:
        page.page.wait_for_selector(".gone")
        assert page.text(".gone") == "This photo cannot be read."


def test_a_page_alone_keeps_decisions_and_saves_them(written: Written, browser: Any, tmp_path: Path) -> None:
    odd = 'odd "one", \udcff.png'
    # Not a name that JSON or a browser would leave as it is.
    written([*labelled(5), Row(odd, ("dog",), (0.99,))])
    result_of(write_html(prepared(random=0), "page.html"))
    with opened(browser, (tmp_path / "page.html").as_uri(), accept_downloads=True) as page:
        paths = [photo.row.path for photo in prepared(random=0).photos]
        page.press("x", "Enter")
        page.settle()
        page.page.on("dialog", lambda dialog: dialog.accept())
        page.page.reload()
        assert page.count == 2
        page.press("1", "1", "1", "2", "u", "3")
        page.settle()
        with page.page.expect_download() as download:
            page.page.click("#done")
        assert download.value.suggested_filename == "corrections.csv"
        download.value.save_as(tmp_path / "saved.csv")
        assert page.text("#message") == "corrections.csv was saved, with 6 decisions."
        assert {one.split(":")[0] for one in page.asked} <= {"file", "data", "blob"}
        assert page.said == []
    expected = [(), prepared(random=0).photos[1].said, ("cat",), ("cat",), ("cat",), ("cow",)]
    assert in_file("saved.csv") == dict(zip(paths, expected, strict=True))
    assert odd in in_file("saved.csv")
    again = prepared(random=0, corrections=["saved.csv"])
    assert len(again.said) == 6


def test_several_labels_are_saved_by_a_page_alone(written: Written, browser: Any, tmp_path: Path) -> None:
    labels = ("red; or so", 'the "best"', "cow")
    written([Row("a.png", labels[:2], (0.9, 0.8))], schema=Schema(several=True), labels=labels, multi_label=True)
    result_of(write_html(prepared(), "page.html"))
    with opened(browser, (tmp_path / "page.html").as_uri(), accept_downloads=True) as page:
        page.press("3", "Enter")
        page.settle()
        with page.page.expect_download() as download:
            page.page.click("#done")
        download.value.save_as(tmp_path / "saved.csv")
    assert in_file("saved.csv") == {"a.png": labels}
    assert LABELS[2] == labels[2]
