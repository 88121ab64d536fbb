"""Files of embeddings with the ids of what they are of, in the layouts that other tools read.

`parquet`: a column `path` (or `text`) and a column `embedding` of lists of float32, as autofaiss and pandas read it.
`npy`: a matrix `[N, D]` float32, as FiftyOne and autofaiss read it, with `FILE.json` beside it.
`safetensors`: the tensor `embeddings`.
`clip-retrieval`: a folder with `img_emb/img_emb_0.npy` (or `text_emb/…`) and `metadata/metadata_0.parquet`, with its
names of columns.

Ids that are not UTF-8 are written in Parquet as `clipcli.files.names` has them, and in JSON as its escapes of the same
look. Each says as well by which model it was made, and which images were left out because they cannot be read.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipcli.errors import BadFile, InputNotFound, MissingExtra, OutputFailed, UsageError, install, one_line, unknown
from clipcli.files.atomic import replacing, write_bytes, write_text
from clipcli.files.names import original, plain
from clipcli.parsed import json_of
from clipcli.records import ModelRecord
from clipcli.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Content = tuple[Mapping[str, Any], Sequence[str], Array]

IMAGES, TEXTS = "images", "texts"
_KEY = "clipcli_embeddings"
# The version of what is said beside the embeddings.
_VERSION = 1
_ROWS_AT_ONCE = 65536


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that has no embedding: its `place` among all images from 0 on, its id, and the reason."""

    place: int
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings `[N, D]` float32, L2-normalised, with the `ids` of what they are of, in input order.

    `of` is `images` or `texts`; the id of an image is its path, that of a text the text. `skipped` are images that
    cannot be read.
    """

    ids: tuple[str, ...]
    embeddings: Array
    of: str
    model: ModelRecord
    skipped: tuple[LeftOut, ...] = ()

    def save(self, path: str | Path, format: str | None = None) -> None:
        """Save to a file, or a folder for `clip-retrieval`; the format is that of the suffix if it is not given.

        Raises `UnknownName` or `UsageError` for the format, `MissingExtra` for Parquet without pyarrow, and
        `OutputFailed`.
        """
        name = choose_format(str(path), format)
        try:
            FORMATS[name].write(self, Path(path))
        except OSError as e:
            raise OutputFailed(f"cannot write {path}: {e.strerror or e}; choose another place") from None

    @classmethod
    def load(cls, path: str | Path) -> Embeddings:
        """Load a file that `save` has written. Raises `InputNotFound`, `BadFile`, and as `save` for the format."""
        import numpy as np

        file = Path(path)
        if not file.exists():
            raise InputNotFound(f"no file of embeddings {path}; make one with clipcli embed")
        try:
            name = "clip-retrieval" if file.is_dir() else choose_format(str(path), None)
            about, ids, embeddings = FORMATS[name].read(file)
            if about[_KEY] != _VERSION or len(ids) != len(embeddings) or embeddings.ndim != 2:
                raise ValueError("of another version, or not whole")
            return cls(
                ids=tuple(ids),
                embeddings=np.ascontiguousarray(embeddings, np.float32),
                of=about["of"],
                model=ModelRecord(**about["model"]),
                skipped=tuple(LeftOut(**one) for one in about["skipped"]),
            )
        except MissingExtra:
            raise
        # The readers of each format have errors of their own.
        except Exception as e:
            why = f"{path} holds no embeddings of clipcli ({one_line(e)})"
            raise BadFile(f"{why}; make it with clipcli embed") from None

    def about(self) -> dict[str, Any]:
        """What is said beside the embeddings, but for the ids."""
        return {
            _KEY: _VERSION,
            "clipcli": __version__,
            "of": self.of,
            "model": asdict(self.model),
            "skipped": [asdict(one) for one in self.skipped],
        }


@dataclass(frozen=True, slots=True)
class Layout:
    """A format of embeddings: the suffix of its files, its functions, and the package that it needs."""

    suffix: str | None
    written: str
    write: Callable[[Embeddings, Path], None]
    read: Callable[[Path], Content]
    needs: str | None = None


def choose_format(output: str, requested: str | None) -> str:
    """The name of the format: as requested, or that of the suffix.

    Raises `UnknownName`, `UsageError` if the suffix has none, and `MissingExtra`.
    """
    if requested is not None and requested not in FORMATS:
        raise unknown("format", requested, FORMATS)
    suffix = Path(output).suffix.lower()
    name = requested or next((name for name, layout in FORMATS.items() if layout.suffix == suffix), None)
    if name is None:
        raise UsageError(f"the format of {output} is not clear from its name; give --format {' or '.join(FORMATS)}")
    needs = FORMATS[name].needs
    if needs and importlib.util.find_spec(needs) is None:
        raise MissingExtra(f"{name} needs {needs}; run {install(needs)}, or use --format npy")
    return name


def paths_of(output: str, format: str) -> list[Path]:
    """The files that are written."""
    path = Path(output)
    return [path, _beside(path)] if format == "npy" else [path]


def _write_npy(embeddings: Embeddings, path: Path) -> None:
    _save_matrix(path, embeddings.embeddings)
    write_text(_beside(path), json.dumps({**embeddings.about(), "ids": embeddings.ids}, indent=1) + "\n")


def _read_npy(path: Path) -> Content:
    import numpy as np

    about = json_of(_beside(path).read_text(encoding="utf-8"))
    return about, about["ids"], np.load(path, mmap_mode="r", allow_pickle=False)


def _write_safetensors(embeddings: Embeddings, path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save

    about = {**embeddings.about(), "ids": embeddings.ids}
    tensors = {"embeddings": np.ascontiguousarray(embeddings.embeddings)}
    write_bytes(path, save(tensors, {"clipcli": json.dumps(about)}))


def _read_safetensors(path: Path) -> Content:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        about = json_of((file.metadata() or {})["clipcli"])
        return about, about["ids"], file.get_tensor("embeddings")


def _write_parquet(embeddings: Embeddings, path: Path) -> None:
    import numpy as np
    import pyarrow as pa

    name = "path" if embeddings.of == IMAGES else "text"
    # One list array holds at most 2³¹ numbers.
    parts = [embeddings.embeddings[n : n + _ROWS_AT_ONCE] for n in range(0, len(embeddings.ids), _ROWS_AT_ONCE)]
    offsets = [np.arange(len(part) + 1, dtype=np.int32) * part.shape[1] for part in parts]
    arrays = [pa.ListArray.from_arrays(at, part.ravel()) for at, part in zip(offsets, parts, strict=True)]
    lists = pa.chunked_array(arrays, pa.list_(pa.float32()))
    _save_table(path, {name: list(map(plain, embeddings.ids)), "embedding": lists}, embeddings.about())


def _read_parquet(path: Path) -> Content:
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    about = json_of(table.schema.metadata[b"clipcli"])
    ids = table.column("path" if about["of"] == IMAGES else "text").to_pylist()
    chunks = [chunk.flatten().to_numpy() for chunk in table.column("embedding").chunks]
    flat = np.concatenate(chunks) if chunks else np.empty(0, np.float32)
    return about, list(map(original, ids)), flat.reshape(len(ids), -1 if len(ids) else 0)


def _write_folder(embeddings: Embeddings, path: Path) -> None:
    name, column = ("img_emb", "image_path") if embeddings.of == IMAGES else ("text_emb", "caption")
    for folder in (path / name, path / "metadata"):
        folder.mkdir(parents=True, exist_ok=True)
    _save_matrix(path / name / f"{name}_0.npy", embeddings.embeddings)
    _save_table(
        path / "metadata" / "metadata_0.parquet", {column: list(map(plain, embeddings.ids))}, embeddings.about()
    )


def _read_folder(path: Path) -> Content:
    import numpy as np
    import pyarrow.parquet as pq

    table = pq.read_table(path / "metadata" / "metadata_0.parquet")
    about = json_of(table.schema.metadata[b"clipcli"])
    name, column = ("img_emb", "image_path") if about["of"] == IMAGES else ("text_emb", "caption")
    return (
        about,
        list(map(original, table.column(column).to_pylist())),
        np.load(path / name / f"{name}_0.npy", allow_pickle=False),
    )


def _save_matrix(path: Path, matrix: Array) -> None:
    import numpy as np

    with replacing(path) as part, open(part, "wb") as file:
        np.save(file, matrix)


def _save_table(path: Path, columns: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns)).replace_schema_metadata({"clipcli": json.dumps(about)})
    with replacing(path) as part:
        pq.write_table(table, part)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


FORMATS: dict[str, Layout] = {
    "parquet": Layout(".parquet", "a .parquet", _write_parquet, _read_parquet, needs="pyarrow"),
    "npy": Layout(".npy", "an .npy, with ids in FILE.json", _write_npy, _read_npy),
    "safetensors": Layout(".safetensors", "a .safetensors", _write_safetensors, _read_safetensors),
    "clip-retrieval": Layout(None, "a folder, as clip-retrieval has it", _write_folder, _read_folder, needs="pyarrow"),
}
