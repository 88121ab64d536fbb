"""Figures as SVG to put into a page: drawn by matplotlib, coloured by the page.

Colours become the page's variables, so that a figure follows its light and dark; text stays text, in its font.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

_MOST_POINTS = 250
_FEW_POINTS = 30
_LONGEST_NAME = 60
_LONGEST_IN_LEGEND = 24
_SIZE_INCHES = (5.0, 3.4)
_REM_PER_INCH = 5.5
# The colours that a figure is drawn in; the page gives them its own.
SERIES = ("#2f6fde", "#d9691e", "#15855a", "#8a4fd3", "#c93a7c", "#857510")
INK, SOFT, GRID, AXIS = "#808081", "#808082", "#808083", "#808084"
# What a colour of the drawing is called in the page; after the comma, what it is where no page says so.
_COLOURS = {
    INK: "currentColor",
    SOFT: "var(--soft, #808080)",
    GRID: "var(--figure-grid, #80808040)",
    AXIS: "var(--figure-axis, #808080)",
    **{colour: f"var(--series-{n}, {colour})" for n, colour in enumerate(SERIES, 1)},
}
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "clipcli", "text.parse_math": False, "path.simplify": False}
_NOT_IN_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Thinned:
    """A series in few enough points to draw: the mean of each bin, and its lowest and highest value."""

    x: Array
    y: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a trade-off, with what is written beside it."""

    name: str
    x: float
    y: float


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    percent: bool = False,
    log_y: bool = False,
) -> Markup:
    """An inline SVG of curves, each an `x` and a `y` of one length; the same series give the same text.

    `percent` writes fractions as percentages. `log_y` asks for a logarithmic axis, which is drawn where all values
    are above 0 and span a factor of ten. A long series is averaged in bins, over a band from their lowest to their
    highest value.
    """
    curves = {name: thin(x, y) for name, (x, y) in series.items()}
    x_values, y_values = (_finite([pair[n] for pair in series.values()]) for n in (0, 1))
    logarithmic = log_y and y_values.size > 0 and 0 < 10 * y_values.min() <= y_values.max()

    def draw(axes: Axes) -> None:
        for n, curve in enumerate(curves.values()):
            _draw_curve(axes, curve, colour=SERIES[n % len(SERIES)], dashed=n >= len(SERIES))
        if logarithmic:
            axes.set_yscale("log")
        _set_ticks(axes, percent_x=False, percent_y=percent, whole_x=bool(np.all(x_values == np.round(x_values))))
        if not y_values.size:
            axes.set_yticks([])
            axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", color=SOFT)
        if len(curves) > 1:
            _draw_legend(axes, list(curves))

    spoken = "; ".join(f"{name} {_ends(curve, percent=percent)}".strip() for name, curve in curves.items())
    return svg(draw, title=title, x_label=x_label, y_label=y_label, spoken=spoken)


def trade_off(points: Sequence[Point], *, title: str, x_label: str, y_label: str, marked: int | None = None) -> Markup:
    """An inline SVG of one fraction against another, through named points in order, in percent.

    `marked` is the index of the point that stands out. A name that would lie on another is left out.
    """
    named = _names_apart(points, marked=marked)
    x, y = [point.x for point in points], [point.y for point in points]

    def draw(axes: Axes) -> None:
        axes.plot(x, y, color=SERIES[0], linewidth=1.4, marker="o", markersize=4)
        if marked is not None:
            axes.plot([x[marked]], [y[marked]], color=SERIES[1], marker="o", markersize=9, linestyle="none")
        for n in named:
            point = points[n]
            colour, weight = (INK, "bold") if n == marked else (SOFT, "normal")
            axes.annotate(
                plain(point.name),
                (point.x, point.y),
                xytext=(7, 5),
                textcoords="offset points",
                fontsize=10,
                color=colour,
                weight=weight,
            )
        axes.margins(0.12)
        _set_ticks(axes, percent_x=True, percent_y=True, whole_x=False)

    spoken = "; ".join(f"{point.name}: {point.x:.1%}, {point.y:.1%}" for point in points)
    return svg(draw, title=title, x_label=x_label, y_label=y_label, spoken=spoken)


def _names_apart(points: Sequence[Point], *, marked: int | None) -> list[int]:
    """The points whose names have room, the marked one and the ends first."""
    x, y = (np.array([getattr(point, axis) for point in points]) for axis in "xy")
    across, up = ((values - values.min()) / (np.ptp(values) or 1) for values in (x, y))
    first = [n for n in (marked, 0, len(points) - 1) if n is not None]
    named: list[int] = []
    for n in dict.fromkeys([*first, *range(len(points))]):
        if all(abs(across[n] - across[m]) > 0.17 or abs(up[n] - up[m]) > 0.1 for m in named):
            named.append(n)
    return named


def thin(x: Sequence[float], y: Sequence[float]) -> Thinned:
    """At most 250 points of a series. What is not finite is left out of its bin, and a bin of nothing else is a gap."""
    bins = np.array_split(np.array([x, y], float), max(1, min(len(x), _MOST_POINTS)), axis=1)
    wheres, whats = [x for x, _ in bins], [y[np.isfinite(y)] for _, y in bins]

    def each(function: Callable[[Array], float], parts: list[Array]) -> Array:
        return np.array([function(part) if part.size else np.nan for part in parts])

    return Thinned(each(np.mean, wheres), each(np.mean, whats), each(np.min, whats), each(np.max, whats))


