"""Completion of commands, flags and their values by the shell: `clipcli --install-completion`.

It is typer's own. Its flags are read here, and it is imported only for them and while a shell asks for completions, so
that other commands do not pay for it.
"""

from __future__ import annotations

import os
from pathlib import Path

from clipcli.cli import exit_codes
from clipcli.errors import UsageError, unknown

INSTALL, SHOW = "--install-completion", "--show-completion"
SHELLS = ("bash", "zsh", "fish")
# The shell's script sets it when it asks.
VARIABLE = "_CLIPCLI_COMPLETE"


def prepare() -> None:
    """Get ready to answer a shell that asks for completions; without one, do nothing."""
    if VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def install_or_show(flag: str, shells: list[str]) -> int:
    """Install the completion for a shell, or print its script; without a name it is the one of the login.

    Raises `UnknownName` for another shell, and `UsageError` if it cannot be told.
    """
    if len(shells) > 1:
        raise UsageError(f"{flag} takes one shell: {', '.join(SHELLS)}")
    shell = shells[0] if shells else _login_shell()
    if shell not in SHELLS:
        raise unknown("shell", shell, SHELLS)
    from typer.completion import get_completion_script, install  # type: ignore[attr-defined]

    if flag == SHOW:
        print(get_completion_script(prog_name="clipcli", complete_var=VARIABLE, shell=shell))
    else:
        _, path = install(shell=shell, prog_name="clipcli", complete_var=VARIABLE)
        print(f"{shell} completes clipcli's commands and flags from the next terminal on; see {path}")
    return exit_codes.DONE


def _login_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if not name:
        raise UsageError(f"the shell cannot be told; name it, as in clipcli {INSTALL} bash")
    return name
