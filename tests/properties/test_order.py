"""Every image keeps its own row: bad images, batches and threads move nothing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_data import in_memory

from clipcli.encoding.encoders import Encoders
from clipcli.images.batches import batches
from clipcli.images.stopwatch import Stopwatch
from clipcli.images.threads import DecodeThreads
from clipcli.records import Batch, ImageItem, Row, Scores, Skipped
from clipcli.scoring.classifier import Classifier
from clipcli.scoring.decide import decide
from clipcli.scoring.rows import to_rows
from clipcli.scoring.score import score

COUNT = 12
LABELS = tuple(f"grey {n}" for n in range(COUNT))
BAD = st.lists(st.booleans(), max_size=COUNT)
SETTINGS = settings(max_examples=40, deadline=None)


def _png(grey: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (1, 1), grey).save(stream, "PNG")
    return stream.getvalue()


GREYS = [_png(n) for n in range(COUNT)]


def _items(bad: Sequence[bool]) -> list[ImageItem]:
    """The image at position n is one pixel of grey n, if it is not bad."""
    return [in_memory(f"{n}", b"bad" if bad[n] else GREYS[n]) for n in range(len(bad))]


def _batches(bad: Sequence[bool], *, batch_size: int, workers: int) -> list[Batch]:
    return list(batches(_items(bad), resize=lambda image: image, batch_size=batch_size, threads=DecodeThreads(workers)))


def _classifier(embeddings: np.ndarray, **changes: object) -> Classifier:
    facts = {"model": "x", "fingerprint": "x", "prompts": "x", "precision": "fp32", "logit_scale": 10.0}
    labels = tuple(f"grey {n}" for n in range(len(embeddings)))
    return Classifier(embeddings, labels, **{**facts, "logit_bias": -1.0, "score": "softmax", **changes})


@SETTINGS
@given(bad=BAD, batch_size=st.integers(1, COUNT + 1), workers=st.integers(1, 4))
def test_batches_hold_every_input_once_in_order(bad: list[bool], batch_size: int, workers: int) -> None:
    read = _batches(bad, batch_size=batch_size, workers=workers)
    entries = [entry for batch in read for entry in batch.entries]
    assert [e.item.id if isinstance(e, Skipped) else e.id for e in entries] == [f"{n}" for n in range(len(bad))]
    assert [isinstance(e, Skipped) for e in entries] == bad
    for batch in read:
        ids = [int(e.id) for e in batch.entries if isinstance(e, ImageItem)]
        assert [int(pixels[0, 0, 0]) for pixels in batch.pixels] == ids


@SETTINGS
@given(bad=BAD, batch_size=st.integers(1, COUNT + 1), kind=st.sampled_from(["softmax", "sigmoid", "cosine"]))
def test_every_row_holds_the_label_of_its_own_image(bad: list[bool], batch_size: int, kind: str) -> None:
    def encode_images(pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(pixels[:, 0, 0, 0].long(), COUNT).float()

    classifier = _classifier(np.eye(COUNT, dtype=np.float32))
    rows: list[Row] = []
    decoded = _batches(bad, batch_size=batch_size, workers=2)
    runtime = SimpleNamespace(device="cpu", kind="cpu", precision="fp32", batch_size=batch_size)
    backbone: Any = SimpleNamespace(encode_images=encode_images, dimensions=COUNT, runtime=runtime)
    encoders = Encoders([backbone], watch=Stopwatch())
    for (batch,), (embeddings,) in encoders.each((one,) for one in decoded):
        values = score(embeddings, classifier, kind=kind)
        rows += to_rows(decide(Scores(batch.entries, values), top_k=1), LABELS)
    assert [row.path for row in rows] == [f"{n}" for n in range(len(bad))]
    assert [row.labels for row in rows] == [() if b else (LABELS[n],) for n, b in enumerate(bad)]
    assert [row.error is not None for row in rows] == bad


@SETTINGS
@given(
    count=st.integers(1, 20),
    size=st.integers(1, 8),
    kind=st.sampled_from(["softmax", "sigmoid", "cosine"]),
    seed=st.integers(0, 1000),
)
def test_the_size_of_the_batches_does_not_matter(count: int, size: int, kind: str, seed: int) -> None:
    # Small whole numbers: their products are exact, and there are many ties.
    rng = np.random.default_rng(seed)
    images = rng.integers(-2, 3, (count, 4)).astype(np.float32)
    classifier = _classifier(rng.integers(-2, 3, (6, 4)).astype(np.float32))
    items = [in_memory(f"{n}") for n in range(count)]

    def scores_of(start: int, size: int) -> Scores:
        part = slice(start, start + size)
        return Scores(tuple(items[part]), score(images[part], classifier, kind=kind))

    def rows(size: int) -> list[Row]:
        return [
            row
            for start in range(0, count, size)
            for row in to_rows(decide(scores_of(start, size), top_k=6), classifier.labels)
        ]

    whole, parts = rows(count), rows(size)
    assert [(row.path, row.labels) for row in parts] == [(row.path, row.labels) for row in whole]
    np.testing.assert_allclose([row.scores for row in parts], [row.scores for row in whole], rtol=1e-6)
