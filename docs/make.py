"""Generates the parts of the docs that come from the code: `python docs/make.py`, or `make docs`.

The map in `architecture.md` comes from the docstrings of the modules, and `cli.md` from the settings of the commands. A
test checks that the docs are up to date.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "clipcli"
# The packages and modules from top to bottom: each imports only from itself and from those before it.
ROOMS = (
    *("version", "errors", "records", "events", "notices", "offline", "parsed", "settings"),
    *("files", "classes", "data", "backbones", "images", "memory", "encoding", "scoring", "outputs", "report"),
    *("actions", "commands", "loaded", "cli"),
)
# A generated part of a page is between these two lines.
BEGIN, END = "<!-- made by docs/make.py: {name} -->", "<!-- the end of what is made -->"


def map_of_rooms() -> str:
    """A line for every module with the first sentence of its docstring, in the order of `ROOMS`."""
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


def commands() -> str:
    """A section for every command: its help, its usage, and a table of flags for each group of settings."""
    from typer.main import get_group

    from clipcli.cli import COMMANDS, app, command_of

    group = get_group(app())
    return "\n\n".join(_command(name, command_of(name), group.commands[name]) for name in COMMANDS)


def exit_codes() -> str:
    """A table of the constants in `cli/exit_codes.py`, with the text below each."""
    body = ast.parse((PACKAGE / "cli" / "exit_codes.py").read_text(encoding="utf-8")).body
    rows = [
        f"| {code.value.value} | {text.value.value.removesuffix('.')} |"
        for code, text in pairwise(body)
        if isinstance(code, ast.Assign)
    ]
    return "\n".join(["| exit code | |", "|---|---|", *rows])


MADE: dict[str, dict[str, Callable[[], str]]] = {
    "architecture.md": {"map": map_of_rooms},
    "cli.md": {"commands": commands, "exit codes": exit_codes},
}


def made(page: str) -> str:
    """The text of a page with its generated parts up to date."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name, make in MADE[page].items():
        begin = BEGIN.format(name=name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(END)
        text = f"{before}{begin}\n{make()}\n{END}{after}"
    return text


def _command(name: str, command: Callable[..., Any], parsed: Any) -> str:
    from clipcli.cli.flags import Command
    from clipcli.settings import GROUPS, described

    usage = parsed.get_usage(parsed.make_context(f"clipcli {name}", [], resilient_parsing=True))
    about = "\n\n".join(" ".join(part.split()) for part in (command.__doc__ or "").split("\n\n"))
    parts = [f"## clipcli {name}", about, "```\n" + " ".join(usage.removeprefix("Usage: ").split()) + "\n```"]
    if isinstance(command, Command):
        settings = described(*command.records).values()
        for group, title in GROUPS.items():
            rows = [_row(setting) for setting in settings if setting.about.group == group]
            parts += [_table(title, rows)] if rows else []
    else:
        rows = [(_usage(p.opts, p.metavar), "", p.help) for p in parsed.params if p.name != "help"]
        parts += [_table("Options", rows)] if rows else []
    return "\n\n".join(part for part in parts if part)


def _row(setting: Any) -> tuple[str, str, str]:
    """A row of a table: a setting's flags, its default, and its text with the meaning of each choice."""
    choices = "; ".join(f"`{name}`: {meaning}" for name, meaning in (setting.about.choices or {}).items())
    text = f"{setting.text} {choices}." if choices else setting.text
    return _usage(setting.flags, setting.metavar), setting.by_default or "", text


def _usage(flags: Sequence[str], metavar: str | None) -> str:
    options = [flag for flag in flags if flag.startswith("-")]
    if not options:
        return f"`{metavar}`"
    return ", ".join(f"`{flag} {metavar}`" if metavar and flag[:2] == "--" else f"`{flag}`" for flag in options)


def _table(title: str, rows: Sequence[tuple[str, str, str]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {title} | default | |", "|---|---|---|", *lines])


def _place(path: Path) -> tuple[object, ...]:
    """The sort key of a module in the map: packages before their modules, single modules before packages."""
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
    """Update all pages."""
    for page in MADE:
        (DOCS / page).write_text(made(page), encoding="utf-8")


if __name__ == "__main__":
    main()
