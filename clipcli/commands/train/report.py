"""The report of a training run: what its folder says, on one page, with whatever of it is there."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli.commands.train.config_file import CONFIG_FILE
from clipcli.commands.train.run_folder import METRICS_FILE, SKIPPED_FILE
from clipcli.commands.train.run_lines import Line, RunLines, number, read_lines, read_text, values
from clipcli.report import Charts, Code, Headline, Number, Page, Section, Table, write_page
from clipcli.report.line_charts import Point, lines, trade_off

REPORT_FILE = "report.html"

# What a validation may say, in the order of the table; all but the loss are fractions.
_LEARNT = {
    "zero_shot_top1": "zero-shot top-1",
    "zero_shot_top5": "zero-shot top-5",
    **{f"image_to_text_recall@{k}": f"image → text R@{k}" for k in (1, 5, 10)},
    **{f"text_to_image_recall@{k}": f"text → image R@{k}" for k in (1, 5, 10)},
}
_RETAINED = {
    f"retain_{key.removeprefix('zero_shot_')}": name.removeprefix("zero-shot ") for key, name in _LEARNT.items()
}
METRICS = {"val_loss": "loss", **_LEARNT, **{key: f"retained {name}" for key, name in _RETAINED.items()}}
_IN_HEADLINE = ("zero_shot_top1", "image_to_text_recall@1", "text_to_image_recall@1", "retain_top1")
_MOST_SKIPPED = 50


@dataclass(frozen=True, slots=True)
class _Curves:
    """A figure over the steps: the name of each curve and the metric it follows."""

    title: str
    y_label: str
    metrics: dict[str, str]
    percent: bool = False
    log_y: bool = False


_QUALITY = (
    _Curves("Loss", "loss", {"training": "loss", "validation": "val_loss"}),
    _Curves("Zero-shot", "share of images", {"top-1": "zero_shot_top1", "top-5": "zero_shot_top5"}, percent=True),
    *(
        _Curves(title, "recall", {f"R@{k}": f"{key}_recall@{k}" for k in (1, 5, 10)}, percent=True)
        for title, key in (("Image to text", "image_to_text"), ("Text to image", "text_to_image"))
    ),
    # Recall at 1 only: six curves would hide each other.
    _Curves(
        "Retention",
        "share",
        {name: key for key, name in _RETAINED.items() if "top" in key or key.endswith("@1")},
        percent=True,
    ),
)
_OPTIMISATION = (
    _Curves("Learning rate", "learning rate", {"": "lr"}),
    _Curves("Logit scale", "1 / temperature", {"": "logit_scale"}),
    _Curves("Gradient norm", "before clipping", {"": "grad_norm"}, log_y=True),
    _Curves("Speed", "images a second", {"": "images_per_second"}),
    _Curves("Memory", "MB", {"": "memory_mb"}),
)


def write_report(run: Path) -> Path:
    """Write `report.html` in a run's folder, from the metrics, the configuration and the skipped files there are.

    Raises `InputNotFound` where the folder has no metrics, and `OutputFailed`.
    """
    read = read_lines(run / METRICS_FILE)
    sections: list[Section] = [
        *_headline(read),
        *_section("Quality", [*_drawn(_QUALITY, run=read), *_trade_off(read)]),
        *_validations(read),
        *_sweep(read),
        *_section("Optimisation", _drawn(_OPTIMISATION, run=read)),
        *_skipped(run),
        *_configuration(run),
    ]
    title = " · ".join(name for name in (run.resolve().name, read.start.get("model")) if isinstance(name, str))
    target = run / REPORT_FILE
    write_page(target, Page(title, _subtitle(read), sections))
    return target


def _subtitle(run: RunLines) -> str:
    parameters, trained = number(run.start, "parameters"), number(run.start, "trained_parameters")
    facts = []
    if (pairs := number(run.start, "pairs")) is not None:
        facts.append(f"{pairs:,} pairs")
    if parameters is not None:
        some = "" if trained is None else ", all trained" if trained == parameters else f", {trained:,} of them trained"
        facts.append(f"{parameters:,} parameters{some}")
    facts += [run.start["runtime"]] if isinstance(run.start.get("runtime"), str) else []
    sentences = ["; ".join(facts)] if facts else []
    times = [str(line["time"])[:16].replace("T", " ") for line in (run.start, run.end) if line.get("time")]
    sentences += [" to ".join(times)] if times else []
    if not run.end:
        last = run.steps[-1]["step"] if run.steps else 0
        sentences.append(f"Not finished: the last step here is {last:,}")
    if run.unread:
        sentences.append(f"Lines of {METRICS_FILE} that could not be read and are left out: {run.unread:,}")
    return ". ".join(sentences) + "."


def _headline(run: RunLines) -> list[Section]:
    numbers = [*_quality_numbers(run), *_cost_numbers(run)]
    return [Headline(numbers)] if numbers else []


def _quality_numbers(run: RunLines) -> list[Number]:
    losses = values(run.steps, "loss")
    final = number(run.end, "loss")
    numbers = []
    if losses or final is not None:
        first = f"{losses[0]:.3f} at first" if len(losses) > 1 else None
        numbers.append(Number("Final loss", f"{losses[-1] if final is None else final:.3f}", first))
    if not run.validations:
        return numbers
    best, kept = _best(run), run.end.get("metrics")
    shown = run.validations[-1 if best is None else best]
    before = run.validations[0] if run.validations[0]["step"] == 0 and shown["step"] > 0 else {}
    # What is in the folder in the end may be a mix, with numbers of its own.
    model: Line = kept if isinstance(kept, dict) and kept else shown
    for key in _IN_HEADLINE:
        value, old = number(model, key), number(before, key)
        if value is not None:
            note = f"at step {shown['step']:,}" if model is shown else "of the model in this folder"
            if old is not None:
                note += f", {_change(value - old)}"
            numbers.append(Number(f"{METRICS[key][0].upper()}{METRICS[key][1:]}", f"{value:.1%}", note))
    return numbers


def _best(run: RunLines) -> int | None:
    """The index of the best step's validation, where the run has ended and says so."""
    steps = [line["step"] for line in run.validations]
    best = run.end.get("best_step")
    return steps.index(best) if best in steps else None


