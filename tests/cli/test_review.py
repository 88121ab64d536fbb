"""`clipcli review`: the page opens, a script or a person may end it, and the summary says what to do next."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from PIL import Image

from clipcli.cli.help import _one_by_one
from clipcli.outputs.correction import Correction
from clipcli.outputs.corrections import append_corrections

from .conftest import Done, Run

NINE = "2026-05-01T09:00:00+00:00"
ROWS = 12
NOTES = (
    "1 output has no manifest, which names the labels, predictions.csv: the labels to choose from are those that its"
    " rows have\n"
    "The cache has no embeddings of the photos: they are spread by labels alone, with no look-alikes.\n"
)
TO_DO = "12 photos to review, 3 of them drawn at random. Decisions go into corrections.csv; Ctrl-C or Done on the page"


@pytest.fixture
def review(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs `clipcli review` while a browser that a function stands for does what it does."""
    Path("photos").mkdir()
    for n in range(ROWS):
        Image.new("RGB", (8, 8), (n, 0, 0)).save(f"photos/{n}.png")
    rows = "".join(f"photos/{n}.png,{'cat' if n % 2 else 'dog'},0.{90 - n},\n" for n in range(ROWS))
    Path("predictions.csv").write_text(f"path,label,score,error\n{rows}")

    def reviewed(*arguments: object, acts: Callable[[str], None], opens: bool = True) -> Done:
        def open_url(url: str) -> bool:
            Thread(target=acts, args=[url]).start()
            return opens

        monkeypatch.setattr(webbrowser, "open", open_url)
        return run("review", "predictions.csv", *arguments)

    return reviewed


def post(url: str, step: str, body: object) -> None:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    connection.request("POST", f"{place.path}{step}", json.dumps(body), {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def decide_all_and_end(url: str) -> None:
    post(url, "decide", {str(n): [n % 2] for n in range(ROWS)})
    post(url, "done", {})


def end(url: str) -> None:
    post(url, "done", {})


def interrupt(url: str) -> None:
    post(url, "decide", {"0": [], "3": [0]})
    # The main thread waits in the meantime, so that it hears of the signal.
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)


def test_the_page_says_done(review: Callable[..., Done]) -> None:
    done = review(acts=decide_all_and_end)
    assert done.code == 0
    # Standard output has the address alone, for a script.
    assert done.out.startswith("http://127.0.0.1:")
    assert done.out.count("\n") == 1
    assert done.err.startswith(f"clipcli: {NOTES}{TO_DO} ends the review.\n")
    text = Path("corrections.csv").read_text()
    assert text.startswith("path,label,reviewed_at\n")
    said = dict(line.split(",")[:2] for line in text.splitlines()[1:])
    right = sum((label == "cat") == bool(int(path[7:-4]) % 2) for path, label in said.items())
    assert len(said) == ROWS
    said_in_all = f"12 of 12 photos reviewed: {right} labels confirmed, {12 - right} corrected."
    assert f"\n{said_in_all}\nAccuracy by 3 photos drawn at random: " in done.err
    assert done.err.endswith(
        "].\ncorrections.csv: use it with clipcli classify PHOTOS --update --corrections corrections.csv\n"
        "Or learn from it: clipcli adapt --corrections corrections.csv --classifier classes.safetensors\n"
    )


def test_ctrl_c_ends_it_with_all_that_was_decided(review: Callable[..., Done]) -> None:
    done = review(acts=interrupt)
    assert done.code == 0
    assert "\nStopped.\n2 of 12 photos reviewed: " in done.err
    assert len(Path("corrections.csv").read_text().splitlines()) == 3
    again = review(acts=end)
    assert "12 photos to review, 3 of them drawn at random, 2 reviewed before. Decisions go" in again.err
    assert "\n2 of 12 photos reviewed: " in again.err


def test_without_a_decision_no_file_is_left(review: Callable[..., Done]) -> None:
    done = review(acts=end)
    assert (done.code, done.err.endswith("\nNo photo was reviewed.\n")) == (0, True)
    assert not Path("corrections.csv").exists()


def test_where_nothing_new_was_decided_no_file_is_recommended(review: Callable[..., Done]) -> None:
    append_corrections("ann.csv", [Correction("photos/1.png", ("cow",), NINE)])
    done = review("--corrections", "ann.csv", "--random", 0, acts=end)
    assert done.err.endswith("\n1 of 12 photos reviewed: 0 labels confirmed, 1 corrected.\n")


def test_without_a_browser_the_address_is_to_be_opened(review: Callable[..., Done]) -> None:
    done = review(acts=end, opens=False)
    assert "\nNo browser was found; open that address in one.\n" in done.err


def test_a_page_alone_is_written(review: Callable[..., Done]) -> None:
    append_corrections("ann.csv", [Correction("photos/1.png", ("cow",), NINE)])
    given = ("--html", "page.html", "--corrections", "ann.csv", "--random", 0)
    done = review(*given, acts=end)
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        f"clipcli: {NOTES}page.html: 12 photos to review, 1 reviewed before. Open it in a browser; it saves"
        " corrections.csv as a download.\n"
    )
    page = Path("page.html").read_text()
    assert page.count("data:image/jpeg;base64,") == ROWS
    assert "connect-src" not in page.split("</head>")[0]
    # It replaces a page, and no other file.
    assert review(*given, acts=end).code == 0
    Path("page.html").write_text("precious")
    refused = review(*given, acts=end)
    assert (refused.code, "page.html exists" in refused.err) == (2, True)
    assert Path("page.html").read_text() == "precious"


