"""`clipcli prompts`."""

from __future__ import annotations

from typing import Annotated

import typer

from clipcli.classes.prompts import load_prompts, prompt_set_names
from clipcli.cli.columns import print_columns

EXAMPLES = (
    "clipcli prompts",
    "clipcli prompts pets",
)


def command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A prompt set or file to show.")] = None,
) -> None:
    """List the prompt sets, or show the templates of one."""
    if name is not None:
        for template in load_prompts(name).templates:
            print(template)
        return
    sets = [load_prompts(known) for known in prompt_set_names()]
    print_columns([(s.name, f"{len(s.templates):>2}", s.templates[0], s.about) for s in sets])
