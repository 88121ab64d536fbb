"""Decides which keywords go into an XMP packet, and which of them are clipcli's to take out again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from clipcli.actions.xmp import LISTS, KeywordList, Own, Packet, own_of, read_packet
from clipcli.actions.xmp_edit import EMPTY, with_own, without_own
from clipcli.classes.normal_form import composed
from clipcli.classes.tree import Path

# The signs that part the names of a path in some list, where a name has this in place of them.
SEPARATORS = frozenset(one.separator for one in LISTS.values() if one.separator)
_IN_PLACE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a photo is to say: its labels as paths, the best first, each with its score as a text.

    A path holds the names of the groups around a label, the outermost first, and the label. `model` and `date` say
    what gave the labels, and when.
    """

    paths: tuple[Path, ...]
    scores: tuple[str, ...]
    model: str | None
    date: str | None


def tagged(data: bytes | None, wanted: Wanted) -> bytes:
    """A packet with these labels as keywords; `data` itself if it says so already. Without `data` it is a new one.

    What clipcli added before and is not wanted any more goes, and nothing else. A keyword that is there already is not
    added, and so is never taken out; one that clipcli added and somebody took out stays out. Raises `BadXml`.
    """
    packet = read_packet(EMPTY if data is None else data)
    had, base = own_of(packet), without_own(packet)
    added = {name: keywords for name in LISTS if (keywords := tuple(_added(name, base, wanted)))}
    own = Own(
        model=wanted.model,
        date=wanted.date,
        labels=tuple(path[-1] for path in wanted.paths),
        scores=wanted.scores,
        added=added,
        made=data is None or (had is not None and had.made),
    )
    # Labels that a later run gave anew are no change.
    if data is not None and had is not None and replace(own, date=had.date) == had:
        return data
    changed = with_own(base, own, left_out={} if had is None else _taken_out(packet, had))
    return changed.encoded(changed.text)


def untagged(data: bytes) -> bytes | None:
    """A packet without what clipcli wrote, `data` itself if that is nothing; `None` if only clipcli's was in it.

    Raises `BadXml`.
    """
    packet = read_packet(data)
    own = own_of(packet)
    if own is None:
        return data
    base = without_own(packet)
    return None if own.made and base.is_empty else base.encoded(base.text)


def as_keyword(name: str) -> str:
    """A name as a keyword: without the characters that XML does not have, and on one line."""
    return " ".join("".join(" " if _is_no_text(character) else character for character in name).split())


def _is_no_text(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff"


def _added(name: str, base: Packet, wanted: Wanted) -> Iterator[str]:
    """The keywords to add to a list, of which those that are there already are none."""
    one = LISTS[name]
    there = base.listed(one.key)
    if one.separator is None:
        keywords = [part for path in wanted.paths for part in reversed(path)]
    elif there is not None or (one.made and any(len(path) > 1 for path in wanted.paths)):
        keywords = [_joined(path, one.separator) for path in wanted.paths]
        if there is None:
            # Programs that read this list read no other: without the keywords of the others they would lose them.
            keywords += [_joined(path, one.separator) for path in _paths_in(base, LISTS)]
    else:
        return
    known = {_folded(keyword) for keyword in there or ()}
    for keyword in keywords:
        if _folded(keyword) not in known:
            known.add(_folded(keyword))
            yield keyword


def _paths_in(base: Packet, lists: Mapping[str, KeywordList]) -> Iterator[Path]:
    """The keywords of a packet as paths; a name that stands alone is left out where it is part of a path."""
    paths = [
        tuple(keyword.split(one.separator))
        for one in lists.values()
        if one.separator is not None
        for keyword in base.listed(one.key) or ()
    ]
    parts = {_folded(part) for path in paths for part in path}
    yield from paths
    for one in lists.values():
        if one.separator is None:
            yield from ((keyword,) for keyword in base.listed(one.key) or () if _folded(keyword) not in parts)


def _taken_out(packet: Packet, had: Own) -> dict[str, frozenset[str]]:
    """The keywords that clipcli had added, and that are in the lists no more."""
    return {
        name: frozenset(keywords) - frozenset(packet.listed(LISTS[name].key) or ())
        for name, keywords in had.added.items()
    }


def _joined(path: Path, separator: str) -> str:
    """A path as one keyword; a separator in a name becomes a `-`."""
    return separator.join(name.replace(separator, _IN_PLACE) for name in path)


def _folded(keyword: str) -> str:
    """The keyword in the form in which photo programs take two for the same."""
    return composed(keyword).casefold()
