"""Charts of accuracy: reliability diagrams and confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clipcli.report.svg import INK, SERIES, SOFT, label_text, svg_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LONGEST_LABEL = 22
# With this many classes or more, the cells have no room for their counts.
_FEW_CELLS = 13


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
    return svg_chart(draw, title=title, x_label=x_label, y_label=y_label, spoken=spoken)


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
