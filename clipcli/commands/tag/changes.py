"""What tagging changes in the files: new sidecars, and new XMP in sidecars and photos that are there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clipcli.actions.exiftool import ExifTool
from clipcli.actions.failed import FULL, Failed, reason_of
from clipcli.actions.keywords import Wanted, tagged, untagged
from clipcli.actions.replace import Keeper
from clipcli.actions.xml_places import BadXml
from clipcli.commands.tag.photos import Photo
from clipcli.commands.tag.sidecars import Sidecars
from clipcli.errors import OutputFailed
from clipcli.memory.contents import note_same_pixels
from clipcli.memory.memory import Memory
from clipcli.notices import Notices

# Sidecars are beside the photos, and photos are most often on one file system.
_HOPELESS = (*FULL, errno.EROFS)
NEW, CHANGED, REMOVED, SAME = "new", "changed", "removed", "same"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a file: its `kind`, the labels that it gets, and the function that does it."""

    file: str
    kind: str
    labels: tuple[str, ...] = ()
    apply: Callable[[Keeper], None] = lambda _: None


def changes_of_sidecars(photos: Iterable[Photo], naming: str, notices: Notices) -> Iterator[Change | Failed]:
    """A change for each sidecar of each photo. `notices` counts photos that share their name."""
    sidecars, owners = Sidecars(naming, notices), dict[str, str]()
    for photo in photos:
        files = [sidecars.of(photo.file)] if photo.wanted else list(sidecars.all_of(photo.file))
        for file in files:
            if owners.setdefault(os.path.realpath(file), photo.file) != photo.file:
                yield Failed(photo.path, f"{owners[os.path.realpath(file)]} has the same sidecar; give --sidecars full")
            else:
                yield _attempt(partial(_of_sidecar, file, photo.wanted), file)


def changes_of_photos(photos: Iterable[Photo], tool: ExifTool, memory: Memory) -> Iterator[Change | Failed]:
    """A change for each photo, by ExifTool. `memory` gets to know that its pixels stay."""
    for photo in photos:
        yield _attempt(partial(_of_photo, photo, tool, memory), photo.path)


def apply(change: Change, keeper: Keeper) -> Change | Failed:
    """Carry out a change, or leave the file as it was if the system or ExifTool refuses.

    Raises `OutputFailed` where the next file would fail as well.
    """

    def act() -> Change:
        change.apply(keeper)
        return change

    return _attempt(act, change.file)


def _attempt(make: Callable[[], Change], file: str) -> Change | Failed:
    try:
        return make()
    except (BadXml, OSError) as e:
        if isinstance(e, OSError) and e.errno in _HOPELESS:
            raise OutputFailed(f"cannot write {file}: {e.strerror}; what was done before is in the journal") from None
        return Failed(file, reason_of(e))


def _of_sidecar(file: str, wanted: Wanted | None) -> Change:
    former = Path(file).read_bytes() if os.path.lexists(file) else None
    labels = () if wanted is None else tuple(path[-1] for path in wanted.paths)
    data = tagged(former, wanted) if wanted else None if former is None else untagged(former)
    if data == former:
        return Change(file, SAME, labels)
    if former is None:
        new = data or b""
        return Change(file, NEW, labels, lambda keeper: keeper.write(file, new))
    if data is None:
        return Change(file, REMOVED, labels, lambda keeper: keeper.remove(file, former=former))
    return Change(file, CHANGED, labels, lambda keeper: keeper.replace(file, data, former=former))


def _of_photo(photo: Photo, tool: ExifTool, memory: Memory) -> Change:
    if not tool.can_write(photo.file):
        raise BadXml(f"ExifTool cannot write {Path(photo.file).suffix}")
    former, wanted = tool.packet_of(photo.file), photo.wanted
    labels = () if wanted is None else tuple(path[-1] for path in wanted.paths)
    packet = tagged(former, wanted) if wanted else None if former is None else untagged(former)
    if packet == former:
        return Change(photo.path, SAME, labels)

    def act(keeper: Keeper) -> None:
        before = Path(photo.file).read_bytes()
        data = tool.with_packet(photo.file, packet)
        # Before it is replaced, and for its undoing as well: it is not encoded again, and its row is as it was.
        note_same_pixels(before, data, memory=memory)
        # The photo's time stays: it tells photo programs when the picture was changed.
        keeper.replace(photo.file, data, former=before, keep_time=True)

    return Change(photo.path, CHANGED, labels, act)
