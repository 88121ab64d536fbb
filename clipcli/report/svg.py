"""Charts as inline SVG, drawn by matplotlib and coloured by the report's page.

The colours of a drawing become CSS variables of the page, so that a chart follows its light or dark mode.
Text stays text, in the page's font.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LONGEST_NAME = 60
_SIZE_INCHES = (5.0, 3.4)
_REM_PER_INCH = 5.5
# The colours that matplotlib draws a chart in. The page replaces each with its own.
SERIES = ("#2f6fde", "#d9691e", "#15855a", "#8a4fd3", "#c93a7c", "#857510")
INK, SOFT, GRID, AXIS = "#808081", "#808082", "#808083", "#808084"
# CSS for each of these colours; after the comma, the value where the SVG stands on no page that defines the variable.
_COLOURS = {
    INK: "currentColor",
    SOFT: "var(--soft, #808080)",
    GRID: "var(--chart-grid, #80808040)",
    AXIS: "var(--chart-axis, #808080)",
    **{colour: f"var(--series-{n}, {colour})" for n, colour in enumerate(SERIES, 1)},
}
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "clipcli", "text.parse_math": False, "path.simplify": False}
_NOT_IN_XML = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def label_text(text: str, *, most: int = _LONGEST_NAME) -> str:
    """Fit a text for a chart: in one line, at most `most` characters, and without characters that XML forbids."""
    text = _NOT_IN_XML.sub("\ufffd", " ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def svg_chart(
    draw: Callable[[Axes], None],
    *,
    title: str,
    x_label: str,
    y_label: str,
    spoken: str,
    size: tuple[float, float] = _SIZE_INCHES,
) -> Markup:
    """Draw a chart as an inline SVG in the common style.

    `draw` draws into the axes. `spoken` describes the values for screen readers. `size` is (width, height) in inches.
    The same arguments give the same text.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    stream = io.StringIO()
    # matplotlib's defaults, not the user's own style, so that charts look the same on every machine.
    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault) | _SETTINGS
    del settings["backend"]
    with warnings.catch_warnings(), matplotlib.rc_context(settings):
        # Browsers draw the text in a font of their own, so a glyph that is missing here does not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
        axes = figure.add_subplot()
        figure.suptitle(label_text(title), x=0.01, ha="left", fontsize=13.5, fontweight="bold", color=INK)
        axes.set_xlabel(label_text(x_label), color=SOFT, fontsize=10.5)
        axes.set_ylabel(label_text(y_label), color=SOFT, fontsize=10.5)
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
    """Adapt matplotlib's SVG to the page: no metadata, ids unique on the page, and the page's colours."""
    root = ElementTree.fromstring(svg)
    prefix = "f" + hashlib.sha256(f"{spoken}\0{svg}".encode(errors="replace")).hexdigest()[:10]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    for parent in list(root.iter()):
        for child in list(parent):
            # A style element would apply to the whole page.
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