@pytest.mark.parametrize(
    ("args", "spread"),
    [
        ("p.csv --corrections a.csv b.csv c.csv", "p.csv --corrections a.csv --corrections b.csv --corrections c.csv"),
        ("--corrections a.csv p.csv", "--corrections a.csv p.csv"),
        ("--corrections a.csv p.csv b.csv", "--corrections a.csv p.csv --corrections b.csv"),
        ("--corrections a.csv --corrections b.csv p.csv", "--corrections a.csv --corrections b.csv p.csv"),
        ("--quiet p.csv --corrections a.csv b.csv -q", "--quiet p.csv --corrections a.csv --corrections b.csv -q"),
        ("--output o.csv --corrections a.csv p.csv", "--output o.csv --corrections a.csv p.csv"),
        ("p.csv --corrections a.csv --output o.csv q.csv", "p.csv --corrections a.csv --output o.csv q.csv"),
    ],
)
def test_several_files_may_be_behind_one_flag(args: str, spread: str) -> None:
    valued = {"--corrections", "--output"}
    assert _one_by_one(args.split(), valued=valued, has_own=True) == spread.split()


def test_all_files_are_behind_the_flag_of_a_command_without_arguments() -> None:
    found = _one_by_one(["--corrections", "a.csv", "b.csv"], valued={"--corrections"}, has_own=False)
    assert found == ["--corrections", "a.csv", "--corrections", "b.csv"]


def test_two_persons_files_are_given_behind_one_flag(review: Callable[..., Done]) -> None:
    append_corrections("ann.csv", [Correction("photos/1.png", ("cow",), NINE)])
    append_corrections("bob.csv", [Correction("photos/2.png", (), NINE), Correction("photos/1.png", ("cat",), NINE)])
    done = review("--corrections", "ann.csv", "bob.csv", "--random", 0, acts=end)
    assert "12 photos to review, 2 reviewed before." in done.err
    assert (
        "clipcli: 1 photo has different labels in the files of corrections; the latest review counts:\n"
        "  photos/1.png: 'cow' in ann.csv, 'cat' in bob.csv, which is the latest\n"
    ) in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--html", "page.txt"], "--html page.txt does not end in .html, and is a page; give --html page.html"),
        (["-o", "predictions.csv"], "--output predictions.csv is read by this command"),
        (["-o", "missing/c.csv"], "cannot write missing/c.csv: No such file or directory"),
        (["--corrections", "none.csv"], "cannot read none.csv: No such file or directory; check the path"),
    ],
)
def test_what_is_wrong_is_said_before_the_page(review: Callable[..., Done], arguments: list[str], message: str) -> None:
    done = review(*arguments, acts=end)
    assert (done.code in (1, 2), done.out) == (True, "")
    assert message in done.err


def test_without_predictions_it_says_what_is_missing(run: Run) -> None:
    done = run("review")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("clipcli: no PREDICTIONS were given; give the output of clipcli classify")
