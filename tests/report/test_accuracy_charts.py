"""Reliability diagrams and confusion matrices are drawn from their numbers, and names in them are text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np

from clipcli.report.accuracy_charts import Interval, confusion_map, confusion_matrix, forest_plot, reliability_diagram

LABELS = {"title": "T", "x_label": "x", "y_label": "y"}


def test_a_reliability_diagram_says_its_bins() -> None:
    bins = [(0.2, 0.4, 0.3, 0.25), (0.8, 1.0, 0.9, 0.5)]
    drawn = reliability_diagram(bins, **LABELS)
    spoken = ElementTree.fromstring(drawn).attrib["aria-label"]
    assert "scores from 20% to 40%: 25% right" in spoken
    assert "scores from 80% to 100%: 50% right" in spoken
    assert drawn == reliability_diagram(bins, **LABELS)
    assert ElementTree.fromstring(reliability_diagram([], **LABELS)).tag == "svg"


def test_a_confusion_matrix_shows_every_cell_that_is_not_empty() -> None:
    counts = np.array([[7, 3], [0, 1234]])
    drawn = confusion_matrix(counts, ["<script>alert(1)</script>", "_cat $x$"], **LABELS)
    root = ElementTree.fromstring(drawn)
    texts = ["".join(element.itertext()) for element in root.iter("text")]
    assert {"7", "3", "1,234", "_cat $x$"} <= set(texts)
    assert "0" not in texts
    assert "<script" not in drawn
    assert "_cat $x$: 1,234 of 1,234 right" in root.attrib["aria-label"]
    assert "max-width" in root.attrib["style"]


def test_many_classes_have_no_numbers_and_a_class_without_images_has_no_shade() -> None:
    counts = np.eye(50, dtype=np.int64) * 5
    counts[3] = 0
    drawn = confusion_matrix(counts, [f"class {n}" for n in range(50)], **LABELS)
    texts = ["".join(element.itertext()) for element in ElementTree.fromstring(drawn).iter("text")]
    assert "5" not in texts
    assert {"class 0", "class 49"} <= set(texts)


def test_a_map_of_many_classes_shows_mistakes_alone_and_no_label() -> None:
    counts = np.eye(150, dtype=np.int64) * 5
    counts[149, 0] = 3
    drawn = confusion_map(counts, [f"class {n}" for n in range(150)], **LABELS)
    root = ElementTree.fromstring(drawn)
    texts = {"".join(element.itertext()).strip() for element in root.iter("text")}
    assert texts == {"T", "x", "y"}
    assert root.attrib["aria-label"] == "T, by x: 3 mistakes of 753 images, among 150 classes"
    cells = [style for element in root.iter("path") if "--series-2" in (style := str(element.get("style")))]
    assert len(cells) == 1
    assert len(drawn) < 20_000
    assert ElementTree.fromstring(confusion_map(np.eye(70, dtype=np.int64), ["a"] * 70, **LABELS)).tag == "svg"


def test_a_forest_plot_tells_by_colour_what_may_be_chance() -> None:
    rows = [Interval("b − a", 0.03, 0.01, 0.05), Interval("_c − a", -0.1, -0.2, 0.01), Interval("d", -0.1, -0.2, -0.05)]
    drawn = forest_plot(rows, title="T", x_label="points")
    root = ElementTree.fromstring(drawn)
    assert root.attrib["aria-label"] == (
        "T, by points: b − a: +3.0 [+1.0, +5.0]; _c − a: -10.0 [-20.0, +1.0]; d: -10.0 [-20.0, -5.0]"
    )
    assert {"b − a", "_c − a", "d"} <= {"".join(element.itertext()) for element in root.iter("text")}
    marks = [str(element.get("style")) for element in root.iter("use")]
    used = [re.findall(r"fill: (var\(--[\w-]+)", mark)[0] for mark in marks if "fill: var(--s" in mark]
    assert used == ["var(--series-3", "var(--soft", "var(--series-2"]
