"""Charts of accuracy: reliability diagrams, confusion matrices, and differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clipcli.report.svg import INK, SERIES, SOFT, label_text, svg_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LONGEST_LABEL = 22
_LONGEST_ROW = 36
# The most cells of a map of many classes along a side.
_MOST_CELLS = 60
# With this many classes or more, the cells have no room for their counts.
_FEW_CELLS = 13


@dataclass(frozen=True, slots=True)
class Interval:
    """A named difference of two shares, with the ends of its interval."""

    name: str
    value: float
    low: float
    high: float


def reliability_diagram(
    bins: Sequence[tuple[float, float, float, float]], *, title: str, x_label: str, y_label: str
) -> Markup:
    """Draw a reliability diagram as an inline SVG: accuracy by score, against the diagonal of perfect calibration.

    Each bin is (lower edge, upper edge, mean score, accuracy), all from 0 to 1.
    """

    def draw(axes: Axes) -> None:
        for low, high, confidence, accuracy in bins:
            centre, width = (low + high) / 2, (high - low) * 0.92
            axes.bar(centre, accuracy, width=width, color=SERIES[0], alpha=0.75, linewidth=0)
            gap, lower = abs(confidence - accuracy), min(confidence, accuracy)
            axes.bar(centre, gap, width=width, bottom=lower, color=SERIES[1], alpha=0.3, linewidth=0)
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        ticks = [0, 0.25, 0.5, 0.75, 1]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ticks, [f"{tick:.0%}" for tick in ticks])

    spoken = "; ".join(f"scores from {low:.0%} to {high:.0%}: {right:.0%} right" for low, high, _, right in bins)
    return svg_chart(draw, title=title, x_label=x_label, y_label=y_label, spoken=spoken, size=(6.2, 5.2))


def confusion_matrix(
    counts: NDArray[np.int64], names: Sequence[str], *, title: str, x_label: str, y_label: str
) -> Markup:
    """Draw a confusion matrix of counts `[C, C]` as an inline SVG; a cell is as strong as its share of its row.

    Rows are true classes and columns predicted ones; `names` are the `C` labels of both.
    """
    size = len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = [label_text(name, most=_LONGEST_LABEL) for name in names]

    def draw(axes: Axes) -> None:
        from matplotlib.patches import Rectangle

        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = SERIES[0] if row == column else SERIES[1]
            shade = 0.08 + 0.77 * float(shares[row, column])
            corner = (float(column) - 0.48, float(row) - 0.48)
            axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=colour, alpha=shade, linewidth=0))
            if size < _FEW_CELLS:
                axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=9.5, color=INK)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        font = min(10.5, 260 / size + 4)
        axes.set_xticks(range(size), shown, rotation=90, fontsize=font)
        axes.set_yticks(range(size), shown, fontsize=font)

    side = min(12.0, 3.6 + 0.19 * size + (0.22 * size if size < _FEW_CELLS else 0))
    rows = (f"{name}: {counts[n, n]:,} of {counts[n].sum():,} right" for n, name in enumerate(shown))
    spoken = "; ".join(rows)
    return svg_chart(draw, title=title, x_label=x_label, y_label=y_label, spoken=spoken, size=(side + 0.6, side))


def confusion_map(counts: NDArray[np.int64], names: Sequence[str], *, title: str, x_label: str, y_label: str) -> Markup:
    """Draw the mistakes among many classes as an inline SVG without labels: counts `[C, C]`, of true classes in rows.

    Neighbouring classes share a cell where there are more than 60. A cell is as strong as its share of its row.
    """
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    size = min(len(names), _MOST_CELLS)
    starts = np.arange(size) * len(names) // size
    cells = np.add.reduceat(np.add.reduceat(wrong, starts, axis=0), starts, axis=1)
    totals = np.add.reduceat(counts.sum(axis=1), starts)
    shares = cells / np.maximum(totals, 1)[:, None]

    def draw(axes: Axes) -> None:
        from matplotlib.patches import Rectangle

        axes.grid(visible=False)
        for row, column in zip(*np.nonzero(cells), strict=True):
            shade = 0.1 + 0.9 * float(shares[row, column] / shares.max())
            corner = (float(column) - 0.5, float(row) - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=SERIES[1], alpha=shade, linewidth=0))
        axes.plot([-0.5, size - 0.5], [-0.5, size - 0.5], color=SOFT, linewidth=1, linestyle="--")
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_xticks([])
        axes.set_yticks([])

    spoken = f"{wrong.sum():,} mistakes of {counts.sum():,} images, among {len(names):,} classes"
    return svg_chart(draw, title=title, x_label=x_label, y_label=y_label, spoken=spoken, size=(7.6, 7.0))


def forest_plot(rows: Sequence[Interval], *, title: str, x_label: str) -> Markup:
    """Draw differences of shares as an inline SVG, in points: a line for each interval, with 0 as a dashed line.

    The colour of a row says whether its interval lies above 0, below it, or on both sides.
    """
    names = [label_text(row.name, most=_LONGEST_ROW) for row in rows]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=SOFT, linewidth=1, linestyle="--")
        for n, row in enumerate(rows):
            colour = SERIES[2] if row.low > 0 else SERIES[1] if row.high < 0 else SOFT
            axes.plot([100 * row.low, 100 * row.high], [n, n], color=colour, linewidth=2)
            axes.plot([100 * row.value], [n], color=colour, marker="o", markersize=7, linestyle="none")
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), names)

    spoken = "; ".join(
        f"{row.name}: {100 * row.value:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]" for row in rows
    )
    return svg_chart(draw, title=title, x_label=x_label, y_label="", spoken=spoken, size=(7.0, 1.4 + 0.42 * len(rows)))
