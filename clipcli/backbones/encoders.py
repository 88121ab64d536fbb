"""What embeds images and what embeds texts: a loaded model, or one that was prepared, which needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from clipcli.errors import ClipcliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clipcli.backbones.preprocessing import Preprocessing
    from clipcli.backbones.runtime import Runtime


class ImageEncoder(Protocol):
    """An image tower with its preprocessing. `encode_images` takes and gives tensors, or arrays if it is prepared."""

    @property
    def name(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def runtime(self) -> Runtime: ...
    def encode_images(self, pixels: Any) -> Any: ...


class TextEncoder(Protocol):
    """A text tower with its tokenizer. `text_engine` is the engine that its embeddings depend on."""

    @property
    def text_engine(self) -> str: ...
    @property
    def tokenizer(self) -> Any: ...
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]: ...
    def normalised_means(self, groups: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]: ...
    def prompts_at_a_time(self) -> int: ...
    def untrained_tokens(self) -> frozenset[int]: ...


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def runtime(self) -> Runtime: ...


def check_finite(embeddings: Any, names: Sequence[str], backbone: _Named) -> None:
    """Raise `ClipcliError` if embeddings `[B, D]` have NaN or infinity: it names the first image or text of such.

    They are a tensor or an array.
    """
    finite = (abs(embeddings) < float("inf")).all(1).tolist()
    if all(finite):
        return
    precision = backbone.runtime.precision
    advice = "check the weights" if precision in ("fp32", "tf32") else "try --precision fp32"
    raise ClipcliError(f"{backbone.name} in {precision} gives no numbers for {names[finite.index(False)]}; {advice}")
