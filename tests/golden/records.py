"""Records of what was written, each with the signature of where that was: compared, or with CLIPCLI_RECORD=1 made."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RECORDS = Path(__file__).with_name("records")
RECORDING = os.environ.get("CLIPCLI_RECORD") == "1"
BYTES, TOLERANCE, RECORDED = "to the byte", "within a tolerance", "recorded"
_SIGNATURE = "environment.json"
_LIBRARIES = (
    *("numpy", "pillow", "open_clip_torch", "timm", "scikit-learn", "scipy", "pyarrow", "peft", "safetensors"),
)
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)")
# What no two kinds of processors agree on: hashes, and which regularisation is best of some that are as good.
_HASHED = re.compile(r'^.*(sha256|"weights": ).*$|"regularisation": \[[^]]*\]', flags=re.MULTILINE)


def signature() -> dict[str, str]:
    """What the last digits depend on: the processor, and the libraries that compute."""
    import torch

    found = {"processor": _processor(), "capability": torch.backends.cpu.get_cpu_capability()}
    found["torch"] = torch.__version__
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def _processor() -> str:
    """The processor's name with its family, model and stepping, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    facts = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in lines if ":" in line)
    name = facts.get("model name", platform.machine())
    return f"{name}, {'/'.join(facts.get(key, '?') for key in ('cpu family', 'model', 'stepping'))}"


def check(
    case: str,
    texts: Mapping[str, str],
    *,
    wide: Mapping[str, float] | None = None,
    absolute: float = 0.0,
    relative: float = 0.0,
) -> str:
    """Compare the texts with those of the record, or make it; which of them was done.

    The tolerance, for numbers, holds where the record was made elsewhere; `wide` has the absolute one of some texts.
    """
    folder = RECORDS / case
    here = signature()
    if RECORDING:
        _write(folder, {**texts, _SIGNATURE: json.dumps(here, indent=1) + "\n"})
        return RECORDED
    recorded = {path.name: _read(path) for path in folder.iterdir()}
    same = json.loads(recorded.pop(_SIGNATURE)) == here
    assert sorted(recorded) == sorted(texts), f"{case}: other files than recorded"
    for name, text in texts.items():
        if same:
            difference = None if text == recorded[name] else _first_line(recorded[name], text)
        else:
            difference = _beyond(recorded[name], text, absolute=(wide or {}).get(name, absolute), relative=relative)
        assert difference is None, f"{case}/{name} is not as recorded ({BYTES if same else TOLERANCE}): {difference}"
    return BYTES if same else TOLERANCE


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode("utf-8"))


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _first_line(recorded: str, text: str) -> str:
    """The first line that is not the same."""
    before, now = recorded.splitlines(keepends=True), text.splitlines(keepends=True)
    for n, (old, new) in enumerate(zip(before, now, strict=False), start=1):
        if old != new:
            return f"line {n} was {old!r} and is {new!r}"
    return f"{len(before)} lines were recorded, and {len(now)} are there"


def _beyond(recorded: str, text: str, *, absolute: float, relative: float) -> str | None:
    """The first word that is another, or the first number that is too far off; hashes are not looked at."""
    before, now = (_NUMBER.split(_HASHED.sub("", one)) for one in (recorded, text))
    for old, new in zip(before, now, strict=False):
        if old == new:
            continue
        if not (_NUMBER.fullmatch(old) and _NUMBER.fullmatch(new)):
            return f"{old!r} became {new!r}"
        if abs(float(new) - float(old)) > max(absolute, relative * abs(float(old))):
            return f"{old} became {new}"
    return None if len(before) == len(now) else f"{len(before)} parts were recorded, and {len(now)} are there"


def hash_of_weights(path: Path) -> str:
    """One hash of all tensors of a safetensors file: their names, types, shapes and bytes, whatever their order."""
    from safetensors import safe_open

    digest = hashlib.sha256()
    with safe_open(path, framework="np") as file:
        names = sorted(file.keys())
        for name in names:
            tensor = file.get_tensor(name)
            digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
            digest.update(tensor.tobytes())
    return f"{len(names)} tensors, sha256 {digest.hexdigest()}\n"


def parquet_as_text(path: Path) -> str:
    """The schema and the rows of a Parquet file, and the hash of its bytes."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    rows = [json.dumps(row, ensure_ascii=False) for row in table.to_pylist()]
    return "\n".join([f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}", str(table.schema), *rows, ""])
