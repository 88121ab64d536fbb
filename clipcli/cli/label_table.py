"""The table of labels of `clipcli classify`: each with count, share, mean score and a bar, then what has no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from clipcli.cli.columns import printable
from clipcli.commands.classify.tally import Labelled, Tally

if TYPE_CHECKING:
    from rich.text import Text

_LABELS_SHOWN = 20
_REASONS_SHOWN = 3
# In cells.
_BAR_WIDTH = 28
_LEAST_BAR = 4
LABEL_WIDTH = 40
_LEAST_LABEL = 8
_WITHOUT, _SKIPPED = "no label", "skipped"


def table(tally: Tally, width: int | None) -> Iterator[Text]:
    """A line for each of the most frequent labels, with count, share, mean score and a bar, then the skipped images."""
    from rich.cells import cell_len
    from rich.text import Text

    from clipcli.cli.fit import padded

    by_count = tally.most_frequent()
    shown = [(printable(label), counts) for label, counts in by_count[:_LABELS_SHOWN]]
    heads = ["images", "share", "mean score"]
    others = {_WITHOUT: tally.without, _SKIPPED: tally.skipped}
    figures = [_figures(counts, tally.rows) for _, counts in shown]
    figures += [[f"{count:,}", share(count, tally.rows), ""] for count in others.values() if count]
    room = None if width is None else width - 1
    heads, figures = _that_fit(heads, figures, room)
    widths = [max(map(len, column)) for column in zip(heads, *figures, strict=True)]
    taken = _width_of(heads, figures)
    longest = max(cell_len(label) for label in ("label", _SKIPPED, *_without(tally), *(label for label, _ in shown)))
    label_width = min(longest, LABEL_WIDTH, *([] if room is None else [max(room - taken, 1)]))
    bar = _BAR_WIDTH if room is None else min(_BAR_WIDTH, room - label_width - taken - 2)

    def line(label: str, some: Sequence[str], style: str = "") -> Text:
        cells = (f"  {figure:>{size}}" for figure, size in zip(some, widths, strict=True))
        return Text(f" {padded(label, label_width)}{''.join(cells)}".rstrip(), style=style, no_wrap=True)

    if shown:
        yield line("label", heads, "dim")
    for (label, counts), some in zip(shown, figures, strict=False):
        drawn = "█" * max(1, round(bar * counts.count / shown[0][1].count)) if bar >= _LEAST_BAR else ""
        yield line(label, some).append(f"  {drawn}" if drawn else "", style="cyan")
    more = by_count[_LABELS_SHOWN:]
    if more:
        yield from fitted(_of_more(more, several=tally.several), width)
    for label in _without(tally):
        yield line(label, figures[len(shown)], "dim")
    if tally.skipped:
        yield line(_SKIPPED, figures[-1], "red")
        for said in _reasons(tally):
            yield from fitted(f"   {said}", width, style="red")


def labels_an_image(tally: Tally, width: int | None) -> Iterator[Text]:
    """How many labels the images have that could be read, where they may have several."""
    if tally.several and tally.rows > tally.skipped:
        mean = tally.given / (tally.rows - tally.skipped)
        yield from fitted(f"{mean:.2f} labels an image; an image counts for each of its labels", width)


def _without(tally: Tally) -> list[str]:
    """The name of the line of images without a label, if there are some."""
    return [_WITHOUT] if tally.without else []


def _of_more(more: Sequence[tuple[str, Labelled]], *, several: bool) -> str:
    """How many labels have no line, and how many images these have; with several labels, images count repeatedly."""
    count = sum(counts.count for _, counts in more)
    return f" … and {len(more):,} more labels {f'given {count:,} times' if several else f'of {count:,} images'}"


def _figures(counts: Labelled, rows: int) -> list[str]:
    return [f"{counts.count:,}", share(counts.count, rows), f"{counts.mean:.3f}"]


def share(count: int, rows: int) -> str:
    """A share of the rows, in percent."""
    return f"{count / rows:.1%}".replace("%", " %")


def _width_of(heads: Sequence[str], figures: Sequence[Sequence[str]]) -> int:
    return sum(2 + max(map(len, column)) for column in zip(heads, *figures, strict=True))


def _that_fit(heads: list[str], figures: list[list[str]], room: int | None) -> tuple[list[str], list[list[str]]]:
    """The first columns, as many as there is room for, but one at least."""
    while room is not None and len(heads) > 1 and _LEAST_LABEL + _width_of(heads, figures) > room:
        heads = heads[:-1]
        figures = [some[: len(heads)] for some in figures]
    return heads, figures


def _reasons(tally: Tally) -> Iterator[str]:
    """The most frequent reasons why images were skipped, each with an example."""
    most = tally.reasons.most_common(_REASONS_SHOWN)
    for reason, count in most:
        such_as = f"{count:,} such as " if count > 1 else ""
        yield f"{such_as}{tally.firsts[reason]}: {reason}"
    more = tally.skipped - sum(count for _, count in most)
    if more:
        yield f"{more:,} more for other reasons"


def fitted(text: str, width: int | None, *, style: str = "") -> Iterator[Text]:
    """The text in lines that fit a terminal of this width."""
    from rich.text import Text

    from clipcli.cli.fit import wrap

    text = printable(text)
    for line in [text] if width is None else wrap(text, width, more="  "):
        yield Text(line, style=style, no_wrap=True)
