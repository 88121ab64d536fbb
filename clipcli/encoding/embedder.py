"""Encodes pixels with one model, in smaller parts if the memory does not hold the whole batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.encoders import ImageEncoder, check_finite
from clipcli.errors import ClipcliError, is_out_of_memory
from clipcli.events import Warned


class Embedder:
    """Encodes pixels with one model. If the memory is too small, it encodes half as many at once from then on."""

    def __init__(self, backbone: ImageEncoder) -> None:
        self._backbone = backbone
        self._most: int | None = None
        self._note: str | None = None

    def __call__(self, pixels: Any, *, ids: Sequence[str]) -> NDArray[np.float32]:
        """Encode uint8 pixels `[N, H, W, 3]` as embeddings `[M, D]` float32.

        The pixels are a tensor on any device, or an array for a model that was prepared.

        `ids` name the first `M` images; any others only fill the batch up. Raises `ClipcliError` if the model gives NaN
        or infinity, and if the memory does not hold even one image.
        """
        if not len(pixels):
            return np.empty((0, self._backbone.dimensions), np.float32)
        halved_before = self._most is not None
        embeddings = self._encode(pixels)[: len(ids)]
        check_finite(embeddings, ids, self._backbone)
        if self._most is not None and not halved_before:
            self._note = (
                f"the memory does not hold {len(pixels)} images at once, but {self._most}; "
                f"going on so, as --batch-size {self._most} would"
            )
        return embeddings

    def warnings(self) -> Iterator[Warned]:
        """A warning if the number of images at once was reduced since the last call."""
        note, self._note = self._note, None
        if note is not None:
            yield Warned(note)

    def _encode(self, pixels: Any) -> NDArray[np.float32]:
        parts: list[NDArray[np.float32]] = []
        first = 0
        while first < len(pixels):
            part = pixels[first : first + (self._most or len(pixels))]
            encoded = self._attempt(part)
            if encoded is None:
                self._most = len(part) // 2
                continue
            parts.append(encoded)
            first += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _attempt(self, pixels: Any) -> NDArray[np.float32] | None:
        """Embeddings of these images, or `None` if they are too many for the memory."""
        try:
            found = self._backbone.encode_images(pixels)
            embeddings: NDArray[np.float32] = found if isinstance(found, np.ndarray) else found.cpu().numpy()
            return embeddings
        except (RuntimeError, MemoryError) as e:
            if not is_out_of_memory(e):
                raise
            if len(pixels) == 1:
                raise ClipcliError(
                    f"the memory does not hold {self._backbone.name} and one image; "
                    "close other programs, or take a smaller model"
                ) from e
        if getattr(pixels, "is_cuda", False):
            import torch

            torch.cuda.empty_cache()
        return None
