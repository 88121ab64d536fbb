"""Line charts: curves over steps, and the trade-off between two fractions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clipcli.report.svg import INK, SERIES, SOFT, label_text, svg_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Formatter

Array = NDArray[np.float64]

_MOST_POINTS = 250
_FEW_POINTS = 30
_LONGEST_IN_LEGEND = 24
# Of numbers on an axis, and where so few do not tell its ticks apart.
_DIGITS, _MOST_DIGITS = 4, 13


@dataclass(frozen=True, slots=True)
class Thinned:
    """A series averaged in bins, to have few points: the mean of each bin, and its lowest and highest value."""

    x: Array
    y: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Point:
    """A named point of a trade-off; `x` and `y` are fractions from 0 to 1."""

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
    """Draw curves as an inline SVG. `series` maps a name to its x values and y values, both of one length.

    With `percent` the y values are fractions, shown as percentages. With `log_y` the y axis is logarithmic if all
    values are above 0 and span a factor of ten. A series of more than 250 points is averaged in bins, over a band from
    the lowest to the highest value of each bin.
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
    return svg_chart(draw, title=title, x_label=x_label, y_label=y_label, spoken=spoken)


def trade_off(points: Sequence[Point], *, title: str, x_label: str, y_label: str, marked: int | None = None) -> Markup:
    """Draw one fraction against another as an inline SVG, in percent: a line through named points in order.

    `marked` is the index of a point to highlight. A name that would overlap another is left out.
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
                label_text(point.name),
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
    return svg_chart(draw, title=title, x_label=x_label, y_label=y_label, spoken=spoken)


def _names_apart(points: Sequence[Point], *, marked: int | None) -> list[int]:
    """The indices of the points whose names do not overlap; the marked point and the ends come first."""
    x, y = (np.array([getattr(point, axis) for point in points]) for axis in "xy")
    across, up = ((values - values.min()) / (np.ptp(values) or 1) for values in (x, y))
    first = [n for n in (marked, 0, len(points) - 1) if n is not None]
    named: list[int] = []
    for n in dict.fromkeys([*first, *range(len(points))]):
        if all(abs(across[n] - across[m]) > 0.17 or abs(up[n] - up[m]) > 0.1 for m in named):
            named.append(n)
    return named


def thin(x: Sequence[float], y: Sequence[float]) -> Thinned:
    """Average a series in at most 250 bins. Values that are not finite are left out; a bin without others is a gap."""
    bins = np.array_split(np.array([x, y], float), max(1, min(len(x), _MOST_POINTS)), axis=1)
    x_bins, y_bins = [x for x, _ in bins], [y[np.isfinite(y)] for _, y in bins]

    def each(function: Callable[[Array], float], parts: list[Array]) -> Array:
        return np.array([function(part) if part.size else np.nan for part in parts])

    return Thinned(each(np.mean, x_bins), each(np.mean, y_bins), each(np.min, y_bins), each(np.max, y_bins))


def _finite(series: Sequence[Sequence[float]]) -> Array:
    """All finite values of all series."""
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
    shown = [label_text(name, most=_LONGEST_IN_LEGEND) for name in names]
    in_one_row = sum(len(name) + 5 for name in shown) <= 55
    axes.figure.legend(
        list(axes.lines),
        # matplotlib leaves out names that begin with an underscore, so an invisible word joiner goes before it.
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
        axis.set_major_formatter(FuncFormatter(_percent) if percent else _distinct())


def _distinct() -> Formatter:
    """A formatter of numbers with as many digits as it takes to tell the ticks of an axis apart."""
    from matplotlib.ticker import Formatter

    class Distinct(Formatter):
        def format_ticks(self, values: Sequence[float]) -> list[str]:
            texts: list[str] = []
            for digits in range(_DIGITS, _MOST_DIGITS):
                texts = [_short(value, digits=digits) for value in values]
                if len(set(texts)) == len(set(values)):
                    break
            return texts

        def __call__(self, value: float, _: object = None) -> str:
            return _short(value)

    return Distinct()


def _percent(value: float, _: object = None) -> str:
    return f"{round(100 * value, 6):g}%"


def _short(value: float, *, digits: int = _DIGITS) -> str:
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.{digits}g}{suffix}"
    if 0 < abs(value) < 1e-3:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{float(mantissa):.{digits}g}e{int(power)}"
    return f"{value:,.{digits}g}"


def _ends(curve: Thinned, *, percent: bool) -> str:
    """The first and the last value of a curve in words, for screen readers."""
    finite = curve.y[np.isfinite(curve.y)]
    if not finite.size:
        return "has no values"
    first, last = (f"{value:.1%}" if percent else _short(value) for value in (finite[0], finite[-1]))
    return f"from {first} to {last}" if finite.size > 1 else first
