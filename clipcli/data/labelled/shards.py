"""WebDataset shards whose `.cls`, `.json` or `.txt` says the class."""

from __future__ import annotations

import json
from collections.abc import Mapping

from clipcli.data.labelled.records import Labelled, LabelledData, key_of, name_in, names_of
from clipcli.data.pairs import shards
from clipcli.data.pairs.pair import Data
from clipcli.data.reference import read as read_bytes
from clipcli.records import Reference, Skipped

_LABEL_KEYS = ("label", "class", "class_name", "cls", "category")
# So many images of a shard show whether its texts are names of classes or captions.
_PEEK = 1000


def read(data: Data) -> LabelledData:
    """The images of all shards in order."""
    entries: list[Labelled | Skipped] = []
    for sample in shards.samples(data):
        if isinstance(sample, Skipped):
            entries.append(sample)
            continue
        name = _class_in(sample.texts)
        key = key_of(sample.item.id.partition(".tar/")[2])
        entries.append(Skipped(sample.item, "no label") if name is None else Labelled(sample.item, name, key))
    return LabelledData(data.text, "value", tuple(entries), names_of(entries))


def has_captions(data: Data) -> bool:
    """Whether the texts of the shards are captions: no `.cls`, no label in a `.json`, and most `.txt` of their own."""
    texts: list[str] = []
    for sample in shards.samples(data):
        if isinstance(sample, Skipped):
            continue
        if shards.LABEL_SUFFIX in sample.texts:
            return False
        if ".json" in sample.texts and _under_a_key(read_bytes(sample.texts[".json"]).decode("utf-8", "replace")):
            return False
        texts += [read_bytes(sample.texts[suffix]).decode("utf-8", "replace") for suffix in sample.texts]
        if len(texts) >= _PEEK:
            break
    return 2 * len(set(texts)) > len(texts)


def _class_in(texts: Mapping[str, Reference]) -> str | None:
    """What a shard says about an image's class: its `.cls`, else a key of its `.json`, else the line of its `.txt`."""
    for suffix in (shards.LABEL_SUFFIX, ".json", ".txt"):
        if suffix not in texts:
            continue
        text = read_bytes(texts[suffix]).decode("utf-8-sig", "surrogateescape").strip()
        if suffix == ".json":
            text = _under_a_key(text)
        if (name := name_in(text)) is not None:
            return name
    return None


def _under_a_key(text: str) -> str:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    values = [content[key] for key in _LABEL_KEYS if key in content] if isinstance(content, dict) else []
    return (name_in(values[0]) if values else None) or ""
