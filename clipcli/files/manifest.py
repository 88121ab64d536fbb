"""Reads and writes manifests: JSON files beside outputs that record how the rows were made.

The manifest of `rows.csv` is `rows.csv.json`. While a run writes the hidden file `.rows.csv.xxxxxxxx.part`, its
manifest is `.rows.csv.xxxxxxxx.part.json`, so that a killed run can be resumed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from clipcli.errors import BadFile
from clipcli.files.atomic import write_text
from clipcli.parsed import json_of
from clipcli.records import ModelRecord, Provenance
from clipcli.version import __version__

# The version of the manifest's format. It changes when fields change.
VERSION = 1
RUNNING, COMPLETE, INTERRUPTED = "running", "complete", "interrupted"
_KEY = "clipcli_manifest"
# Fields that are left out where they are `None`, and one that earlier versions did not write.
_OPTIONAL = {"scores", "shard", "noticed", "pixels"}
Record = TypeVar("Record", "Manifest", ModelRecord, Provenance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The settings and the model that made an output's rows, and the state of the run.

    `model` is `None` until it is known. `rows` is the number of rows, `skipped` that of rows without labels, and
    `sha256` the hash of the output; they and `finished` are `None` while the run is going on. `state` is `running`,
    `complete` or `interrupted`. Times are UTC in ISO 8601. Of a shard `noticed` is what `clipcli.outputs.noticed` makes
    of what was said about its images and all inputs; else it is `None`.
    """

    provenance: Provenance
    model: ModelRecord | None
    format: str
    begun: str
    state: str = RUNNING
    rows: int | None = None
    skipped: int | None = None
    sha256: str | None = None
    finished: str | None = None
    clipcli: str = __version__
    noticed: Mapping[str, Any] | None = None


def manifest_path(file: Path) -> Path:
    """The path of a file's manifest."""
    return file.with_name(f"{file.name}.json")


def write_manifest(file: Path, manifest: Manifest) -> None:
    """Write or replace the manifest of a file, atomically. Raises `OSError`."""
    # Bytes of names that are not UTF-8 become JSON escapes.
    write_text(manifest_path(file), _written(manifest), errors="backslashreplace")


def is_same_but_for_times(one: Manifest, other: Manifest) -> bool:
    """True if two manifests differ in nothing but when the runs began and ended."""
    return _written(replace(one, begun=other.begun, finished=other.finished)) == _written(other)


def read_manifest(file: Path) -> Manifest | None:
    """The manifest of a file; `None` if it has none. Raises `OSError`, and `BadFile` if it is not a valid manifest."""
    content = _content(file)
    if content is None:
        return None
    path, version = manifest_path(file), content.pop(_KEY)
    if version != VERSION:
        raise BadFile(f"{path} is a manifest of another version of clipcli; move it, or give another --output")
    try:
        model, provenance = content["model"], content["provenance"]
        content["model"] = None if model is None else _record(ModelRecord, model)
        content["provenance"] = _record(Provenance, provenance)
        return _record(Manifest, content)
    except (KeyError, TypeError) as e:
        raise BadFile(f"{path} is a manifest with something missing ({e}); move it, or give another --output") from None


def has_foreign_manifest(file: Path) -> bool:
    """True if the path of a file's manifest is taken by something else. Raises `OSError`."""
    try:
        _content(file)
    except BadFile:
        return True
    return False


def remove_manifest(file: Path) -> None:
    """Remove the manifest of a file, if it has one; any other file of that name is kept. Raises `OSError`."""
    if not has_foreign_manifest(file):
        manifest_path(file).unlink(missing_ok=True)


def remove_with_manifest(part: Path) -> None:
    """Remove a hidden file and then its manifest, if they exist. Raises `OSError`."""
    part.unlink(missing_ok=True)
    manifest_path(part).unlink(missing_ok=True)


def manifests_without_parts(target: Path) -> list[Path]:
    """Manifests of no file, as runs leave them that were killed while they wrote one or put the output in place.

    They are those of hidden files that no longer exist, and those that were not yet in place. While they are sought, no
    other run may write the target.
    """
    name, part = re.escape(target.name), r"\.[0-9a-f]{8}\.part"
    of_parts = re.compile(rf"\.{name}{part}\.json")
    unfinished = re.compile(rf"\.{name}\.json{part}|\.\.{name}{part}\.json{part}")
    try:
        beside = list(target.parent.iterdir())
    except OSError:
        # The folder may be writable and not listable; stray manifests do no harm.
        return []
    left = [path for path in beside if of_parts.fullmatch(path.name) and not path.with_suffix("").exists()]
    return left + [path for path in beside if unfinished.fullmatch(path.name)]


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits. Raises `OSError`."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def now() -> str:
    """The current time in UTC, to the second, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _written(manifest: Manifest) -> str:
    content = {_KEY: VERSION, **asdict(manifest)}
    for part in (content, content["provenance"]):
        for name in _OPTIONAL & part.keys():
            if part[name] is None:
                del part[name]
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _content(file: Path) -> dict[str, Any] | None:
    """The JSON object of a file's manifest, of any version; `None` if missing. Raises `BadFile` for other files."""
    path = manifest_path(file)
    try:
        content = json_of(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, IsADirectoryError):
        content = None
    if not isinstance(content, dict) or _KEY not in content:
        raise BadFile(f"{path} is no manifest of clipcli; move it, or give another --output")
    return content


def _record(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """Build a record from a JSON object. Raises `TypeError` if the keys are not the record's fields."""
    known = {field.name for field in fields(kind)}
    if not isinstance(values, dict) or not known - _OPTIONAL <= set(values) <= known:
        raise TypeError(f"expected {', '.join(sorted(known))}")
    return kind(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    """A JSON value with its lists as tuples, as records have them."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
