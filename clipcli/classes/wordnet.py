"""Reads the nouns of WordNet (Miller 1995) from the files of its database: their senses, and what is a kind of what.

The files are those of WordNet itself, as Debian's `wordnet-base` and NLTK's corpus hold them, the latter in a zip or as
a folder. Of the large ones only the lines that are asked for are parsed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import Path as ZipPath

from clipcli.classes.plurals import singulars
from clipcli.errors import BadFile, MissingExtra

INDEX, DATA, IRREGULAR = "index.noun", "data.noun", "noun.exc"
# WordNet's own variables for the folder of its files, and for the folder above it.
SEARCH, HOME = "WNSEARCHDIR", "WNHOME"
_PLACES = ("/usr/share/wordnet", "/usr/local/WordNet-3.0/dict")
Folder = Path | ZipPath
# ImageNet's ids are the offsets of this version.
_OF_IDS = b"WordNet 3.0 Copyright"


@dataclass(frozen=True, slots=True)
class Synset:
    """A sense: the nouns that have it, the senses that it is a kind of, and its meaning in a few words.

    Senses are named by their offsets. `is_instance` is true for what there is one of, such as a person or a town.
    """

    offset: str
    nouns: tuple[str, ...]
    above: tuple[str, ...]
    meaning: str
    is_instance: bool


class WordNet:
    """The nouns of WordNet in a folder. Raises `BadFile` if it has no such files."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        try:
            index, self._data = ((folder / name).read_bytes() for name in (INDEX, DATA))
            lines = (folder / IRREGULAR).read_text(encoding="utf-8").splitlines()
        except OSError as e:
            raise BadFile(f"cannot read WordNet: {e.filename}: {e.strerror}; {INSTALL}") from None
        self._index = {line.partition(b" ")[0]: line for line in index.splitlines()}
        self._irregular = {plural: singular for plural, singular, *_ in map(str.split, lines)}
        self.has_ids = _OF_IDS in self._data[:4096]

    def senses(self, noun: str) -> list[Synset]:
        """The senses of a noun, the most frequent first; those of its singular after them."""
        found = (offset for form in self._forms(noun) for offset in self._offsets(form))
        return [self.synset(offset) for offset in dict.fromkeys(found)]

    def synset(self, offset: str) -> Synset:
        """The sense at an offset. Raises `BadFile` if there is none."""
        start = int(offset)
        line = self._data[start : self._data.find(b"\n", start)].decode("utf-8", "replace")
        if not line.startswith(f"{offset} "):
            raise BadFile(f"{self.folder / DATA}: no sense at {offset}; {INDEX} and {DATA} are of two versions")
        facts, _, gloss = line.partition(" | ")
        _, _, _, count, *words = facts.split()
        nouns = words[: 2 * int(count, 16) : 2]
        pointers = words[2 * int(count, 16) + 1 :]
        kinds = list(zip(pointers[0::4], pointers[1::4], pointers[2::4], strict=False))
        return Synset(
            offset,
            tuple(noun.replace("_", " ") for noun in nouns),
            tuple(to for kind, to, part in kinds if kind in ("@", "@i") and part == "n"),
            gloss.split(";")[0].strip(),
            is_instance=any(kind == "@i" for kind, _, _ in kinds),
        )

    def has(self, offset: str) -> bool:
        """True if there is a sense at this offset."""
        return self._data.startswith(f"{offset} ".encode(), int(offset))

    def _offsets(self, form: str) -> list[str]:
        line = self._index.get(form.encode()) if form else None
        if line is None:
            return []
        _, _, _, pointers, *rest = line.decode().split()
        return rest[int(pointers) + 2 :]

    def _forms(self, noun: str) -> Iterator[str]:
        """The noun as WordNet writes it, and what may be its singular."""
        written = "_".join(noun.lower().split())
        yield written
        if written in self._irregular:
            yield self._irregular[written]
        yield from singulars(written)


INSTALL = (
    "install it with apt install wordnet-base, or with pip install nltk and python -m nltk.downloader wordnet, or name"
    f" the folder of {DATA} in {SEARCH}"
)


def find_wordnet() -> WordNet:
    """WordNet as it is on this machine. Raises `MissingExtra` if it is not there."""
    folder = next((folder for folder in _folders() if (folder / DATA).is_file()), None)
    if folder is None:
        raise MissingExtra(f"--taxonomy wordnet needs WordNet, which is not on this machine; {INSTALL}")
    return WordNet(folder)


def _folders() -> Iterator[Folder]:
    """Where WordNet may be: where its own variables say and nowhere else, or where packages and NLTK put it."""
    if SEARCH in os.environ or HOME in os.environ:
        yield Path(os.environ.get(SEARCH) or Path(os.environ[HOME]) / "dict")
        return
    yield from map(Path, _PLACES)
    nltk: list[str | Path] = [
        *filter(None, os.environ.get("NLTK_DATA", "").split(os.pathsep)),
        Path.home() / "nltk_data",
    ]
    nltk += [
        f"{sys.prefix}/nltk_data",
        f"{sys.prefix}/share/nltk_data",
        "/usr/share/nltk_data",
        "/usr/local/share/nltk_data",
    ]
    for place in nltk:
        corpora = Path(place) / "corpora"
        yield corpora / "wordnet"
        if (corpora / "wordnet.zip").is_file():
            yield ZipPath(corpora / "wordnet.zip", "wordnet/")
