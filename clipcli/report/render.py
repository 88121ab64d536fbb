"""Fills the templates of pages: one HTML file with its styles and its script in it.

Every text is escaped, and the content security policy of a page forbids all scripts but its own, by their hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from clipcli.errors import OutputFailed
from clipcli.files.atomic import write_text


def rendered(template: str, *, styles: Sequence[str], scripts: Sequence[str], **values: Any) -> str:
    """The page that the template makes of the values, with these files of styles and scripts."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = "".join(map(_text, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "style": Markup("".join(map(_text, styles))),
        "script": Markup(script),
        "script_hash": Markup(f"'sha256-{digest}'"),
    }
    return environment.from_string(_text(template)).render(**values, **parts)


def write_html(path: Path, html: str) -> None:
    """Write a page atomically. The same page gives the same bytes. Raises `OutputFailed`."""
    # A file name that is not UTF-8 holds lone surrogates, which no browser can show: they become escapes.
    try:
        write_text(path, html, errors="backslashreplace")
    except OSError as e:
        raise OutputFailed(f"cannot write the report {path}: {e.strerror}; free some space or choose another") from None


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
