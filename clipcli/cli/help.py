"""The help of commands: flags in their groups, those that are seldom needed last, and two examples at the end."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from typer.core import TyperCommand, TyperGroup

from clipcli.settings import GROUPS

RARE = "Rarely needed"
# Flags that may have several files behind them, as in `--corrections a.csv b.csv`.
_SEVERAL = ("--corrections",)
# For all commands.
HELP_FLAGS = {"help_option_names": ["-h", "--help"]}


class GroupedCommand(TyperCommand):
    """A command whose help has a section for each group of flags, by the `rich_help_panel` of each."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; a flag of `_SEVERAL` may have several files behind it."""
        params = self.get_params(ctx)
        valued = {name for param in params if not getattr(param, "is_flag", True) for name in param.opts}
        has_own = any(param.param_type_name == "argument" for param in params)
        return super().parse_args(ctx, _one_by_one(args, valued=valued, has_own=has_own))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the flags, each under its title."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            title = "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
            shown = param.get_help_record(ctx)
            if shown is not None:
                terminal = GROUPS["terminal"] if GROUPS["terminal"] in sections else "Options"
                sections.setdefault(title or terminal, []).append(shown)
        for title in sorted(sections, key=lambda title: title == RARE):
            with formatter.section(title):
                formatter.write_dl(sections[title])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the examples."""
        write_examples(self.epilog, formatter)


class Group(TyperGroup):
    """All commands, with examples at the end of the help."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the examples."""
        write_examples(self.epilog, formatter)


def write_examples(examples: str | None, formatter: Any) -> None:
    """Write the lines as they are, so that they can be copied."""
    with formatter.section("Examples"):
        for line in (examples or "").splitlines():
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def _one_by_one(args: list[str], *, valued: Collection[str], has_own: bool) -> list[str]:
    """The arguments, with a flag before each of several files behind one.

    `valued` are the flags that take a value. Where the command `has_own` arguments, and none came before, what is behind
    the first file is one of these.
    """
    spread: list[str] = []
    waits, flag = has_own, ""
    for before, one in zip(["", *args], args, strict=False):
        if one.startswith("-") and one != "-":
            flag = one if one in _SEVERAL else ""
        elif before not in valued:
            if flag and not waits:
                spread.append(flag)
            waits = False
        spread.append(one)
    return spread