def _change(difference: float) -> str:
    points = f"{100 * difference:+.1f}".replace("-", "−")
    return f"{points} points since step 0"


def _cost_numbers(run: RunLines) -> list[Number]:
    numbers = []
    seconds = [*values(run.steps, "seconds"), *values([run.end], "seconds")]
    steps = [*values(run.steps, "step"), *values([run.end], "step")]
    if seconds:
        numbers.append(Number("Time", _duration(seconds[-1]), f"to step {steps[-1]:,}" if steps else None))
    if speeds := values(run.steps, "images_per_second"):
        numbers.append(Number("Images a second", f"{statistics.median(speeds):,.0f}", "median"))
    if memory := values(run.steps, "memory_mb"):
        numbers.append(Number("Memory", f"{max(memory):,.0f} MB", "at most"))
    if (skipped := number(run.end, "skipped")) is not None:
        cut = number(run.end, "truncated_captions")
        note = f"Captions cut to the context length: {cut:,}" if cut else None
        numbers.append(Number("Skipped images", f"{skipped:,}", note))
    return numbers


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _section(heading: str, figures: Sequence[str]) -> list[Section]:
    return [Charts(heading, figures)] if figures else []


def _drawn(figures: Sequence[_Curves], *, run: RunLines) -> list[str]:
    """The figures for which there is anything to draw."""
    drawn: list[str] = []
    for figure in figures:
        series = {}
        for name, key in figure.metrics.items():
            found = [line for line in (*run.steps, *run.validations) if number(line, key) is not None]
            if found:
                series[name] = ([line["step"] for line in found], values(found, key))
        if series:
            look = {"percent": figure.percent, "log_y": figure.log_y}
            drawn.append(lines(series, title=figure.title, x_label="step", y_label=figure.y_label, **look))
    return drawn


def _trade_off(run: RunLines) -> list[str]:
    """What the mixes keep against what they gained, where at least two of them say both."""
    both = [line for line in run.sweep if len(values([line], "validation") + values([line], "retention")) == 2]
    if len(both) < 2:
        return []
    points = [Point(f"α {line['alpha']:g}", line["retention"], line["validation"]) for line in both]
    marked = _chosen(both)
    return [trade_off(points, title="WiSE-FT", x_label="retention", y_label="validation", marked=marked)]


def _chosen(sweep: Sequence[Line]) -> int | None:
    return next((n for n, line in enumerate(sweep) if line.get("chosen") is True), None)


def _validations(run: RunLines) -> list[Section]:
    metrics = [key for key in METRICS if values(run.validations, key)]
    if not metrics:
        return []
    rows = [(f"{line['step']:,}", *(_cell(line, key) for key in metrics)) for line in run.validations]
    columns = ("step", *(METRICS[key] for key in metrics))
    best = _best(run)
    note = "R@k: the share whose right partner is among the k nearest."
    note = note if any("R@" in column for column in columns) else ""
    if best is not None:
        note = f"In bold: the best step, {run.validations[best]['step']:,}. {note}".strip()
    return [Table("Validation", columns, rows, note or None, text_columns=0, marked=best)]


def _cell(line: Line, key: str) -> str | None:
    value = number(line, key)
    if value is None:
        return None
    return f"{value:.3f}" if key == "val_loss" else f"{value:.1%}"


def _sweep(run: RunLines) -> list[Section]:
    if not run.sweep:
        return []
    rows = [(f"{line['alpha']:g}", _cell(line, "validation"), _cell(line, "retention")) for line in run.sweep]
    chosen = _chosen(run.sweep)
    note = "α is the share of the trained weights: 0 is the model before training."
    note += "" if chosen is None else " In bold: the mix that was kept."
    columns = ("α", "validation", "retention")
    return [Table("WiSE-FT", columns, rows, note, text_columns=0, marked=chosen)]


def _skipped(run: Path) -> list[Section]:
    rows = list(csv.DictReader(io.StringIO(read_text(run / SKIPPED_FILE) or "")))
    if not rows:
        return []
    cells = [(row.get("path"), row.get("reason")) for row in rows[:_MOST_SKIPPED]]
    more = len(rows) - len(cells)
    note = f"And {more:,} more in {SKIPPED_FILE}." if more else None
    return [Table("Skipped images", ("path", "reason"), cells, note, text_columns=2)]


def _configuration(run: Path) -> list[Section]:
    text = read_text(run / CONFIG_FILE)
    return [] if text is None else [Code("Configuration", text)]
