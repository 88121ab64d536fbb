"""Manifests: a file beside an output that says how its rows were made, and of which bytes it speaks.

`labels.csv` has `labels.csv.json`. While a run writes the hidden file `.labels.csv.xxxxxxxx.part`, its manifest is
`.labels.csv.xxxxxxxx.part.json`, so that a run that was killed can be gone on with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from clipcli.errors import BadFile
from clipcli.files.atomic import write_text
from clipcli.records import ModelRecord, Provenance
from clipcli.version import __version__

# The version of what stands in a manifest: one that reads otherwise has another.
VERSION = 1
RUNNING, COMPLETE, INTERRUPTED = "running", "complete", "interrupted"
_KEY = "clipcli_manifest"
Record = TypeVar("Record", "Manifest", ModelRecord, Provenance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """How an output's rows were made, and what became of the run.

    `model` is `None` where no model has been asked. `rows` of them `skipped`, `sha256`, that of the output's bytes, and
    `finished` are `None` while it runs. Times are UTC, as in ISO 8601.
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


def manifest_path(file: Path) -> Path:
    """Where the manifest of a file is."""
    return file.with_name(f"{file.name}.json")


def write_manifest(file: Path, manifest: Manifest) -> None:
    """Write the manifest of a file, atomically, whatever is there. Raises `OSError`."""
    content = {_KEY: VERSION, **asdict(manifest)}
    # Names that are not UTF-8 become JSON's own escapes.
    write_text(manifest_path(file), json.dumps(content, ensure_ascii=False, indent=1) + "\n", errors="backslashreplace")


def read_manifest(file: Path) -> Manifest | None:
    """The manifest of a file, or `None` where it has none. Raises `OSError`, and `BadFile` for what is no manifest."""
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
    """Whether something that is no manifest has the name of this file's. Raises `OSError`."""
    try:
        _content(file)
    except BadFile:
        return True
    return False


def remove_manifest(file: Path) -> None:
    """Remove the manifest of a file, if it has one; a file of its name that is none stays. Raises `OSError`."""
    if not has_foreign_manifest(file):
        manifest_path(file).unlink(missing_ok=True)


def manifests_without_parts(target: Path) -> list[Path]:
    """Manifests of hidden files that are not there any more: a run was killed after it had put its output in place."""
    name = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.part\.json")
    try:
        there = [path for path in target.parent.iterdir() if name.fullmatch(path.name)]
    except OSError:
        # The folder may be one to write in and not to list; they harm nobody.
        return []
    return [path for path in there if not path.with_suffix("").exists()]


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits. Raises `OSError`."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def now() -> str:
    """The time, to the second, in UTC, as in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _content(file: Path) -> dict[str, Any] | None:
    """The content of the manifest of a file, of whatever version. Raises `BadFile` for what is none."""
    path = manifest_path(file)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, IsADirectoryError):
        content = None
    if not isinstance(content, dict) or _KEY not in content:
        raise BadFile(f"{path} is no manifest of clipcli; move it, or give another --output")
    return content


def _record(kind: type[Record], values: Mapping[str, Any]) -> Record:
    """A record of its fields' values as JSON has them. Raises `TypeError` for others than its fields."""
    known = {field.name for field in fields(kind)}
    if not isinstance(values, dict) or set(values) != known:
        raise TypeError(f"expected {', '.join(sorted(known))}")
    return kind(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    """A value as JSON has it, with tuples for lists, as they were before they were written."""
    if isinstance(value, dict):
        return {name: _tuples(one) for name, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
