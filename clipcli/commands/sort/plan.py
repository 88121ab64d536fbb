"""The plan of `sort`: where each file goes, and what is in the way."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipcli.actions.files import have_same_bytes
from clipcli.commands.sort.companions import Companions, renamed
from clipcli.commands.sort.dates import date_reader
from clipcli.commands.sort.names import Folders, folded
from clipcli.commands.sort.pattern import Pattern
from clipcli.commands.sort.photos import Photo
from clipcli.commands.sort.places import Member, Places
from clipcli.commands.sort.settings import SortSettings
from clipcli.data.file_names import kind_of_file, without_suffix
from clipcli.data.reference import read
from clipcli.errors import UsageError
from clipcli.notices import Notice, Notices
from clipcli.records import Cell, ImageItem, Reference

ALONG = Notice("file belongs to these images", "files belong to these images", "they go along", warns=False)
SHARED = Notice(
    "file belongs to several images that are moved apart",
    "files belong to several images that are moved apart",
    "it goes with the first",
)
IN_ARCHIVE = Notice(
    "image is in a zip or a shard",
    "images are in zips or shards",
    "only --by copy can take them out, so they are left where they are",
)
TAKEN_OUT = Notice(
    "image is in a zip or a shard",
    "images are in zips or shards",
    "taken out of it, without what may belong to them there",
    warns=False,
)
LINK = Notice(
    "image is a link",
    "images are links",
    "not moved, since the image itself lies elsewhere; --by copy copies what a link leads to",
)
ELSEWHERE = Notice(
    "image was brought to another folder by an earlier run",
    "images were brought to other folders by an earlier run",
    "they stay there as well; clipcli undo of that run's journal takes them away",
)
ACROSS = Notice(
    "file is on another file system",
    "files are on other file systems",
    "copied, compared, and then removed where it was",
    warns=False,
)

# How files of an image begin that need a suffix.
_STARTS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II*": ".tif",
}


@dataclass(frozen=True, slots=True)
class Action:
    """A file that goes somewhere: `kind` is a key of `clipcli.actions.undo.KINDS`, and paths are absolute.

    `reference` points to the bytes of an image in an archive, which is then the `source`.
    """

    kind: str
    source: str
    target: str
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done in `into`, in order.

    `folders` has the number of images that each folder gets by it. `images` is the number of all of them, `there` that
    of images that are where they belong already, and `size` the number of bytes that will be written.
    """

    into: str
    by: str
    actions: tuple[Action, ...]
    folders: Mapping[str, int]
    images: int
    there: int
    size: int


def make_plan(
    photos: Sequence[Photo],
    pattern: Pattern,
    options: SortSettings,
    *,
    earlier: Mapping[str, Sequence[str]],
    notices: Notices,
) -> Plan:
    """The plan for these images; `earlier` has the paths to which earlier runs brought each file.

    Raises `UsageError` for hard links to another file system.
    """
    planner = _Planner(photos, options, earlier=earlier, notices=notices)
    day_of = date_reader(notices) if pattern.has_date else None
    folders: Counter[str] = Counter()
    images = there = 0
    for photo in filter(planner.is_sortable, photos):
        day = None if day_of is None else day_of(photo.item, photo.path)
        named = (pattern.folders(*one, day=day) for one in zip(photo.labels, photo.scores, strict=True))
        belongs = dict.fromkeys(map(planner.folders.at, named))
        goes_to = [os.path.relpath(folder, planner.root) for folder in belongs if planner.add(photo, folder)]
        if any(os.path.lexists(p) and os.path.dirname(p) not in belongs for p in earlier.get(photo.path, ())):
            notices.add(ELSEWHERE, photo.item.id)
        folders.update(goes_to)
        images += bool(goes_to)
        there += not goes_to
    return Plan(planner.root, options.by, tuple(planner.actions), folders, images, there, planner.size())


