"""Lists the files below a folder or below a folder in a zip, in the same order for both.

Paths are sorted by their parts in code-point order. Hidden files and folders, and those that a system keeps for itself,
are left out. Links to folders are followed, but not round and round. A folder that cannot be read is listed as an image
that cannot be read: its row says why.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter

from clipcli.data.file_names import is_excluded, is_hidden, is_image_name
from clipcli.data.reference import no_image, open_zip
from clipcli.errors import InputNotFound
from clipcli.notices import Notice, Notices
from clipcli.records import ImageItem, Reference

SYSTEM = Notice(
    "hidden image, or folder of the system",
    "hidden images and folders of the system",
    "left out; name one as an input to have it read",
    warns=False,
)
EXCLUDED = Notice("file or folder fits --exclude", "files and folders fit --exclude", "left out", warns=False)
LOOP = Notice("link leads to a folder around it", "links lead to folders around them", "not followed")
UNREADABLE = Notice(
    "folder cannot be read", "folders cannot be read", "its images are missing; check the permissions, then run again"
)


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of a tree: `parts` of its path below the root, `id` as users see it, and a reference to its bytes."""

    parts: tuple[str, ...]
    id: str
    reference: Reference

    @property
    def is_image(self) -> bool:
        """True if it has the suffix of an image, or stands for a folder that cannot be read."""
        return self.is_unreadable_folder or is_image_name(self.parts[-1])

    @property
    def is_unreadable_folder(self) -> bool:
        """True if it stands for a folder that cannot be read."""
        return self.reference.kind == "nothing"

    @property
    def item(self) -> ImageItem:
        """The file as an image."""
        return ImageItem(self.id, self.reference)


