"""The records that flow down the pipe, from a source to a writer.

A batch's `entries` hold every input in order, bad images included; the rows of its arrays belong, in the same
order, to the entries that are images. Nothing travels in a parallel list that could slip by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes inside a file, such as a member of a tar: `size` of them from `offset` on."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a Parquet file: its row group, its row within that group, and its column."""

    row_group: int
    row: int
    column: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Where bytes lie, as data: it can be pickled, and read in another process.

    `kind` is a key of `clipcli.data.reference.READERS`, which says what `path` and `member` mean for each kind.
    """

    kind: str
    path: str | None = None
    member: str | Span | Cell | bytes | None = None


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One input: its name as the user will see it, and where its bytes lie.

    `cells` are other cells of its row in a table, as text by column. `digest` is a hash of its content, where it was
    read by something that needs one.
    """

    id: str
    reference: Reference
    cells: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    digest: bytes | None = field(default=None, compare=False)

    @property
    def file(self) -> str | None:
        """The file that the image is or lies in: while that file is the same, so is the image. `None` without one."""
        return None if self.reference.kind == "cell or file" else self.reference.path


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input that could not be read or decoded, and why in a few words."""

    item: ImageItem
    reason: str


Entry = ImageItem | Skipped


@dataclass(frozen=True, slots=True)
class Remembered:
    """An input that some models have encoded before: its embedding `[D]` for each model, `None` where there is none."""

    item: ImageItem
    embeddings: tuple[NDArray[np.float32] | None, ...]

    @property
    def is_whole(self) -> bool:
        """Every model has its embedding: the image need not be read."""
        return all(embedding is not None for embedding in self.embeddings)


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded images: `pixels` is uint8 `[N, H, W, 3]`, one per entry that is neither skipped nor wholly remembered.

    `notes` tell the user about anything unusual in how they were made.
    """

    entries: tuple[Entry | Remembered, ...]
    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Embedded:
    """Image embeddings, L2-normalised: for each model float32 `[N, D]`, with a row per entry that is not skipped."""

    entries: tuple[Entry, ...]
    embeddings: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of images against classes: `values` is float32 `[N, C]`, one row per entry that is not skipped."""

    entries: tuple[Entry, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Decision:
    """The classes that one image is given, as indices, best first, with their scores."""

    classes: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """Decisions about images, one per entry that is not skipped."""

    entries: tuple[Entry, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the output: the best `K` labels with their scores, or the reason why there are none.

    `kept` are the cells of the columns that are kept of the inputs' tables, in the order of these columns.
    """

    path: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    error: str | None = None
    kept: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """The model that rows are made with: its name, a fingerprint of its weights, and all that pixels depend on.

    `precision` is the one it runs in, `device` the one it runs on, or `None` where nothing had to be encoded.
    """

    name: str
    fingerprint: str
    preprocessing: str
    precision: str
    device: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How the rows of an output are made, but for the model's files.

    `settings` are all settings of the command, by name. `model` is the model as it was asked for. `classes` have a
    `label`, `aliases` and `descriptions` each. `templates` are those of the prompt set `prompts`; `None` where a
    classifier was given, which `classifier` is a digest of. `inputs` are as they were given, `images` is the number of
    images in them, `images_digest` a digest of their names; `kept` are the columns kept of the inputs' tables.
    """

    command: str
    settings: Mapping[str, Any]
    model: str
    classes: tuple[Mapping[str, Any], ...]
    prompts: str
    templates: tuple[str, ...] | None
    classifier: str | None
    inputs: tuple[str, ...]
    images: int
    images_digest: str
    kept: tuple[str, ...]