def _finite(series: Sequence[Sequence[float]]) -> Array:
    """All values of all series that are numbers."""
    values: Array = np.concatenate([np.zeros(0), *(np.asarray(one, float) for one in series)])
    finite: Array = values[np.isfinite(values)]
    return finite


def _draw_curve(axes: Axes, curve: Thinned, *, colour: str, dashed: bool) -> None:
    if np.any(curve.low != curve.high):
        axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
    marker = "o" if len(curve.x) <= _FEW_POINTS else "none"
    style = "--" if dashed else "-"
    axes.plot(curve.x, curve.y, color=colour, linewidth=1.5, linestyle=style, marker=marker, markersize=4)


def _draw_legend(axes: Axes, names: list[str]) -> None:
    shown = [plain(name, most=_LONGEST_IN_LEGEND) for name in names]
    in_one_row = sum(len(name) + 5 for name in shown) <= 55
    axes.figure.legend(
        list(axes.lines),
        # matplotlib leaves out a name that begins with an underscore; a word joiner before it cannot be seen.
        [f"\u2060{name}" if name.startswith("_") else name for name in shown],
        loc="outside lower center",
        ncols=len(shown) if in_one_row else 2,
        frameon=False,
        fontsize=10.5,
        labelcolor=SOFT,
        handlelength=1.4,
        handletextpad=0.5,
        columnspacing=1.6,
    )


def _set_ticks(axes: Axes, *, percent_x: bool, percent_y: bool, whole_x: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axes.get_ylim()
    steps = (1,) if axes.get_yscale() == "log" and high > 300 * low else (1, 2, 5)
    for axis, percent, whole in ((axes.xaxis, percent_x, whole_x), (axes.yaxis, percent_y, False)):
        linear = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], integer=whole, min_n_ticks=1)
        axis.set_major_locator(linear if axis.get_scale() == "linear" else LogLocator(subs=steps))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(_percent if percent else _short))


def _percent(value: float, _: object = None) -> str:
    return f"{round(100 * value, 6):g}%"


def _short(value: float, _: object = None) -> str:
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.4g}{suffix}"
    if 0 < abs(value) < 1e-3:
        digits, _, power = f"{value:.3e}".partition("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{value:,.4g}"


def _ends(curve: Thinned, *, percent: bool) -> str:
    """The first and the last value of a curve, for whoever hears the figure."""
    finite = curve.y[np.isfinite(curve.y)]
    if not finite.size:
        return "has no values"
    first, last = (f"{value:.1%}" if percent else _short(value) for value in (finite[0], finite[-1]))
    return f"from {first} to {last}" if finite.size > 1 else first


def plain(text: str, *, most: int = _LONGEST_NAME) -> str:
    """The text in one line that is not too long and that XML can hold."""
    text = _NOT_IN_XML.sub("\ufffd", " ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def svg(
    draw: Callable[[Axes], None],
    *,
    title: str,
    x_label: str,
    y_label: str,
    spoken: str,
    size: tuple[float, float] = _SIZE_INCHES,
) -> Markup:
    """An inline SVG of what `draw` draws, in the look of all figures; `spoken` says it to whoever hears the page."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    stream = io.StringIO()
    # The user's own style would change the figures, and the font that is measured here is not the one that is shown.
    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault) | _SETTINGS
    del settings["backend"]
    with warnings.catch_warnings(), matplotlib.rc_context(settings):
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
        axes = figure.add_subplot()
        figure.suptitle(plain(title), x=0.01, ha="left", fontsize=13.5, fontweight="bold", color=INK)
        axes.set_xlabel(plain(x_label), color=SOFT, fontsize=10.5)
        axes.set_ylabel(plain(y_label), color=SOFT, fontsize=10.5)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(AXIS)
        axes.tick_params(length=0, labelcolor=SOFT, labelsize=10.5, pad=5)
        axes.grid(axis="y", color=GRID, linewidth=1)
        axes.set_axisbelow(True)
        draw(axes)
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(stream, format="svg", transparent=True, metadata=metadata)
    most = f"; max-width: {_REM_PER_INCH * size[0]:.0f}rem" if size != _SIZE_INCHES else ""
    return _for_page(stream.getvalue(), spoken=f"{title}, by {x_label}: {spoken}", style=most)


def _for_page(svg: str, *, spoken: str, style: str) -> Markup:
    """The drawing without what a page does not need, its ids its own and its colours the page's."""
    root = ElementTree.fromstring(svg)
    prefix = "f" + hashlib.sha256(f"{spoken}\0{svg}".encode(errors="replace")).hexdigest()[:10]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    for parent in list(root.iter()):
        for child in list(parent):
            # A style element would style the whole page.
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        element.attrib = {n: _attribute(n, v, prefix) for n, v in attributes.items() if n != "id" or v in used}
        element.tail = None
    label = _NOT_IN_XML.sub("\ufffd", spoken)
    style = f"stroke-linejoin: round; stroke-linecap: butt{style}"
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label, "style": style}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _attribute(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return f"#{prefix}-{value.removeprefix('#')}"
    if name == "clip-path":
        return value.replace("url(#", f"url(#{prefix}-")
    if name == "d":
        return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", value)
    if name == "style":
        value = re.sub(r"font-family:[^;]*;? ?", "", value)
        return re.sub(r"#[0-9a-f]{6}\b", lambda colour: _COLOURS.get(colour[0], colour[0]), value)
    return value
