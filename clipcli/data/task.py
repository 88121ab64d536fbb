"""Tasks that DATA can be evaluated on: classification where it has classes, retrieval where it has captions."""

from __future__ import annotations

from collections.abc import Iterable

from clipcli.data.class_names import name_in_json
from clipcli.data.columns import CAPTION, LABEL, Columns
from clipcli.data.kinds import KINDS, TREES, kind_of, tables
from clipcli.data.pairs import Found, PairOptions, from_texts, has_folders, has_metadata, has_texts
from clipcli.data.reference import reading_on
from clipcli.data.samples import Reading, Sample
from clipcli.data.tables import in_tree
from clipcli.data.tars import LABEL_SUFFIX
from clipcli.data.tree import Data
from clipcli.records import Skipped

CLASSIFICATION, RETRIEVAL = "classification", "retrieval"
# So many texts of a shard show whether they are names of classes or captions.
_PEEK = 1000


def task_of(data: Data, columns: Columns, *, labelled: bool) -> str:
    """`classification` or `retrieval`: what DATA can be used for; `labelled` says that labels were given.

    Captions in metadata or in a table make it `retrieval`, and so do captions beside images, where there are folders
    of which each could be a class only if most images have one. The `.txt` of shards are captions where most of them
    differ, and names of classes otherwise.
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
        named = set(tables.columns_of(data) if table is None else in_tree.open_table(table).columns)
        return not named & set(LABEL.names) and bool(named & set(CAPTION.names))
    if kind == "shards":
        return _texts_are_captions(KINDS[kind].samples(data, Reading(told=LABEL)))
    found = Found(data, kind, PairOptions(()))
    if has_metadata(found):
        return True
    if not has_texts(found):
        return False
    images = sum(not isinstance(sample, Skipped) for sample in found.samples)
    return not has_folders(found) or 2 * len(from_texts(found.samples).pairs) > images


def _texts_are_captions(samples: Iterable[Sample | Skipped]) -> bool:
    """True without a `.cls` or a label in a `.json`, where most texts are of their own."""
    texts: list[str] = []
    with reading_on() as read:
        for sample in samples:
            if isinstance(sample, Skipped) or sample.aside:
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
