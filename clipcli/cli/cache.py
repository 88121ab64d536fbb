"""`clipcli cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from clipcli.cli.columns import format_size, print_columns
from clipcli.errors import unknown

ACTIONS = {"clear": "remove everything that is in the cache"}


EXAMPLES = (
    "clipcli cache",
    "clipcli cache clear",
)


def command(
    action: Annotated[
        str | None,
        typer.Argument(metavar="clear", help=f"clear: {ACTIONS['clear']}. Without it: show what is there."),
    ] = None,
) -> None:
    """Show what the cache holds and where it lies, or clear it."""
    from clipcli.encoding.engines import store
    from clipcli.memory import folder_index
    from clipcli.memory.cache import Cache

    if action is not None and action not in ACTIONS:
        raise unknown("action", action, ACTIONS)
    cache = Cache()
    if action == "clear":
        print(f"removed {cache.clear():,} entries from {cache.path}")
        if indexes := folder_index.clear():
            print(f"removed {indexes:,} indexes of folders from {folder_index.indexes_path()}")
        if converted := store.clear():
            print(f"removed {converted:,} converted models from {store.engines_path()}")
        return
    rows = [(usage.kind, f"{usage.entries:,} entries", format_size(usage.size)) for usage in cache.usage()]
    on_disk = sum(path.stat().st_size for path in cache.path.parent.glob(f"{cache.path.name}*"))
    converted, bytes_ = store.usage()
    if converted:
        rows.append(("converted models", f"{converted:,} entries", format_size(bytes_)))
    indexes, bytes_ = folder_index.usage()
    if indexes:
        rows.append(("indexes of folders", f"{indexes:,} entries", format_size(bytes_)))
    print_columns([*rows, ("on disk", "", format_size(on_disk)), ("at", "", str(cache.path))])
