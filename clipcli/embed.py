"""Image embeddings from batches of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from clipcli.backbones.backbone import Backbone
from clipcli.errors import ClipcliError
from clipcli.image_store import with_remembered
from clipcli.types import Batch, Embedded, ImageItem


def embed(batches: Iterable[Batch], *, backbone: Backbone) -> Iterator[Embedded]:
    """The same entries with image embeddings `[N, D]` in place of pixels; remembered ones are put in their places.

    Raises `ClipcliError` where the model gives something that is not a number.
    """
    for batch in batches:
        encoded = np.empty((0, backbone.dimensions), np.float32)
        if len(batch.pixels):
            encoded = backbone.encode_images(torch.from_numpy(batch.pixels)).cpu().numpy()
            _check(encoded, batch, backbone)
        yield with_remembered(batch.entries, encoded)


def _check(embeddings: np.ndarray, batch: Batch, backbone: Backbone) -> None:
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        images = [entry for entry in batch.entries if isinstance(entry, ImageItem)]
        first = images[int(np.argmin(finite))].id
        precision = backbone.runtime.precision
        advice = "check the weights" if precision == "fp32" else "try --precision fp32"
        raise ClipcliError(f"{backbone.name} in {precision} gives no numbers for {first}; {advice}")
