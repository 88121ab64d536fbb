"""Models as `org/name` or by the address of their page: names of the hub as people copy them, without `hf-hub:`."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Generator
from functools import partial

from clipcli.backbones import hub, tags
from clipcli.backbones.checkpoint import Checkpoint, Fetch
from clipcli.errors import ModelUnavailable
from clipcli.events import Event

_PAGE = "https://huggingface.co/"
_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
# A name before the `/` that is as near to an architecture as this is one with a slip.
_NEAR = 0.7


def find(model: str) -> Fetch | None:
    """The function that gets a model from the hub, or `None` if the text is no name of the hub.

    What begins with a folder that is here, or nearly with an architecture, is taken for a slip in another name.
    """
    repository = repository_of(model)
    fetch = None if repository is None else hub.find(hub.PREFIX + repository)
    return None if fetch is None else partial(_fetch, fetch, model)


def repository_of(model: str) -> str | None:
    """The repository of the hub that the text names, with or without `hf-hub:`; `None` if it is no such name."""
    from clipcli.backbones.library import open_clip

    if model.startswith(hub.PREFIX):
        return model.removeprefix(hub.PREFIX)
    name = model.removeprefix(_PAGE).rstrip("/")
    is_one = _NAME.fullmatch(name) and name.partition("/")[0] not in open_clip.list_models() and not _is_a_slip(name)
    return name if is_one else None


def _is_a_slip(name: str) -> bool:
    from clipcli.backbones.library import open_clip

    first = name.partition("/")[0]
    known = [arch.lower() for arch in (*open_clip.list_models(), *tags.OPENAI_NAMES)]
    return os.path.exists(first) or bool(difflib.get_close_matches(first.lower(), known, n=1, cutoff=_NEAR))


def _fetch(fetch: Fetch, model: str) -> Generator[Event, None, Checkpoint]:
    try:
        return (yield from fetch())
    except ModelUnavailable as e:
        raise ModelUnavailable(f"no folder and no architecture is called {model}, and from the hub: {e}") from e