class _Planner:
    """Collects the actions for images and what belongs to them."""

    def __init__(
        self, photos: Sequence[Photo], options: SortSettings, *, earlier: Mapping[str, Sequence[str]], notices: Notices
    ) -> None:
        self.root, self._by, self._notices = os.path.abspath(options.into), options.by, notices
        self.folders = Folders(self.root, notices)
        self.actions: list[Action] = []
        self._places = Places(earlier, is_same=self._is_same, notices=notices)
        self._companions = Companions()
        self._images = {photo.path for photo in photos if photo.is_file}
        self._claimed: set[str] = set()
        self._device = os.stat(existing_folder(self.root)).st_dev

    def is_sortable(self, photo: Photo) -> bool:
        """False for an image that cannot go by the chosen way, which is counted."""
        if not photo.is_file:
            self._notices.add(TAKEN_OUT if self._by == "copy" else IN_ARCHIVE, photo.item.id)
            return self._by == "copy"
        is_moved_link = self._by == "move" and os.path.islink(photo.path)
        if is_moved_link:
            self._notices.add(LINK, photo.item.id)
        return not is_moved_link

    def add(self, photo: Photo, folder: str) -> bool:
        """Plan that an image goes to a folder, with what belongs to it; false if the image is there already."""
        image, *others = self._group(photo)
        # Two files of a group may differ by capitals alone; the second is then on its own.
        forms = {folded(image.name): image}
        alone = [one for one in others if forms.setdefault(folded(one.name), one) is not one]
        together = list(forms.values())
        is_there = self._add(image.name, together, folder)
        for one in alone:
            self._add(one.name, [one], folder)
        return not is_there

    def _add(self, name: str, group: Sequence[Member], folder: str) -> bool:
        places = self._places.place(name, group, folder)
        for number, (member, place) in enumerate(zip(group, places, strict=True)):
            if place.is_there:
                continue
            kind = self._by if member.reference is None else "write"
            self.actions.append(Action(kind, member.path, place.target, member.reference))
            if number:
                self._notices.add(ALONG, member.path, kind=kind_of_file(member.name))
        return places[0].is_there

    def _group(self, photo: Photo) -> list[Member]:
        """The image and the files that belong to it, also where an earlier run moved some of them."""
        if not photo.is_file:
            return [Member(photo.path, _name_in_archive(photo.item), photo.item.reference)]
        first = os.path.abspath(str(photo.item.reference.path))
        name, now = os.path.basename(first), os.path.basename(photo.path)
        found = {path: os.path.basename(path) for path in self._companions.of(first)}
        if photo.was_moved:
            for path in self._companions.of(photo.path):
                found[path] = renamed(os.path.basename(path), image=now, to=name)
        others = [Member(path, other) for path, other in found.items() if path not in self._images]
        return [Member(photo.path, name), *(one for one in others if self._is_free(one))]

    def _is_free(self, member: Member) -> bool:
        """False for a file that is moved with another image, which is counted."""
        if self._by != "move":
            return True
        if member.path in self._claimed:
            self._notices.add(SHARED, member.path)
            return False
        self._claimed.add(member.path)
        return True

    def _is_same(self, member: Member, target: str) -> bool:
        try:
            if member.reference is not None:
                return os.path.isfile(target) and Path(target).read_bytes() == read(member.reference)
            return _IS_SAME[self._by](member.path, target)
        # What an archive's reader raises can be anything; it is said when the file is taken out of it.
        except Exception:
            return False

    def size(self) -> int:
        """The bytes that the actions write. Raises `UsageError` for hard links to another file system."""
        size = 0
        across: list[str] = []
        for action in self.actions:
            stat = os.stat(action.source)
            if action.kind in ("hardlink", "move") and stat.st_dev != self._device:
                across.append(action.source)
                self._notices.add(ACROSS, action.source)
            if action.kind == "copy" or (action.kind == "move" and stat.st_dev != self._device):
                size += stat.st_size
        if across and self._by == "hardlink":
            raise UsageError(
                f"a hard link needs one file system, and {across[0]} is on another than {self.root}; give --by copy or"
                " symlink"
            )
        return size


# If the file at the second path is what each way would make of the first.
_IS_SAME: dict[str, Callable[[str, str], bool]] = {
    "copy": lambda source, target: (
        os.path.isfile(target)
        and not (os.path.islink(target) or os.path.samefile(source, target))
        and have_same_bytes(source, target)
    ),
    "move": lambda *_: False,
    "hardlink": os.path.samefile,
    "symlink": lambda source, target: os.path.islink(target) and os.readlink(target) == source,
}


def existing_folder(path: str) -> str:
    """The folder at a path, or the nearest above that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _name_in_archive(item: ImageItem) -> str:
    """The name of an image that is taken out of an archive; one in a cell of a table has the table's and its row's."""
    name = item.id.replace("\\", "/").rpartition("/")[2]
    if not isinstance(item.reference.member, Cell):
        return name
    table, _, row = name.rpartition(" row ")
    return f"{without_suffix(table)}-{row}{_suffix_by_content(read(item.reference))}"


def _suffix_by_content(data: bytes) -> str:
    return next((suffix for start, suffix in _STARTS.items() if data.startswith(start)), ".jpg")
