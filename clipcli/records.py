"""The records that stages pass on, from the list of images to the rows of an output.

`entries` hold every input in order, also those skipped. The arrays beside them have a row for each entry that is an
image, in the same order, so items and arrays cannot get out of step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
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


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """An image that a program holds: a PIL image, or an array uint8 `[H, W]`, `[H, W, 3]` or `[H, W, 4]`.

    Whoever reads it takes the `lock`: PIL reads the file of an image at its first use.
    """

    image: Any
    lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def pixels(self) -> int:
        """The number of its pixels."""
        height, width = self.image.shape[:2] if hasattr(self.image, "shape") else self.image.size
        return int(height * width)


# What an image is decoded from: the bytes of its file, or the image that a program holds.
Content = bytes | Held


@dataclass(frozen=True, slots=True)
class Frame:
    """One of `of` frames that are spread evenly over a file of several frames or pages; `number` counts from 0."""

    number: int
    of: int

    def place(self, count: int) -> int | None:
        """Its place among the `count` frames of the file; `None` if it has fewer frames than were asked for."""
        if self.of == 1:
            return 0
        if count <= self.of:
            return self.number if self.number < count else None
        return (2 * self.number + 1) * count // (2 * self.of)


# The one frame of most images, and the first one of others.
WHOLE = Frame(0, 1)


@dataclass(frozen=True, slots=True)
class Reference:
    """A pointer to the bytes of an image or text, which can be pickled and read in another process.

    `kind` is a key of `clipcli.data.reference.READERS`, where `path` and `member` are explained for each kind. With
    `held`, which is only in this process, `member` is the image itself. `frame` is the one that is looked at.
    """

    kind: str
    path: str | None = None
    member: str | Span | Cell | bytes | Held | None = None
    frame: Frame = WHOLE


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One input image: `id` is its name as users see it, `reference` points to its bytes.

    `cells` are the kept cells of its row in a table, as text by column. `digest` is a hash of its bytes, or `None` if
    it was not needed.
    """

    id: str
    reference: Reference
    cells: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    digest: bytes | None = field(default=None, compare=False)

    @property
    def file(self) -> str | None:
        """The file that holds the image; `None` if the image could change while this file does not."""
        return None if self.reference.kind == "cell or file" else self.reference.path


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input that could not be read or decoded, with the reason in a few words."""

    item: ImageItem
    reason: str


Entry = ImageItem | Skipped


@dataclass(frozen=True, slots=True)
class Remembered:
    """An input with embeddings from earlier runs: float32 `[D]` for each model, `None` if a model has none."""

    item: ImageItem
    embeddings: tuple[NDArray[np.float32] | None, ...]

    @property
    def is_whole(self) -> bool:
        """True if every model has an embedding, so that the image need not be read."""
        return all(embedding is not None for embedding in self.embeddings)


@dataclass(frozen=True, slots=True)
class Batch:
    """Decoded images: `pixels` is uint8 `[N, H, W, 3]`, one per entry that is neither skipped nor `is_whole`.

    `notes` are messages for the user about anything unusual in decoding.
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
    """The best classes of one image as indices, best first, with their scores.

    `all_scores` are those of all classes, in their order, where they are wanted.
    """

    classes: tuple[int, ...]
    scores: tuple[float, ...]
    all_scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Decided:
    """Decisions about images, one per entry that is not skipped."""

    entries: tuple[Entry, ...]
    decisions: tuple[Decision, ...]


# Who chose the labels of a row.
MODEL, PERSON = "model", "person"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the output: the labels of an image with their scores, best first, or an error.

    `path` is the id of the image. The labels are the top-k, or with `multi_label` all over their threshold, of which
    there may be none. `error` is the reason why an image has no row of labels; `None` if it has. `kept` are the cells
    of the columns kept from the inputs' tables, in the order of the columns. With `wide`, `all_scores` are the scores
    of all labels, in the order of the labels. `label_path` is the best label with the names of its groups before it, as
    in `animal/dog/beagle`; `None` where the classes have no groups. `source` says who chose the labels, `model` or
    `person`, in outputs that are kept up to date; `None` in others, where the model did.
    """

    path: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    error: str | None = None
    kept: tuple[str | None, ...] = ()
    all_scores: tuple[float, ...] = ()
    label_path: str | None = None
    source: str | None = None


def lead_of(row: Row) -> float:
    """How far the score of the label is above the next one; the score itself where there is no other."""
    return row.scores[0] - row.scores[1] if len(row.scores) > 1 else row.scores[0]


class Rows(Iterator[Row]):
    """The rows of a call, each made when it is asked for.

    `len` is the number of all of them, one for each image, from the beginning: a bar of progress has its total.
    """

    def __init__(self, rows: Iterator[Row], *, count: int) -> None:
        self._rows, self._count = rows, count

    def __next__(self) -> Row:
        """The next row. Raises the errors of `clipcli.errors` if a model fails while it runs."""
        return next(self._rows)

    def __len__(self) -> int:
        return self._count

    def through(self, pass_on: Callable[[Iterator[Row]], Iterator[Row]]) -> Rows:
        """The same rows, each passed on by a generator."""
        return Rows(pass_on(self._rows), count=self._count)


# Which way of making pixels of images this is. It changes where the pixels of any image do.
PIXELS = 4
# That of records which do not state it.
_PIXELS_BEFORE = 2


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """The model that made rows: its name, a fingerprint of its weights, and its preprocessing.

    `precision` and `device` are those it ran in and on; `device` is `None` if nothing had to be encoded. `pixels` is
    the way in which images became pixels, as `PIXELS`.
    """

    name: str
    fingerprint: str
    preprocessing: str
    precision: str
    device: str | None
    pixels: int = _PIXELS_BEFORE


# A shard of a run: its `number` and the `count` of all, the `images` of the whole run with the `images_digest` of their
# names, and the packed `places` of its rows among theirs.
Sharding = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The settings, classes and inputs that decide the rows of an output. The model itself is a `ModelRecord`.

    `settings` are all settings of the command, by name. `model` and `inputs` are as the user wrote them. Each of
    `classes` has a `label`, `aliases` and `descriptions`, and `groups` where they are in some. `templates` are those of
    the prompt set `prompts`. For a classifier that was given, `templates` is `None` and `classifier` its digest.
    `images` is the number of images, `images_digest` a digest of their ids, and `kept` are the columns kept from the
    inputs' tables. `scores` says in words what was done to a classifier that was given, such as calibrating it; `None`
    if nothing was. `shard` tells of which part of a run `images` are; `None` if they are all.
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
    scores: str | None = None
    shard: Sharding | None = None

    @property
    def has_groups(self) -> bool:
        """True if the classes are in groups, so that rows have a `label_path`."""
        return any("groups" in one for one in self.classes)
