"""Reads images with their captions, for `train` and for retrieval."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from clipcli.classes.labels import LabelledClass
from clipcli.classes.normal_form import composed
from clipcli.classes.prompts import prompts_of
from clipcli.data.captions import CAPTION_SUFFIXES, Uncaptioned, captions_beside, captions_in
from clipcli.data.class_names import from_names, matched
from clipcli.data.columns import CAPTION, IMAGE, found_columns
from clipcli.data.kinds import KINDS, TREES, kind_of
from clipcli.data.layouts import check_folders, check_names
from clipcli.data.reference import sequential_reader
from clipcli.data.samples import Reading, Sample, place_of
from clipcli.data.splits import SPLITS, refuse_several, refuse_two_deep
from clipcli.data.tables import in_tree
from clipcli.data.tree import Data
from clipcli.errors import InputNotFound
from clipcli.notices import Notices
from clipcli.records import ImageItem, Skipped


@dataclass(frozen=True, slots=True)
class Pair:
    """An image with its captions, at least one.

    Training draws one of the captions each time it sees the image. `label` is the class of the image in a folder per
    class: the name of the folder, or the label that it matches.
    """

    item: ImageItem
    captions: tuple[str, ...]
    label: str | None = None


@dataclass(frozen=True, slots=True)
class PairOptions:
    """Options for reading pairs.

    `templates` and `classes` are for a folder per class. Each template has one `{}`. Without `classes`, the names of
    the folders are the classes, in words unless `keep_names`. The columns are for tables; a column that is `None` is
    guessed.
    """

    templates: tuple[str, ...]
    classes: tuple[LabelledClass, ...] | None = None
    image_column: str | None = None
    caption_column: str | None = None
    keep_names: bool = False


@dataclass(frozen=True, slots=True)
class PairsRead:
    """The pairs in a fixed order, and the entries that were skipped, with their reasons."""

    pairs: list[Pair]
    skipped: list[Skipped]


@dataclass(frozen=True)
class PairSource:
    """One DATA to read pairs from: its kind, the options, and its samples, which are listed once, at the first use."""

    data: Data
    kind: str
    options: PairOptions

    @property
    def reading(self) -> Reading:
        """The options for reading samples."""
        image, caption = IMAGE.named(self.options.image_column), CAPTION.named(self.options.caption_column)
        return Reading(image, target=caption)

    @property
    def stream(self) -> Iterable[Sample | Skipped]:
        """An iterator over the samples, which are not kept in memory."""
        return KINDS[self.kind].samples(self.data, self.reading)

    @cached_property
    def samples(self) -> list[Sample | Skipped]:
        """All samples."""
        return list(self.stream)


@dataclass(frozen=True, slots=True)
class CaptionKind:
    """One way to store captions.

    `written` describes such data to users, `matches` is true for DATA of this kind, and `read` gives its pairs.
    """

    written: str
    matches: Callable[[PairSource], bool]
    read: Callable[[PairSource], PairsRead]


def read_pairs(data: Data, *, options: PairOptions) -> PairsRead:
    """The pairs of one DATA, whose text has no weight, in a fixed order.

    Raises `InputNotFound` if there is no such data or no pair in it, `BadFile` for a table that cannot be parsed or
    folders that match no class, and `MissingExtra` for Parquet without pyarrow. Images that a table names may be
    missing.
    """
    kind = kind_of(data)
    if kind is None:
        raise InputNotFound(f"no such data: {data.text or repr('')}; check the path")
    source = PairSource(data, kind, options)
    caption_kind = next((row for row in CAPTION_KINDS.values() if row.matches(source)), None)
    if caption_kind is None:
        raise _without_captions(data)
    read = caption_kind.read(source)
    if not read.pairs:
        raise _without_pairs(data.text, read)
    return read


def has_metadata(source: PairSource) -> bool:
    """True if a folder or a zip has a metadata file, at any depth."""
    return source.kind in TREES and bool(in_tree.metadata_in(source.data))


def has_table(source: PairSource) -> bool:
    """True if a folder or a zip has one table at its top, with captions."""
    table = in_tree.table_of(source.data) if source.kind in TREES else None
    return table is not None and bool(
        found_columns(in_tree.open_table(table, source.data.notices).columns, source.reading.target or CAPTION)
    )


def has_texts(source: PairSource) -> bool:
    """True if at least one image has a caption file beside it."""
    samples = (sample for sample in source.samples if not isinstance(sample, Skipped))
    return any(CAPTION_SUFFIXES.keys() & sample.texts.keys() for sample in samples)


def has_folders(source: PairSource) -> bool:
    """True if at least one image is in a folder."""
    return any(not isinstance(sample, Skipped) and sample.folder is not None for sample in source.samples)


def from_texts(samples: Iterable[Sample | Skipped]) -> PairsRead:
    """A pair for each image with a caption file beside it, in the order of the images; the others are skipped."""
    result = PairsRead([], [])
    with sequential_reader() as read:
        for sample in samples:
            if isinstance(sample, Skipped):
                result.skipped.append(sample)
            elif not sample.auxiliary:
                try:
                    result.pairs.append(Pair(sample.item, captions_beside(sample.texts, read=read)))
                except Uncaptioned as reason:
                    result.skipped.append(Skipped(sample.item, str(reason)))
    return result


def from_rows(samples: Iterable[Sample | Skipped], notices: Notices) -> PairsRead:
    """A pair for each image, with the captions of all its rows, in the order of each image's first row."""
    items: dict[str, ImageItem] = {}
    captions: dict[str, list[str]] = {}
    skipped: list[Skipped] = []
    for sample in samples:
        if isinstance(sample, Skipped):
            skipped.append(sample)
            continue
        try:
            texts = captions_in(sample.cells[CAPTION.holds], sample.item.id, notices)
        except Uncaptioned as e:
            skipped.append(Skipped(sample.item, str(e)))
            continue
        key = place_of(sample.item)
        items.setdefault(key, sample.item)
        captions.setdefault(key, []).extend(texts)
    return PairsRead([Pair(item, tuple(captions[key])) for key, item in items.items()], skipped)


