"""Finds photos by words, by other photos, or by both; and photos that are there twice."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.commands.find.library import read_library
from clipcli.commands.find.query import read_query
from clipcli.commands.find.search import Hit, search
from clipcli.commands.find.settings import TOP, FindSettings
from clipcli.data.images import check_inputs
from clipcli.data.kinds import exists
from clipcli.encoding.model import Model
from clipcli.errors import MissingExtra, UsageError, install
from clipcli.events import Event, InputsFound, Noted, Warned, result_of
from clipcli.images.limits import limits_of
from clipcli.memory.memory import open_memory
from clipcli.records import Skipped
from clipcli.settings import Show, api

if TYPE_CHECKING:
    from clipcli.commands.find.duplicates import Same
    from clipcli.commands.find.library import Part


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found among so many `images`: `hits`, or `groups` of duplicates; and what could not be read."""

    hits: tuple[Hit, ...]
    groups: tuple[Same, ...]
    images: int
    skipped: tuple[Skipped, ...]
    model: str


@api(FindSettings)
def find(settings: FindSettings, show: Show) -> list[Hit] | list[Same]:
    """Find the photos that show what a text says, that are like other photos, or both; best first.

    A hit has the `path` of a photo and its `score`, the cosine of its embedding and that of what is looked for: from -1
    to 1, and comparable within one search only. With `duplicates`, groups of photos that are there twice or nearly so
    come in place of hits, each with its `photos`, the best first. Images that are not in the cache are embedded first;
    a warning says how many cannot be read.

    Raises the errors of `clipcli.errors`.
    """
    finding = result_of(run(settings), show=show)
    if finding.skipped:
        first = finding.skipped[0]
        count = len(finding.skipped)
        of_all = f"{count:,} of {finding.images + count:,} images cannot be read"
        show(Warned(f"{of_all}, such as {first.item.id}: {first.reason}; they are left out"))
    return list(finding.groups) if settings.duplicates else list(finding.hits)


def run(options: FindSettings) -> Generator[Event, None, Finding]:
    """As `find`, with its events. Everything is checked before a model is loaded."""
    options = yield from _checked(options)
    check_inputs((*options.inputs, *options.like))
    memory = open_memory(cache=options.cache, cache_size=options.cache_size)
    model = Model(options.model or DEFAULT_MODEL, options, memory=memory)
    model.check()
    yield from memory.warnings()
    if options.duplicates:
        # It reads images, which a search does not.
        from clipcli.commands.find.duplicates import duplicates_in

        if model.facts is None:
            yield from model.load(IMAGE)
        parts = yield from _library(options, model=model)
        groups = yield from duplicates_in(parts, most=options.top, limits=limits_of(options))
        return _finding((), groups, parts, model)
    query, files = yield from read_query(options, model=model)
    parts = yield from _library(options, model=model)
    top = TOP if options.top is None and options.min_score is None else options.top
    hits = search(parts, query, top=top, min_score=options.min_score, but=files)
    return _finding(hits, (), parts, model)


def _checked(options: FindSettings) -> Generator[Event, None, FindSettings]:
    """The settings, with a first argument that is a place among the inputs. Raises `UsageError`, and `MissingExtra`."""
    if options.duplicates:
        if options.like or options.without or options.min_score is not None:
            raise UsageError("--duplicates compares all images with each other; give images to look through alone")
        if options.text is not None and not exists(options.text):
            raise UsageError(f"--duplicates takes no text, and there is nothing called {options.text}; check the path")
        if importlib.util.find_spec("imagehash") is None:
            raise MissingExtra(f"--duplicates needs imagehash; run {install('imagehash')}")
        return _as_input(options)
    if options.text is not None and not options.text.strip():
        raise UsageError("the text is empty; say what the photos show, as in 'a dog on a beach'")
    if options.text is None and not options.like:
        raise UsageError("nothing to look for; give a text, as in 'a dog on a beach', or --like a photo")
    if options.like and options.text is not None and not options.inputs and exists(options.text):
        yield Noted(f"Looking through {options.text}; for photos that show that, name a folder behind it.")
        return _as_input(options)
    if options.text is not None and not options.inputs and exists(options.text):
        yield Noted(f"Looking for what the word {options.text} says; to look through that place, put a text before it.")
    return options


def _as_input(options: FindSettings) -> FindSettings:
    """The settings, with the text as the first of the inputs."""
    if options.text is None:
        return options
    inputs: tuple[Any, ...] = (options.text, *options.inputs)
    return replace(options, text=None, inputs=inputs)


def _finding(hits: Sequence[Hit], groups: Sequence[Same], parts: Sequence[Part], model: Model) -> Finding:
    skipped = tuple(entry for part in parts for entry in part.skipped)
    return Finding(tuple(hits), tuple(groups), sum(len(part.names) for part in parts), skipped, model.name)


def _library(options: FindSettings, *, model: Model) -> Generator[Event, None, list[Part]]:
    """The images to look through; it is said if none were named."""
    if not options.inputs:
        yield Noted("Looking through the current folder; name folders behind the text to look through others.")
    parts = yield from read_library(options, model=model)
    yield InputsFound(sum(len(part.names) for part in parts))
    return parts
