"""Images with captions, for training and retrieval: whatever one DATA names, in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from clipcli.classes.labels import LabelledClass
from clipcli.classes.prompts import prompts_of
from clipcli.data.captions import CAPTION_SUFFIXES, Uncaptioned, captions_beside, cleaned
from clipcli.data.class_names import from_names, matched
from clipcli.data.columns import CAPTION, IMAGE
from clipcli.data.kinds import KINDS, TREES, kind_of
from clipcli.data.reference import sequential_reader
from clipcli.data.samples import Reading, Sample
from clipcli.data.tables import in_tree
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound
from clipcli.records import ImageItem, Skipped


@dataclass(frozen=True, slots=True)
class Pair:
    """An image with the captions that go with it, one of which is drawn each time the image is seen.

    There is at least one caption. `label` is the class in a tree with a folder per class: the folder's name, or the
    label that fits it.
    """

    item: ImageItem
    captions: tuple[str, ...]
    label: str | None = None


@dataclass(frozen=True, slots=True)
class PairOptions:
    """How to read: templates and classes are for folders per class, the columns are for tables.

    Each template holds one `{}`. Without `classes` the folders' own names are used; a column that is `None` is guessed.
    """

    templates: tuple[str, ...]
    classes: tuple[LabelledClass, ...] | None = None
    image_column: str | None = None
    caption_column: str | None = None


@dataclass(frozen=True, slots=True)
class PairsRead:
    """The pairs in a fixed order, and what gave none, each with its reason."""

    pairs: list[Pair]
    skipped: list[Skipped]


@dataclass(frozen=True)
class Found:
    """One DATA of a known kind, with how it is to be read; its samples are listed once, when they are asked for."""

    data: Data
    kind: str
    options: PairOptions

    @property
    def reading(self) -> Reading:
        """How tables are read: whether the images that they name are there is not looked at."""
        image, caption = IMAGE.named(self.options.image_column), CAPTION.named(self.options.caption_column)
        return Reading(image, target=caption, look_up=False)

    @property
    def stream(self) -> Iterable[Sample | Skipped]:
        """The samples as they are read."""
        return KINDS[self.kind].samples(self.data, self.reading)

    @cached_property
    def samples(self) -> list[Sample | Skipped]:
        """All samples."""
        return list(self.stream)


@dataclass(frozen=True, slots=True)
class CaptionKind:
    """One place where captions are found: how such data is written, whether DATA has it, and its pairs."""

    written: str
    matches: Callable[[Found], bool]
    read: Callable[[Found], PairsRead]


def read_pairs(data: str, *, options: PairOptions) -> PairsRead:
    """The pairs of one DATA, written without its weight, and what was skipped.

    Raises `InputNotFound` where there is no such data or not one pair in it, `BadFile` for a table, metadata or
    folders that do not fit, and `MissingExtra`. Whether the images that a table names are there is not looked at.
    """
    given = Data(data)
    kind = kind_of(given)
    if kind is None:
        raise InputNotFound(f"no such data: {data or repr('')}; check the path")
    found = Found(given, kind, options)
    source = next((source for source in CAPTION_KINDS.values() if source.matches(found)), None)
    if source is None:
        raise _without_captions(given)
    read = source.read(found)
    if not read.pairs:
        raise _without_pairs(data, read)
    return read


def has_metadata(found: Found) -> bool:
    """True where there is a metadata file in a folder or a zip, at whatever depth."""
    return found.kind in TREES and bool(in_tree.metadata_in(found.data))


def has_texts(found: Found) -> bool:
    """True where at least one image has a caption file beside it."""
    return any(not isinstance(one, Skipped) and CAPTION_SUFFIXES.keys() & one.texts.keys() for one in found.samples)


def has_folders(found: Found) -> bool:
    """True where there are images in folders."""
    return any(not isinstance(sample, Skipped) and sample.folder is not None for sample in found.samples)


def from_texts(samples: Iterable[Sample | Skipped]) -> PairsRead:
    """Each image with the captions of the file beside it, in the order of the images."""
    found = PairsRead([], [])
    with sequential_reader() as read:
        for sample in samples:
            if isinstance(sample, Skipped):
                found.skipped.append(sample)
            elif not sample.auxiliary:
                try:
                    found.pairs.append(Pair(sample.item, captions_beside(sample.texts, read=read)))
                except Uncaptioned as reason:
                    found.skipped.append(Skipped(sample.item, str(reason)))
    return found


def from_rows(samples: Iterable[Sample | Skipped]) -> PairsRead:
    """A pair for each image, with the captions of all its rows, in the order in which the images first appear."""
    items: dict[str, ImageItem] = {}
    captions: dict[str, list[str]] = {}
    skipped: list[Skipped] = []
    for sample in samples:
        if isinstance(sample, Skipped):
            skipped.append(sample)
            continue
        try:
            texts = cleaned(sample.cells[CAPTION.holds])
        except Uncaptioned as e:
            skipped.append(Skipped(sample.item, str(e)))
            continue
        # The same file may be written as a.jpg and as ./a.jpg.
        key = os.path.normpath(sample.item.id)
        items.setdefault(key, sample.item)
        captions.setdefault(key, []).extend(texts)
    return PairsRead([Pair(item, tuple(captions[key])) for key, item in items.items()], skipped)


def _from_metadata(found: Found) -> PairsRead:
    """A pair for each image that metadata names, in their order; the other images are skipped."""
    options = found.options
    image, text = in_tree.FILE_NAME.named(options.image_column), in_tree.TEXT.named(options.caption_column)
    reading = replace(found.reading, image=image, target=text)
    samples = list(in_tree.samples_in(in_tree.metadata_in(found.data), found.data.files, reading))
    named = {sample.item.id for sample in samples if not isinstance(sample, Skipped)}
    read = from_rows(samples)
    others = [Skipped(image.item, "not in metadata") for image in found.data.images if image.id not in named]
    return PairsRead(read.pairs, [*read.skipped, *others])


def _from_folders(found: Found) -> PairsRead:
    """Each image with the prompts of its class: one tuple for all images of a class, for there may be millions.

    Raises `BadFile` where a folder belongs to none of the classes that were given.
    """
    options, samples = found.options, [one for one in found.samples if not isinstance(one, Skipped)]
    names = dict.fromkeys(sample.folder for sample in samples if sample.folder is not None)
    classes = from_names(names) if options.classes is None else matched(names, options.classes, where=found.data.text)
    prompts = {labelled: prompts_of(labelled, options.templates) for labelled in classes.values()}
    captions = {name: prompts[labelled] for name, labelled in classes.items()}
    # Two folders of one class are one class; without a labels file the folder's name is the label.
    labels = {name: name if options.classes is None else labelled.label for name, labelled in classes.items()}
    read = PairsRead([], [one for one in found.samples if isinstance(one, Skipped)])
    for sample in samples:
        if sample.folder is None:
            read.skipped.append(Skipped(sample.item, "not in a class folder"))
        elif sample.folder not in captions:
            read.skipped.append(Skipped(sample.item, "folder name is not UTF-8"))
        else:
            read.pairs.append(Pair(sample.item, captions[sample.folder], label=labels[sample.folder]))
    return read


# The first row that matches is taken.
CAPTION_KINDS: dict[str, CaptionKind] = {
    "table": CaptionKind(
        "a .csv, .tsv, .jsonl or .parquet of images and captions",
        lambda found: found.kind == "table",
        lambda found: from_rows(found.stream),
    ),
    "shards": CaptionKind(
        "WebDataset .tar shards", lambda found: found.kind == "shards", lambda found: from_texts(found.stream)
    ),
    "metadata": CaptionKind("a folder with metadata.csv or metadata.jsonl", has_metadata, _from_metadata),
    "texts": CaptionKind(
        "a folder of images with a .txt, .caption or .json each", has_texts, lambda found: from_texts(found.samples)
    ),
    "folders": CaptionKind("a folder of images per class", has_folders, _from_folders),
}


def _without_pairs(data: str, read: PairsRead) -> InputNotFound:
    if not read.skipped:
        return InputNotFound(f"no pairs found in {data}: it is empty; give data with images and captions")
    first = read.skipped[0]
    return InputNotFound(
        f"no pairs found in {data}: {len(read.skipped)} skipped, the first, {first.item.id}, for '{first.reason}';"
        " give each image a caption"
    )


def _without_captions(data: Data) -> InputNotFound:
    if data.images:
        return InputNotFound(
            f"no pairs found in {data.text}, as its images have no captions;"
            " put a .txt beside each image, or the images into a folder per class, or give a table of captions"
        )
    places = "; ".join(source.written for source in CAPTION_KINDS.values())
    return InputNotFound(f"no pairs found in {data.text}; looked for {places}")
