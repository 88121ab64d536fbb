"""The report of a run says what the run's files say, however few of them there are."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from clipcli.commands.train.report import write_report
from clipcli.errors import InputNotFound

START = {
    "kind": "start",
    "time": "2026-01-01T10:00:00",
    "model": "tiny",
    "pairs": 3068,
    "parameters": 13_700_000,
    "trained_parameters": 120_000,
    "runtime": "on cpu in bf16 (the processor has it)",
}
END = {
    "kind": "end",
    "time": "2026-01-01T11:00:00",
    "step": 40,
    "seconds": 3725.0,
    "skipped": 61,
    "truncated_captions": 12,
    "kept_step": 20,
    "kept": "Kept: step 20 of 40, the best by zero-shot top-1: 73.4%; the start had 31.0%.",
    "worse": False,
    "loss": 1.125,
}


def step(n: int, **values: Any) -> dict[str, Any]:
    measured = {"loss": 4 - n / 20, "lr": 1e-4, "logit_scale": 14.3, "grad_norm": 1.2, "memory_mb": 900.0}
    return {"kind": "step", "step": n, "images_per_second": 200.0 + n, "seconds": n / 2, **measured, **values}


def validation(n: int, top1: float, **values: Any) -> dict[str, Any]:
    return {"kind": "validation", "step": n, "zero_shot_top1": top1, **values}


def mix(alpha: float, validation: float | None, retention: float | None, *, chosen: bool = False) -> dict[str, Any]:
    return {"kind": "wise_ft", "alpha": alpha, "validation": validation, "retention": retention, "chosen": chosen}


def report(run: Path, *records: dict[str, Any], after: str = "") -> str:
    """The page of a run with these metrics, without its style sheet and its script."""
    run.mkdir(exist_ok=True)
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in records) + after, encoding="utf-8")
    assert write_report(run) == run / "report.html"
    html = (run / "report.html").read_text(encoding="utf-8")
    return re.sub("<(style|script)>.*?</\\1>", "", html, flags=re.DOTALL)


def numbers(html: str) -> dict[str, tuple[str, str]]:
    """The headline: value and note by label."""
    found = re.findall(r'<dt>(.*?)</dt><dd class="value">(.*?)</dd>(?:<dd class="small">(.*?)</dd>)?', html)
    return {label: (value, note) for label, value, note in found}


def rows(html: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, its columns first."""
    section = next(part for part in html.split("<section>") if f"<h2>{heading}</h2>" in part)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", section)]


def headings(html: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", html)


def spoken(html: str) -> list[str]:
    """The description of each chart for screen readers."""
    return re.findall(r'role="img" aria-label="(.*?)"', html)


def test_the_headline_holds_the_numbers_and_their_changes(tmp_path: Path) -> None:
    steps = [step(n) for n in (10, 20, 30, 40)]
    checks = [validation(0, 0.31, retain_top1=0.22), validation(20, 0.734, retain_top1=0.2), validation(40, 0.7)]
    html = report(tmp_path / "photos", START, *checks, *steps, END)
    assert "<h1>photos · tiny</h1>" in html
    assert "3,068 pairs; 13,700,000 parameters, 120,000 of them trained; on cpu in bf16" in html
    assert "2026-01-01 10:00 to 2026-01-01 11:00" in html
    assert "Not finished" not in html
    assert numbers(html) == {
        "Final loss": ("1.125", "3.500 at first"),
        "Zero-shot top-1": ("73.4%", "of the model in this folder, +42.4 points since step 0"),
        "Retained top-1": ("20.0%", "of the model in this folder, −2.0 points since step 0"),
        "Time": ("1 h 02 min", "to step 40"),
        "Images a second": ("225", "median"),
        "Memory": ("900 MB", "at most"),
        "Skipped images": ("61", "Captions cut to the context length: 12"),
    }


def test_the_curves_are_those_there_are_numbers_for(tmp_path: Path) -> None:
    recalls = {f"{way}_recall@{k}": k / 20 for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)}
    html = report(tmp_path, step(10), validation(10, 0.5, val_loss=2.25, **recalls), step(20))
    titles = [label.partition(",")[0] for label in spoken(html)]
    expected = ["Loss", "Zero-shot", "Image to text", "Text to image"]
    assert titles == [*expected, "Learning rate", "Logit scale", "Gradient norm", "Speed", "Memory"]
    assert spoken(html)[0] == "Loss, by step: training from 3.5 to 3; validation 2.25"
    assert spoken(html)[2] == "Image to text, by step: R@1 5.0%; R@5 25.0%; R@10 50.0%"