def _from_metadata(source: PairSource) -> PairsRead:
    """A pair for each image in the metadata files, in their order; images without a row are skipped."""
    options = source.options
    image, text = in_tree.FILE_NAME.named(options.image_column), in_tree.TEXT.named(options.caption_column)
    reading = replace(source.reading, image=image, target=text)
    data = source.data
    metadata = in_tree.metadata_in(data)
    refuse_several(data.text, [file.parts[0] if len(file.parts) > 1 else None for file in metadata])
    samples = list(in_tree.samples_in(metadata, data.files, reading, notices=data.notices))
    named = {sample.item.id for sample in samples if not isinstance(sample, Skipped)}
    read = from_rows(samples, data.notices)
    others = [Skipped(image.item, "not in metadata") for image in data.images if image.id not in named]
    return PairsRead(read.pairs, [*read.skipped, *others])


def _from_texts_beside(source: PairSource) -> PairsRead:
    """A pair for each image with a caption file. Raises `UsageError` for a tree of several splits."""
    if source.kind in TREES:
        refuse_several(source.data.text, [sample.folder for sample in source.samples if isinstance(sample, Sample)])
    return from_texts(source.samples)


def _from_table_inside(source: PairSource) -> PairsRead:
    """A pair for each image in the table at the top of a folder or a zip."""
    data, table = source.data, in_tree.table_of(source.data)
    tables = [] if table is None else [table]
    return from_rows(in_tree.samples_in(tables, data.files, source.reading, notices=data.notices), data.notices)


def _from_folders(source: PairSource) -> PairsRead:
    """A pair for each image in a folder, with the prompts of its class as captions.

    All images of a class share one tuple of prompts, since there may be millions. Raises `BadFile` if a folder matches
    none of the classes that the user gave.
    """
    options, samples = source.options, [sample for sample in source.samples if not isinstance(sample, Skipped)]
    names = dict.fromkeys(sample.folder for sample in samples if sample.folder is not None)
    if source.kind in TREES:
        check_folders(source.data, names)
    if options.classes is None:
        check_names(names, where=source.data.text)
        in_folders = [(sample.folder, sample.path) for sample in samples if sample.folder is not None]
        refuse_two_deep(source.data.text, in_folders, first=reversed(SPLITS))
    classes = (
        from_names(names, source.data.notices, keep_names=options.keep_names)
        if options.classes is None
        else matched(names, options.classes, where=source.data.text)
    )
    prompts = {labelled: prompts_of(labelled, options.templates) for labelled in classes.values()}
    captions = {name: prompts[labelled] for name, labelled in classes.items()}
    # Several folders may match one class. Without a labels file, the name of the folder is the label, in the first of
    # the forms that Unicode has for it.
    by_form = {composed(name): name for name in reversed(classes)}
    labels = {
        name: by_form[composed(name)] if options.classes is None else labelled.label
        for name, labelled in classes.items()
    }
    read = PairsRead([], [sample for sample in source.samples if isinstance(sample, Skipped)])
    for sample in samples:
        if sample.folder is None:
            read.skipped.append(Skipped(sample.item, "not in a class folder"))
        elif sample.folder not in captions:
            read.skipped.append(Skipped(sample.item, "folder name is not UTF-8"))
        else:
            read.pairs.append(Pair(sample.item, captions[sample.folder], label=labels[sample.folder]))
    return read


# The first kind that matches counts.
CAPTION_KINDS: dict[str, CaptionKind] = {
    "table": CaptionKind(
        "a .csv, .tsv, .json, .jsonl or .parquet of images and captions",
        lambda source: source.kind == "table",
        lambda source: from_rows(source.stream, source.data.notices),
    ),
    "shards": CaptionKind(
        "WebDataset .tar shards", lambda source: source.kind == "shards", lambda source: from_texts(source.stream)
    ),
    "metadata": CaptionKind("a folder with metadata.csv or metadata.jsonl", has_metadata, _from_metadata),
    "table inside": CaptionKind("a folder of images with one table of captions", has_table, _from_table_inside),
    "texts": CaptionKind("a folder of images with a .txt, .caption or .json each", has_texts, _from_texts_beside),
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
    places = "; ".join(caption_kind.written for caption_kind in CAPTION_KINDS.values())
    return InputNotFound(f"no pairs found in {data.text}; looked for {places}")
