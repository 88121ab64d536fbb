"""Tells images, and what a system keeps for itself, by their names, and splits off suffixes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

from clipcli.data.formats import FORMATS

# Whatever Pillow decodes to pixels, by itself or with a plug-in.
IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(suffix for form in FORMATS.values() if form.in_folders for suffix in form.suffixes),
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".tga", ".icb", ".vda", ".vst"),
        *(
            ".ppm",
            ".pgm",
            ".pbm",
            ".pnm",
            ".pfm",
            ".psd",
            ".qoi",
            ".dds",
            ".pcx",
            ".dcx",
            ".sgi",
            ".rgb",
            ".rgba",
            ".bw",
        ),
        *(".ico", ".icns", ".cur", ".xbm", ".xpm", ".ras", ".im", ".msp", ".pcd", ".pxr", ".blp", ".fli", ".flc"),
        *(".ftc", ".ftu", ".gbr", ".iim", ".fit", ".fits"),
    )
)
# Files that lie among photos and are none, by the words for their kind.
_OTHER_KINDS = {
    "video": FORMATS["video"].suffixes,
    "RAW": FORMATS["RAW"].suffixes,
    "sidecar": (".xmp", ".aae", ".thm", ".pp3", ".dop", ".on1", ".json", ".xml", ".ini", ".db", ".pto", ".nksc"),
    "sound": (".mp3", ".wav", ".m4a", ".flac", ".ogg", ".aac", ".opus"),
    "document": (".pdf", ".doc", ".docx", ".txt", ".md", ".html", ".htm", ".xlsx", ".xls", ".ods", ".pptx", ".rtf"),
}
_KIND_BY_SUFFIX = {suffix: kind for kind, suffixes in _OTHER_KINDS.items() for suffix in suffixes}
# Folders that a NAS, Windows or a Mac keeps for itself: thumbnails, snapshots, what was deleted. In lower case.
_SYSTEM_FOLDERS = frozenset(
    (
        *("__macosx", "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin"),
        *("recycler", "system volume information"),
    )
)


def suffix_of(name: str) -> str:
    """The suffix in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()


def without_suffix(path: str) -> str:
    """The path without its suffix."""
    return os.path.splitext(path)[0]


def kind_of_file(name: str) -> str:
    """What a file that is no image is, such as `video`; for a kind that is not known its suffix."""
    suffix = suffix_of(name)
    return _KIND_BY_SUFFIX.get(suffix, suffix or "without a suffix")


def is_image_name(name: str) -> bool:
    """True if a file of this name counts as an image when a folder is read."""
    # Not os.path.splitext, which takes three times as long: a folder may hold a million names.
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """True if a file or folder of this name is left out: dotfiles, and folders that a system keeps for itself."""
    return (name.startswith(".") and name != ".") or name.lower() in _SYSTEM_FOLDERS


def is_excluded(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """True if a path, given by its parts, fits one of the `patterns`.

    A pattern such as `*.gif` or `drafts` is for the name of a file or a folder, at any depth; one with a `/`, such as
    `2019/raw*`, for the path from the top.
    """
    return any(fnmatchcase("/".join(parts) if "/" in pattern else parts[-1], pattern) for pattern in patterns)