def test_the_validation_table_marks_the_step_that_was_kept(tmp_path: Path) -> None:
    html = report(tmp_path, validation(0, 0.1), validation(20, 0.3, val_loss=2.0), validation(40, 0.2), END)
    assert rows(html, "Validation") == [
        ["step", "loss", "zero-shot top-1"],
        ["0", "", "10.0%"],
        ["20", "2.000", "30.0%"],
        ["40", "", "20.0%"],
    ]
    [marked] = re.findall(r'<tr class="marked">.*?</tr>', html)
    assert "30.0%" in marked
    assert "In bold: what was kept." in html


def verdict(html: str) -> list[str]:
    """The class of the verdict, and its sentences."""
    [(look, sentences)] = re.findall(r'<div class="(verdict.*?)">(.*?)</div>', html, flags=re.DOTALL)
    return [look, *re.findall("<p>(.*?)</p>", sentences)]


def test_what_was_kept_is_said_first(tmp_path: Path) -> None:
    html = report(tmp_path, START, validation(0, 0.31), validation(20, 0.734), validation(40, 0.7), END)
    assert verdict(html) == ["verdict", END["kept"]]
    assert html.index("verdict") < html.index("numbers")


def test_a_start_that_was_kept_is_said_in_red_and_marked(tmp_path: Path) -> None:
    kept = "Training made nothing better: kept is the start."
    end = END | {"kept_step": 0, "kept": kept, "worse": True, "metrics": {"zero_shot_top1": 0.31}}
    html = report(tmp_path, START, validation(0, 0.31), validation(20, 0.25), end)
    assert verdict(html) == ["verdict bad", kept]
    assert numbers(html)["Zero-shot top-1"] == ("31.0%", "of the model in this folder")
    [marked] = re.findall(r'<tr class="marked">.*?</tr>', html)
    assert "31.0%" in marked


@pytest.mark.parametrize(
    ("top1", "said"),
    [
        ([0.1, 0.3, 0.2], "The best so far is step 10, by zero-shot top-1: 30.0%; the start had 10.0%."),
        (
            [0.4, 0.3, 0.2],
            "So far no step is better than the start, by zero-shot top-1: 40.0%; the best, 10, has 30.0%.",
        ),
    ],
)
def test_a_run_that_has_not_ended_names_the_best_step_so_far(tmp_path: Path, top1: list[float], said: str) -> None:
    checks = [validation(10 * n, share) for n, share in enumerate(top1)]
    assert verdict(report(tmp_path, START, step(20), *checks)) == ["verdict", said]


def test_without_an_end_the_last_validation_counts(tmp_path: Path) -> None:
    html = report(tmp_path, step(10), validation(0, 0.1), validation(10, 0.3))
    assert numbers(html)["Zero-shot top-1"] == ("30.0%", "at step 10, +20.0 points since step 0")
    assert 'class="marked"' not in html


def test_the_headline_is_of_the_model_that_was_kept(tmp_path: Path) -> None:
    end = END | {"metrics": {"zero_shot_top1": 0.25, "retain_top1": 0.21}}
    html = report(tmp_path, validation(0, 0.1, retain_top1=0.22), validation(20, 0.3, retain_top1=0.02), end)
    assert numbers(html)["Zero-shot top-1"] == ("25.0%", "of the model in this folder, +15.0 points since step 0")
    assert numbers(html)["Retained top-1"] == ("21.0%", "of the model in this folder, −1.0 points since step 0")


def test_the_sweep_is_a_table_and_a_curve(tmp_path: Path) -> None:
    html = report(tmp_path, step(1), mix(0, 0.3, 0.2), mix(0.5, 0.61, 0.18, chosen=True), mix(1, 0.6, None), END)
    assert rows(html, "WiSE-FT")[1:] == [["0", "30.0%", "20.0%"], ["0.5", "61.0%", "18.0%"], ["1", "60.0%", ""]]
    assert "WiSE-FT, by retention: α 0: 20.0%, 30.0%; α 0.5: 18.0%, 61.0%" in spoken(html)
    assert "61.0%" in re.findall(r'<tr class="marked">.*?</tr>', html)[0]


