"""Reads tables of JSON: `.jsonl`, a `.json` list of objects, and COCO's captions or classes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from clipcli.data.tables.lines import lines_of
from clipcli.data.tables.table import Row, Table
from clipcli.errors import BadFile, one_line
from clipcli.notices import Notice, Notices
from clipcli.parsed import json_of

# Objects may have different keys: the columns are the keys of this many together.
_OBJECTS_FOR_COLUMNS = 100
NO_IMAGE = Notice(
    "annotation is about an image that the file does not list",
    "annotations are about images that the file does not list",
    "it was left out",
)
_EXPECTED = 'expected a list of objects, such as [{"image": "a.jpg", "caption": "a dog"}], or COCO\'s captions'


def read_jsonl(stream: BinaryIO, name: str, _: Notices) -> Table:
    """A table of one JSON object per line. Raises `BadFile`, with the line, if it cannot be parsed."""
    return _of_objects(
        _objects(stream, name), name, empty=f"{name} line 1: an empty table; write one JSON object a line"
    )


def read_json(stream: BinaryIO, name: str, notices: Notices) -> Table:
    """A table of a list of JSON objects, or of COCO. Raises `BadFile` if it is neither."""
    try:
        content = json_of(stream.read().decode("utf-8-sig", "surrogateescape"))
    except ValueError as e:
        where = f"{name} line {e.lineno}" if isinstance(e, json.JSONDecodeError) else name
        raise BadFile(f"{where}: not JSON: {_reason(e)}; a table with one JSON object a line ends in .jsonl") from None
    if isinstance(content, dict) and _are_objects(content.get("images")):
        return _of_coco(content, name, notices)
    if not _are_objects(content):
        raise BadFile(f"{name}: no table; {_EXPECTED}")
    rows = ((f"{name} object {n}", record) for n, record in enumerate(content, 1))
    return _of_objects(rows, name, empty=f"{name}: an empty table; {_EXPECTED}")


def _of_objects(records: Iterator[tuple[str, dict[str, Any]]], name: str, *, empty: str) -> Table:
    head = list(itertools.islice(records, _OBJECTS_FOR_COLUMNS))
    if not head:
        raise BadFile(empty)
    columns = list(dict.fromkeys(itertools.chain.from_iterable(record for _, record in head)))
    return Table(name, columns, lambda _image, _others: itertools.chain(head, records))


def _objects(stream: BinaryIO, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(lines_of(stream), 1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        try:
            record = json_of(line)
        except ValueError as e:
            raise BadFile(f"{where}: not JSON: {_reason(e)}; write one JSON object a line") from None
        if not isinstance(record, dict):
            raise BadFile(f"{where}: not a JSON object; write one JSON object a line")
        yield where, record


def _reason(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else one_line(error)


def _are_objects(content: object) -> bool:
    return isinstance(content, list) and all(isinstance(one, dict) for one in content)


def _of_coco(content: Mapping[str, Any], name: str, notices: Notices) -> Table:
    """The images of COCO with all their captions, or with a row for each class of an image.

    Raises `BadFile` for boxes, outlines and key points, which are about parts of images.
    """
    annotations = content.get("annotations")
    if not _are_objects(annotations) or not annotations:
        raise BadFile(f"{name}: images of COCO without captions; give the captions_….json of the same images")
    if all("caption" in one for one in annotations):
        return Table(name, ["file_name", "caption"], lambda _image, _others: _captions(content, name, notices))
    if any(key in one for one in annotations for key in ("bbox", "segmentation", "keypoints")):
        raise BadFile(
            f"{name}: boxes or outlines of objects in COCO's form, and clipcli reads captions or labels of whole"
            " images; give the captions_….json of the same images, or a table with the columns image and label"
        )
    if not all("category_id" in one for one in annotations):
        raise BadFile(f"{name}: images of COCO with neither captions nor classes; {_EXPECTED}")
    return Table(name, ["file_name", "label"], lambda _image, _others: _classes(content, name, notices))


def _captions(content: Mapping[str, Any], name: str, notices: Notices) -> Iterator[Row]:
    by_image = _by_image(content, name, notices)
    for image in content["images"]:
        captions = [one["caption"] for one in by_image.get(_id(image, "id"), ())]
        yield f"{name} image {image.get('id')}", {"file_name": image.get("file_name"), "caption": captions}


def _classes(content: Mapping[str, Any], name: str, notices: Notices) -> Iterator[Row]:
    categories = content.get("categories")
    names = {_id(one, "id"): one.get("name") for one in categories} if _are_objects(categories) and categories else {}
    by_image = _by_image(content, name, notices)
    for image in content["images"]:
        for one in by_image.get(_id(image, "id")) or [{}]:
            label = names.get(_id(one, "category_id"))
            yield f"{name} image {image.get('id')}", {"file_name": image.get("file_name"), "label": label}


def _by_image(content: Mapping[str, Any], name: str, notices: Notices) -> dict[object, list[Mapping[str, Any]]]:
    """The annotations of each image, by its id, in the order of the file."""
    found: dict[object, list[Mapping[str, Any]]] = {_id(image, "id"): [] for image in content["images"]}
    found.pop(None, None)
    for n, annotation in enumerate(content["annotations"], 1):
        number = _id(annotation, "image_id")
        if number in found:
            found[number].append(annotation)
        else:
            notices.add(NO_IMAGE, f"annotation {n} of {name}")
    return found


def _id(one: Mapping[str, Any], key: str) -> str | float | None:
    """The id under a key; `None` for what is no id."""
    value = one.get(key)
    return value if isinstance(value, str | int | float) else None
