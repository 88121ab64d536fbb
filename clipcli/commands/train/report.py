"""The report of a training run: one HTML page with the metrics, charts, skipped images and settings of its folder."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli.commands.train.config_file import CONFIG_FILE
from clipcli.commands.train.examples import examples_section
from clipcli.commands.train.kept import best_so_far, is_better
from clipcli.commands.train.run_folder import METRICS_FILE, SKIPPED_FILE
from clipcli.commands.train.run_lines import Line, RunLines, number, read_lines, read_text, values
from clipcli.commands.train.validation import headline
from clipcli.data.tables.formulas import original_records
from clipcli.report import Charts, Code, Headline, Number, Page, Section, Table, Verdict, write_page
from clipcli.report.line_charts import Point, lines, trade_off

REPORT_FILE = "report.html"

# The metrics of a validation, in the order of the table; all but the loss are shares.
_TRAINED = {
    "zero_shot_top1": "zero-shot top-1",
    "zero_shot_top5": "zero-shot top-5",
    **{f"image_to_text_recall@{k}": f"image → text R@{k}" for k in (1, 5, 10)},
    **{f"text_to_image_recall@{k}": f"text → image R@{k}" for k in (1, 5, 10)},
}
_RETAINED = {
    f"retain_{key.removeprefix('zero_shot_')}": name.removeprefix("zero-shot ") for key, name in _TRAINED.items()
}
METRICS = {"val_loss": "loss", **_TRAINED, **{key: f"retained {name}" for key, name in _RETAINED.items()}}
_IN_HEADLINE = ("zero_shot_top1", "image_to_text_recall@1", "text_to_image_recall@1", "retain_top1")
_SKIPPED_SHOWN = 50


@dataclass(frozen=True, slots=True)
class _Chart:
    """A chart of metrics over the steps: the metric of each curve by the name of the curve."""

    title: str
    y_label: str
    metrics: dict[str, str]
    percent: bool = False
    log_y: bool = False


_QUALITY = (
    _Chart("Loss", "loss", {"training": "loss", "validation": "val_loss"}),
    _Chart("Zero-shot", "share of images", {"top-1": "zero_shot_top1", "top-5": "zero_shot_top5"}, percent=True),
    *(
        _Chart(title, "recall", {f"R@{k}": f"{key}_recall@{k}" for k in (1, 5, 10)}, percent=True)
        for title, key in (("Image to text", "image_to_text"), ("Text to image", "text_to_image"))
    ),
    # Recall at 1 only: six curves would hide each other.
    _Chart(
        "Retention",
        "share",
        {name: key for key, name in _RETAINED.items() if "top" in key or key.endswith("@1")},
        percent=True,
    ),
)
_OPTIMISATION = (
    _Chart("Learning rate", "learning rate", {"": "lr"}),
    _Chart("Logit scale", "1 / temperature", {"": "logit_scale"}),
    _Chart("Gradient norm", "before clipping", {"": "grad_norm"}, log_y=True),
    _Chart("Speed", "images a second", {"": "images_per_second"}),
    _Chart("Memory", "MB", {"": "memory_mb"}),
)


def write_report(run: Path) -> Path:
    """Write `report.html` in the folder of a run, finished or not. Returns its path.

    Raises `InputNotFound` where the folder has no metrics, and `OutputFailed`.
    """
    metrics = read_lines(run / METRICS_FILE)
    sections: list[Section] = [
        *_verdict(metrics),
        *_headline(metrics),
        *_charts_section("Quality", [*_charts(_QUALITY, run=metrics), *_trade_off(metrics)]),
        *examples_section(run),
        *_validations(metrics),
        *_sweep(metrics),
        *_charts_section("How it was chosen", _choice(metrics)),
        *_charts_section("Optimisation", _charts(_OPTIMISATION, run=metrics)),
        *_skipped(run),
        *_configuration(run),
    ]
    title = " · ".join(name for name in (run.resolve().name, metrics.start.get("model")) if isinstance(name, str))
    target = run / REPORT_FILE
    write_page(target, Page(title, _subtitle(metrics), sections))
    return target


def _subtitle(run: RunLines) -> str:
    """The size of the data and the model, when the run was, and what is missing of it."""
    parameters, trained = number(run.start, "parameters"), number(run.start, "trained_parameters")
    facts = []
    if (pairs := number(run.start, "pairs")) is not None:
        facts.append(f"{pairs:,} pairs")
    if parameters is not None:
        which = (
            "" if trained is None else ", all trained" if trained == parameters else f", {trained:,} of them trained"
        )
        facts.append(f"{parameters:,} parameters{which}")
    before, after = number(run.look, "before"), number(run.look, "after")
    if before is not None and after is not None:
        facts.append(f"at a first look {before:.1%} right by the texts, {after:.1%} by a linear classifier")
    facts += [run.start["runtime"]] if isinstance(run.start.get("runtime"), str) else []
    sentences = ["; ".join(facts)] if facts else []
    times = [str(line["time"])[:16].replace("T", " ") for line in (run.start, run.end) if line.get("time")]
    sentences += [" to ".join(times)] if times else []
    if not run.end:
        last = run.steps[-1]["step"] if run.steps else 0
        sentences.append(f"Not finished: the last step here is {last:,}")
    if run.collapses:
        what = (
            "were all alike: it had collapsed"
            if run.collapses[-1].get("collapsed")
            else "differed again after a collapse"
        )
        sentences.append(f"At step {run.collapses[-1]['step']:,} the embeddings of a batch {what}")
    if run.unread:
        sentences.append(f"Lines of {METRICS_FILE} that could not be read and are left out: {run.unread:,}")
    return ". ".join(sentences) + "."


def _verdict(run: RunLines) -> list[Section]:
    """What was kept and why, or of a run that has not ended the best step so far."""
    if isinstance(run.end.get("kept"), str):
        told = [run.end[key] for key in ("kept", "verdict") if isinstance(run.end.get(key), str) and run.end[key]]
        return [Verdict(told, bad=run.end.get("worse") is True)]
    before = [line for line in run.validations if line["step"] == 0]
    best: Line = {}
    for line in run.validations:
        if line["step"] > 0 and headline(line) is not None and is_better(line, best):
            best = line
    sentence = best_so_far(best.get("step"), metrics=best, start=before[0] if before else {})
    return [Verdict([sentence])] if sentence else []


def _headline(run: RunLines) -> list[Section]:
    numbers = [*_quality_numbers(run), *_cost_numbers(run)]
    return [Headline(numbers)] if numbers else []


def _quality_numbers(run: RunLines) -> list[Number]:
    """The final loss, and the main metrics of the model in the folder, with their change since step 0."""
    losses = values(run.steps, "loss")
    final = number(run.end, "loss")
    numbers = []
    if losses or final is not None:
        first = f"{losses[0]:.3f} at first" if len(losses) > 1 else None
        numbers.append(Number("Final loss", f"{losses[-1] if final is None else final:.3f}", first))
    if not run.validations:
        return numbers
    kept, final_metrics = _kept(run), run.end.get("metrics")
    shown = run.validations[-1 if kept is None else kept]
    before = run.validations[0] if run.validations[0]["step"] == 0 and shown["step"] > 0 else {}
    # The model in the folder may be a mix, with metrics of its own.
    model: Line = final_metrics if isinstance(final_metrics, dict) and final_metrics else shown
    for key in _IN_HEADLINE:
        value, value_before = number(model, key), number(before, key)
        if value is not None:
            note = "of the model in this folder" if run.end else f"at step {shown['step']:,}"
            if value_before is not None:
                note += f", {_change(value - value_before)}"
            numbers.append(Number(f"{METRICS[key][0].upper()}{METRICS[key][1:]}", f"{value:.1%}", note))
    return numbers


def _kept(run: RunLines) -> int | None:
    """The index of the kept step among the validations; `None` for a mix, and where there is none of that step."""
    steps = [line["step"] for line in run.validations]
    kept = run.end.get("kept_step")
    return steps.index(kept) if kept in steps else None


def _change(difference: float) -> str:
    points = f"{100 * difference:+.1f}".replace("-", "−")
    return f"{points} points since step 0"


def _cost_numbers(run: RunLines) -> list[Number]:
    """Time, speed and memory, and the skipped images."""
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


def _charts_section(heading: str, charts: Sequence[str]) -> list[Section]:
    return [Charts(heading, charts)] if charts else []


def _charts(charts: Sequence[_Chart], *, run: RunLines) -> list[str]:
    """The charts as SVG, without those that have no values."""
    drawn: list[str] = []
    for chart in charts:
        series = {}
        for name, key in chart.metrics.items():
            found = [line for line in (*run.steps, *run.validations) if number(line, key) is not None]
            if found:
                series[name] = ([line["step"] for line in found], values(found, key))
        if series:
            look = {"percent": chart.percent, "log_y": chart.log_y}
            drawn.append(lines(series, title=chart.title, x_label="step", y_label=chart.y_label, **look))
    return drawn


def _trade_off(run: RunLines) -> list[str]:
    """A chart of validation against retention for the mixes of WiSE-FT, where at least two of them have both."""
    both = [line for line in run.sweep if len(values([line], "validation") + values([line], "retention")) == 2]
    if len(both) < 2:
        return []
    points = [Point(f"α {line['alpha']:g}", line["retention"], line["validation"]) for line in both]
    marked = _chosen(both)
    return [trade_off(points, title="WiSE-FT", x_label="retention", y_label="validation", marked=marked)]


def _choice(run: RunLines) -> list[str]:
    """A chart of the range test that the rate was chosen by."""
    rates = [math.log10(rate) for rate in values(run.rates, "lr") if rate > 0]
    if not rates:
        return []
    curve = {"": (rates, values(run.rates, "loss"))}
    return [lines(curve, title="Range test", x_label="learning rate, as a power of ten", y_label="mean loss")]


def _chosen(sweep: Sequence[Line]) -> int | None:
    """The index of the mix that was kept."""
    return next((n for n, line in enumerate(sweep) if line.get("chosen") is True), None)


def _validations(run: RunLines) -> list[Section]:
    metrics = [key for key in METRICS if values(run.validations, key)]
    if not metrics:
        return []
    rows = [(f"{line['step']:,}", *(_cell(line, key) for key in metrics)) for line in run.validations]
    columns = ("step", *(METRICS[key] for key in metrics))
    kept = _kept(run)
    note = "R@k: the share whose right partner is among the k nearest."
    note = note if any("R@" in column for column in columns) else ""
    if kept is not None:
        note = f"In bold: what was kept. Step 0 is the start. {note}".strip()
    return [Table("Validation", columns, rows, note or None, text_columns=0, marked=kept)]


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
    records = original_records(csv.reader(io.StringIO(read_text(run / SKIPPED_FILE) or "")))
    rows = [(*record, None)[:2] for record in records if record][1:]
    more = len(rows) - _SKIPPED_SHOWN
    note = f"And {more:,} more in {SKIPPED_FILE}." if more > 0 else None
    return [Table("Skipped images", ("path", "reason"), rows[:_SKIPPED_SHOWN], note, text_columns=2)] if rows else []


def _configuration(run: Path) -> list[Section]:
    text = read_text(run / CONFIG_FILE)
    return [] if text is None else [Code("Configuration", text)]