@dataclass(frozen=True)
class Data:
    """One DATA or INPUT as the user wrote it; its files are listed once, at the first use.

    `notices` counts what was left out or guessed while it was read. Files and folders that fit a pattern of `exclude`
    are left out. The folders that are looked into are added to `listed`. Files of the suffixes in `also` count as
    images.
    """

    text: str
    notices: Notices = field(default_factory=Notices, repr=False, compare=False)
    exclude: tuple[str, ...] = ()
    listed: list[str] = field(default_factory=list, repr=False, compare=False)
    also: frozenset[str] = frozenset()

    @property
    def is_one_file(self) -> bool:
        """True if the path names a single file in a zip."""
        split = split_zip(self.text)
        if split is None or not split[1] or len(self.files) != 1:
            return False
        return _parts(str(self.files[0].reference.member)) == split[1]

    @cached_property
    def files(self) -> tuple[TreeFile, ...]:
        """The files below the folder or in the zip; empty for anything else."""
        return tuple(self.walk())

    @cached_property
    def images(self) -> tuple[TreeFile, ...]:
        """The files that have the suffix of an image."""
        return tuple(file for file in self.files if file.is_image)

    def walk(self) -> Iterator[TreeFile]:
        """The same files, as they are found. Raises `InputNotFound` for a folder or a zip that cannot be read."""
        if os.path.isdir(self.text):
            return self._scan(self.text, (), ())
        return iter(()) if split_zip(self.text) is None else self._scan_zip()

    @property
    def folders(self) -> list[str]:
        """The names of the folders at the top, sorted; also of empty ones."""
        return [name for name in _top_folders(self.text) if not is_excluded((name,), self.exclude)]

    def at(self, text: str) -> Data:
        """Other data that this one leads to, with the same notices."""
        return Data(text, self.notices, self.exclude, also=self.also)

    def keeps_path(self, path: str) -> bool:
        """False for a path of a list or a glob that is excluded, which is counted."""
        excluded = bool(self.exclude) and is_excluded(_parts(path) or (path,), self.exclude)
        if excluded:
            self.notices.add(EXCLUDED, path)
        return not excluded

    def _keeps(self, parts: tuple[str, ...], where: str, *, is_folder: bool) -> bool:
        """False for what is hidden or excluded; it is counted if it may be missed."""
        if is_hidden(parts[-1]):
            if is_folder or is_image_name(parts[-1]):
                self.notices.add(SYSTEM, where)
            return False
        if is_excluded(parts, self.exclude):
            self.notices.add(EXCLUDED, where)
            return False
        return True

    def _scan(self, folder: str, above: tuple[str, ...], around: tuple[str, ...]) -> Iterator[TreeFile]:
        """The files below a folder, listed lazily. `around` are the real folders of the links that led to it."""
        self.listed.append(folder)
        try:
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=attrgetter("name"))
        except OSError as e:
            if not above:
                raise InputNotFound(f"cannot read folder {folder}: {e.strerror}; check its permissions") from None
            self.notices.add(UNREADABLE, folder)
            yield TreeFile(above, folder, no_image(f"a folder that cannot be read: {e.strerror}"))
            return
        start = os.path.join(folder, "")
        for entry in entries:
            path, parts, is_folder = start + entry.name, (*above, entry.name), _is_folder(entry)
            if not self._keeps(parts, path, is_folder=is_folder):
                continue
            if not is_folder:
                yield TreeFile(parts, path, Reference("file", path))
            elif not entry.is_symlink():
                yield from self._scan(path, parts, around)
            else:
                yield from self._follow(path, parts, (*around, os.path.realpath(folder)))

    def _follow(self, link: str, parts: tuple[str, ...], around: tuple[str, ...]) -> Iterator[TreeFile]:
        """The files below the folder that a link leads to, unless it is one of those `around` the link."""
        real = os.path.realpath(link)
        if any(place == real or place.startswith(os.path.join(real, "")) for place in around):
            self.notices.add(LOOP, link)
        else:
            yield from self._scan(link, parts, around)

    def _scan_zip(self) -> Iterator[TreeFile]:
        """The files of the zip, of a folder in it, or the single file named."""
        path, inside = split_zip(self.text) or (self.text, ())
        try:
            archive = open_zip(path)
        except (OSError, zipfile.BadZipFile) as e:
            raise InputNotFound(f"cannot read {path}: {e}; check the file") from None
        members = [entry.filename for entry in archive.infolist() if not _is_folder_in_zip(entry)]
        entries = [(_parts(name), name) for name in members]
        depth = len(inside)
        kept: dict[tuple[str, ...], bool] = {(): True}
        for parts, name in sorted(entries):
            below = parts[depth:]
            if not parts or parts[:depth] != inside:
                continue
            for n in range(1, len(below) + 1):
                if below[:n] not in kept:
                    where = "/".join((path, *inside, *below[:n]))
                    kept[below[:n]] = kept[below[: n - 1]] and self._keeps(below[:n], where, is_folder=n < len(below))
            if kept[below]:
                yield TreeFile(below or parts[-1:], f"{path}/{name}", Reference("zip", path, name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """True for a folder and a link to one; false for a link that leads to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _top_folders(text: str) -> list[str]:
    """The names of the folders directly in a folder, a zip or a folder in a zip, sorted; also of empty ones."""
    if os.path.isdir(text):
        with os.scandir(text) as scan:
            names = {entry.name for entry in scan if _is_folder(entry)}
    else:
        path, inside = split_zip(text) or (text, ())
        depth = len(inside)
        entries = [(_parts(entry.filename), _is_folder_in_zip(entry)) for entry in open_zip(path).infolist()]
        names = {
            parts[depth]
            for parts, is_folder in entries
            if parts[:depth] == inside and len(parts) > depth + (0 if is_folder else 1)
        }
    return sorted(name for name in names if not is_hidden(name))


def split_zip(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Split a path such as `data.zip/val` into the zip file and the parts below it; `None` if it has no zip file."""
    parts = text.split("/")
    for n in range(len(parts), 0, -1):
        path = "/".join(parts[:n])
        if path.lower().endswith(".zip") and os.path.isfile(path):
            return path, _parts("/".join(parts[n:]))
    return None


def _is_folder_in_zip(entry: zipfile.ZipInfo) -> bool:
    # `ZipInfo.is_dir` fails on a member without a name.
    return entry.filename.endswith("/")


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part not in ("", "."))
