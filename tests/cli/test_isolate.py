"""`--isolate` and runs that a decoder has ended: rows of other images stay as they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clipcli.images.in_hand import note_path

from .conftest import Run

# Run by a process of its own, in which the decoders are that end it.
DIES = "import odd_decoders, sys; from clipcli.cli import main; main(sys.argv[1:])"


pytestmark = pytest.mark.usefixtures("workers")


def test_rows_are_those_of_a_run_without(run: Run, photos: Path, labels: Path, model: str) -> None:
    common = ("classify", photos, "--labels", labels, "--model", model, "--no-cache", "--batch-size", 4, "--quiet")
    assert run(*common, "-o", "plain.csv").code == 0
    for n, kind in enumerate(("SEGFAULT", "HANGHANG", "nonsense")):
        (photos / f"c{n}.jpg").write_text(kind)
    done = run(*common, "-o", "apart.csv", "--isolate", "--decode-timeout", 2, "--report", "page.html")
    assert done.code == 3
    rows = Path("apart.csv").read_text().splitlines()
    bad = [row for row in rows if "/c" in row and "webp" not in row]
    assert [row for row in rows if row not in bad] == Path("plain.csv").read_text().splitlines()
    assert [row.rpartition(",")[2].strip('"') for row in bad] == [
        " a fault in its code",
        " and given up",
        "not an image",
    ]
    assert Path("page.html").read_text().count("data:image/jpeg;base64,") == 6


def test_a_run_that_a_decoder_has_ended_says_so_and_goes_on(run: Run, photos: Path, labels: Path, model: str) -> None:
    (photos / "c-worse.jpg").write_text("SEGFAULT")
    common = ["classify", str(photos), "--labels", str(labels), "--model", model, "--no-cache", "-o", "rows.csv"]
    common += ["--batch-size", "2", "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    died = subprocess.run([sys.executable, "-c", DIES, *common], env=environment, capture_output=True, check=False)
    assert died.returncode == -signal.SIGSEGV
    assert note_path(Path("rows.csv")).exists()
    done = run(*common, "--resume")
    assert done.code == 3
    assert (
        f"the run before was ended from outside, or by a decoder, while it decoded {photos / 'c-worse.jpg'}; this one "
        "decodes in worker processes, as with --isolate"
    ) in " ".join(done.err.split())
    assert not note_path(Path("rows.csv")).exists()
    rows = Path("rows.csv").read_text()
    assert [line.split(",")[0].rpartition("/")[2] for line in rows.splitlines()[1:]] == [
        *("a.jpg", "b.png", "c-worse.jpg", "c.webp", "d.jpg", "e.bmp", "f.jpg")
    ]
    assert 'c-worse.jpg,,,"its decoder died by SIGSEGV, a fault in its code"' in rows
    assert run(*common, "--overwrite", "--isolate", "-q").code == 3
    assert Path("rows.csv").read_text() == rows


def test_a_run_in_order_leaves_no_note(run: Run, photos: Path, labels: Path, model: str) -> None:
    assert run("classify", photos, "--labels", labels, "--model", model, "-q").code == 0
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == [
        *("labels.txt", "predictions.csv", "predictions.csv.json")
    ]


def test_a_memory_without_a_unit_is_refused(run: Run, photos: Path, labels: Path, model: str) -> None:
    done = run("classify", photos, "--labels", labels, "--model", model, "--decode-memory", "5", "-q")
    assert (done.code, done.err) == (
        2,
        "clipcli: a memory of '5' has no unit; write it as in 5MB or 5GB\n",
    )
