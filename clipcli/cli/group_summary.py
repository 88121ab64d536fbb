"""The groups of labels in the summary of `clipcli classify`: each indented below the one around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clipcli.cli.columns import printable
from clipcli.commands.classify.group_counts import GroupCounts

if TYPE_CHECKING:
    from rich.text import Text

_GROUPS_SHOWN = 20
_NAME_WIDTH = 40


def group_table(groups: GroupCounts, rows: int, width: int | None) -> Iterator[Text]:
    """A line for each of the largest groups with its images, their share, and those with the group itself as label."""
    from rich.cells import cell_len
    from rich.text import Text

    from clipcli.cli.fit import padded, wrap

    counts = groups.counts()
    if not counts:
        return
    largest = sorted(counts, key=lambda count: (-count.images, len(count.path)))[:_GROUPS_SHOWN]
    heads = ["images", "share", *(["itself"] if any(count.own for count in counts) else [])]
    lines = []
    for count in (count for count in counts if count in largest):
        share = f"{count.images / rows:.1%}".replace("%", " %")
        figures = [f"{count.images:,}", share, f"{count.own:,}" if count.own else ""]
        lines.append(("  " * (len(count.path) - 1) + printable(count.path[-1]), figures[: len(heads)]))
    widths = [max(map(len, column)) for column in zip(heads, *(figures for _, figures in lines), strict=True)]
    taken = sum(2 + one for one in widths) + 1
    names = max(cell_len(name) for name in ("group", *(name for name, _ in lines)))
    room = min(names, _NAME_WIDTH, *([] if width is None else [max(width - taken - 1, 1)]))

    def line(name: str, figures: list[str], style: str = "") -> Text:
        cells = (f"  {figure:>{size}}" for figure, size in zip(figures, widths, strict=True))
        return Text(f" {padded(name, room)}{''.join(cells)}".rstrip(), style=style, no_wrap=True)

    yield line("group", heads, "dim")
    for name, figures in lines:
        yield line(name, figures)
    more = [f" … and {len(counts) - len(lines):,} smaller groups"] if len(counts) > len(lines) else []
    for said in [*more, *groups.sentences()]:
        for part in [said] if width is None else wrap(said, width, more="  "):
            yield Text(part, no_wrap=True)
