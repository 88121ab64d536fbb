"""Chooses the task to evaluate DATA on: classification for classes, retrieval for captions."""

from __future__ import annotations

from collections.abc import Iterable

from clipcli.data.class_names import name_in_json
from clipcli.data.columns import CAPTION, LABEL, Columns, found_columns
from clipcli.data.kinds import KINDS, TREES, kind_of, tables
from clipcli.data.pairs import PairOptions, PairSource, from_texts, has_folders, has_metadata, has_texts
from clipcli.data.reference import sequential_reader
from clipcli.data.samples import Reading, Sample
from clipcli.data.tables import in_tree
from clipcli.data.tars import LABEL_SUFFIX
from clipcli.data.tree import Data
from clipcli.records import Skipped

CLASSIFICATION, RETRIEVAL = "classification", "retrieval"
# One that `--multi-label` asks for, which DATA does not tell.
SEVERAL_LABELS = "several labels"
# This many texts of a shard are read to tell captions from class names.
_PEEK = 1000


def task_of(data: Data, columns: Columns, *, labelled: bool) -> str:
    """The task for DATA: `classification` or `retrieval`. `labelled` is true if the user gave labels.

    Labels, or a named label column, make it classification; a named caption column makes it retrieval. Otherwise:

    - a table is for retrieval if it has a caption column and no label column, and so is a folder with metadata files;
    - images with caption files beside them are for retrieval; if they are in folders, only if most have captions;
    - shards are for retrieval if they have no `.cls` or JSON label, and most of their texts differ.

    Raises as the samples of DATA's kind do.
    """
    if labelled or columns.label is not None:
        return CLASSIFICATION
    if columns.caption is not None:
        return RETRIEVAL
    return RETRIEVAL if _has_captions(data) else CLASSIFICATION


def _has_captions(data: Data) -> bool:
    kind = kind_of(data)
    if kind is None:
        return False
    table = in_tree.table_of(data) if kind in TREES else None
    if table is not None or kind == "table":
        named = tables.columns_of(data) if table is None else in_tree.open_table(table, data.notices).columns
        return not found_columns(named, LABEL) and bool(found_columns(named, CAPTION))
    if kind == "shards":
        return _texts_are_captions(KINDS[kind].samples(data, Reading(target=LABEL)))
    source = PairSource(data, kind, PairOptions(()))
    if has_metadata(source):
        return True
    if not has_texts(source):
        return False
    images = sum(not isinstance(sample, Skipped) for sample in source.samples)
    return not has_folders(source) or 2 * len(from_texts(source.samples).pairs) > images


def _texts_are_captions(samples: Iterable[Sample | Skipped]) -> bool:
    """True if no sample has a `.cls` or a JSON label, and more than half of the texts are distinct."""
    texts: list[str] = []
    with sequential_reader() as read:
        for sample in samples:
            if isinstance(sample, Skipped) or sample.auxiliary:
                continue
            if LABEL_SUFFIX in sample.texts:
                return False
            found = {suffix: read(where).decode("utf-8", "replace") for suffix, where in sample.texts.items()}
            if ".json" in found and name_in_json(found[".json"]):
                return False
            texts += found.values()
            if len(texts) >= _PEEK:
                break
    return 2 * len(set(texts)) > len(texts)