def test_a_sweep_without_retention_has_no_curve(tmp_path: Path) -> None:
    html = report(tmp_path, step(1), mix(0, 0.3, None), mix(1, 0.6, None))
    assert rows(html, "WiSE-FT")[1:] == [["0", "30.0%", ""], ["1", "60.0%", ""]]
    assert not any(label.startswith("WiSE-FT") for label in spoken(html))


def test_a_run_of_one_step_has_a_report(tmp_path: Path) -> None:
    html = report(tmp_path, START, step(1))
    assert numbers(html)["Final loss"] == ("3.950", "")
    assert numbers(html)["Time"] == ("0.5 s", "to step 1")
    assert "Not finished: the last step here is 1." in html
    assert headings(html) == ["Quality", "Optimisation"]


@pytest.mark.parametrize("records", [(), (START,)], ids=["nothing", "start"])
def test_a_run_that_has_only_begun_has_a_report(tmp_path: Path, records: tuple[dict[str, Any], ...]) -> None:
    html = report(tmp_path, *records)
    assert "Not finished: the last step here is 0." in html
    assert (headings(html), numbers(html)) == ([], {})


def test_a_line_that_was_cut_off_at_the_end_is_ignored(tmp_path: Path) -> None:
    whole = report(tmp_path, START, step(10), step(20))
    assert report(tmp_path, START, step(10), step(20), after='{"kind":"step","step":30,"lo') == whole
    assert report(tmp_path, START, step(10), after=json.dumps(step(20))) == whole


def test_lines_that_cannot_be_read_amid_others_are_counted(tmp_path: Path) -> None:
    html = report(tmp_path, step(10), after='{"kind":"step","st\n[1]\n\n' + json.dumps(step(20)) + "\n")
    assert "could not be read and are left out: 2" in html
    assert "the last step here is 20" in html


def test_a_step_that_was_done_again_counts_once(tmp_path: Path) -> None:
    html = report(tmp_path, START, step(10), step(20, loss=9.0), END, START, step(20, loss=2.5), step(30, loss=2.0))
    assert spoken(html)[0] == "Loss, by step: training from 3.5 to 2"
    assert numbers(html)["Final loss"] == ("2.000", "3.500 at first")
    assert "Not finished: the last step here is 30." in html


def test_a_loss_that_is_no_number_any_more_is_shown_as_such(tmp_path: Path) -> None:
    html = report(tmp_path, step(10), step(20, loss=float("nan"), grad_norm=None))
    assert numbers(html)["Final loss"][0] == "nan"


def test_hostile_names_are_text(tmp_path: Path) -> None:
    (tmp_path / "skipped.csv").write_text('path,reason\n<img src=x onerror=alert(1)>.jpg,"a, <b>b</b>"\n')
    (tmp_path / "train.yaml").write_text("model: <script>alert(1)</script>\n  indented\n")
    html = report(tmp_path, {**START, "model": "</title><script>", "runtime": "<i>"}, step(1))
    assert not re.search(r"<(img|script|b|i)\b", html)
    assert [unescape(cell) for cell in rows(html, "Skipped images")[1]] == [
        "<img src=x onerror=alert(1)>.jpg",
        "a, <b>b</b>",
    ]
    assert "model: <script>alert(1)</script>\n  indented\n</pre>" in unescape(html)


def test_the_first_fifty_skipped_files_are_named(tmp_path: Path) -> None:
    lines = [b"path,reason", *(b"%d.jpg,empty" % n for n in range(61)), b""]
    (tmp_path / "skipped.csv").write_bytes(b"\n".join(lines).replace(b"\n7.jpg", b"\n\xff.jpg"))
    html = report(tmp_path, step(1))
    names = [path for path, _ in rows(html, "Skipped images")[1:]]
    assert names == [f"{n}.jpg" if n != 7 else r"\xff.jpg" for n in range(50)]
    assert "And 11 more in skipped.csv." in html


def test_nobody_skipped_is_no_section(tmp_path: Path) -> None:
    (tmp_path / "skipped.csv").write_text("path,reason\n")
    assert "Skipped images" not in headings(report(tmp_path, step(1)))


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    records = (START, step(10), validation(10, 0.5), mix(0, 0.3, 0.2), mix(1, 0.6, 0.1), END)
    assert report(tmp_path, *records) == report(tmp_path, *records)


def test_a_folder_without_metrics_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=re.escape("no metrics.jsonl in")):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
