"""Writes the parts of the docs that are made from the code: `python docs/make.py`, or `make docs`.

The map of the rooms in `architecture.md` is made from the modules' docstrings. A test holds the docs against it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "clipcli"
# The house from top to bottom: a room imports only from itself and from those before it.
ROOMS = (
    *("version", "errors", "records", "events", "settings"),
    *("files", "classes", "data", "backbones", "images", "memory", "encoding", "scoring", "outputs", "report"),
    *("commands", "cli"),
)
# A made part of a page stands between these two lines.
BEGIN, END = "<!-- made by docs/make.py: {name} -->", "<!-- the end of what is made -->"


def map_of_rooms() -> str:
    """Every module with the first sentence of its docstring, a room after the other as they are listed there."""
    lines = []
    for path in sorted(PACKAGE.rglob("*.py"), key=_place):
        parts = path.relative_to(PACKAGE).parts
        if parts == ("__main__.py",):
            continue
        package = parts[-1] == "__init__.py"
        depth = len(parts) - (2 if package else 1)
        name = (
            f"{parts[-2]}/" if package and len(parts) > 1 else "clipcli/" if package else parts[-1].removesuffix(".py")
        )
        indent = "  " * (0 if parts == ("__init__.py",) else depth + 1)
        lines.append(f"{f'{indent}{name}':30} {_first_sentence(path)}")
    return "```\n" + "\n".join(lines) + "\n```"


MADE: dict[str, dict[str, Callable[[], str]]] = {"architecture.md": {"map": map_of_rooms}}


def made(page: str) -> str:
    """The page's text with its made parts as the code would have them now."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name, make in MADE[page].items():
        begin = BEGIN.format(name=name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(END)
        text = f"{before}{begin}\n{make()}\n{END}{after}"
    return text


def _place(path: Path) -> tuple[object, ...]:
    """Where a module stands in the map: a package before what is in it, single modules before packages."""
    *rooms, name = path.relative_to(PACKAGE).parts
    order = [(1, _rank(room), room) for room in rooms]
    return (*order, (0, 0, "")) if name == "__init__.py" else (*order, (0, 1, name))


def _rank(room: str) -> int:
    return ROOMS.index(room) if room in ROOMS else len(ROOMS)


def _first_sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0].removesuffix(".")


def main() -> None:
    """Write all pages."""
    for page in MADE:
        (DOCS / page).write_text(made(page), encoding="utf-8")


if __name__ == "__main__":
    main()
