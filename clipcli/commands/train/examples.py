"""Examples of retrieval for the report: the caption nearest to some validation images, before and after training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipcli.commands.train.run_lines import read_text
from clipcli.commands.train.validation import Nearest
from clipcli.files.atomic import write_text
from clipcli.images.decode import DEFAULT_LIMITS
from clipcli.images.limits import Limits
from clipcli.images.thumbnail import thumbnails
from clipcli.parsed import json_of
from clipcli.report import Gallery, Group, Section, Thumbnail

EXAMPLES_FILE = "examples.json"
BEFORE, AFTER = "before", "after"
# The longer side of a thumbnail, in pixels.
_THUMBNAIL = 160


def write_examples(run: Path, found: Sequence[Nearest], *, when: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Write what was found `BEFORE` or `AFTER` training to the run's folder, beside what there is."""
    if not found:
        return
    examples: dict[str, Any] = {} if when == BEFORE else _read(run)
    if "pictures" not in examples:
        items = [one.item for one in found]
        examples["pictures"] = list(thumbnails(items, side=_THUMBNAIL, limits=limits))
    examples[when] = [{"path": one.item.id, "own": one.own, "nearest": one.nearest, "rank": one.rank} for one in found]
    write_text(run / EXAMPLES_FILE, json.dumps(examples) + "\n")


def examples_section(run: Path) -> list[Section]:
    """A gallery of the examples in the run's folder."""
    examples = _read(run)
    before, after = examples.get(BEFORE, []), examples.get(AFTER, [])
    shown = []
    for n, one in enumerate(before):
        caption = f"“{one['own']}” Before: {_found(one)}."
        caption += f" After: {_found(after[n])}." if n < len(after) else ""
        shown.append(Thumbnail(examples["pictures"][n], caption, one["path"].rpartition("/")[2]))
    note = "Some of the images of --val, with the caption that is nearest to each of all that these images have."
    return [Gallery("Retrieval before and after", [Group(shown)], note)] if shown else []


def _found(one: dict[str, Any]) -> str:
    return "found" if one["rank"] == 1 else f"rank {one['rank']:,}, behind “{one['nearest']}”"


def _read(run: Path) -> dict[str, Any]:
    text = read_text(run / EXAMPLES_FILE)
    examples: dict[str, Any] = {} if text is None else json_of(text)
    return examples
