"""Image embeddings from batches of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from clipcli.backbones.backbone import Backbone
from clipcli.errors import ClipcliError
from clipcli.types import Batch, Embedded, Skipped


def embed(batches: Iterable[Batch], *, backbone: Backbone) -> Iterator[Embedded]:
    """The same entries with image embeddings `[N, D]` in place of pixels.

    Raises `ClipcliError` where the model gives something that is not a number.
    """
    for batch in batches:
        if not len(batch.pixels):
            yield Embedded(batch.entries, np.empty((0, backbone.dimensions), np.float32))
            continue
        embeddings = backbone.encode_images(torch.from_numpy(batch.pixels)).cpu().numpy()
        _check(embeddings, batch, backbone)
        yield Embedded(batch.entries, embeddings)


def _check(embeddings: np.ndarray, batch: Batch, backbone: Backbone) -> None:
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        images = [entry for entry in batch.entries if not isinstance(entry, Skipped)]
        first = images[int(np.argmin(finite))].id
        precision = backbone.runtime.precision
        advice = "check the weights" if precision == "fp32" else "try --precision fp32"
        raise ClipcliError(f"{backbone.name} in {precision} gives no numbers for {first}; {advice}")
