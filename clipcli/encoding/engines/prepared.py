"""Towers that were prepared: converted for OpenVINO once and kept, so that a run needs neither torch nor open_clip."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipcli.backbones.checkpoint import IMAGE
from clipcli.backbones.clip_tokens import ClipTokenizer
from clipcli.backbones.devices import processor
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.token_bits import of_bits
from clipcli.encoding.engines import openvino, store
from clipcli.encoding.engines.openvino import Tower
from clipcli.encoding.engines.store import EngineRefused, Verdict
from clipcli.errors import MissingExtra, is_out_of_memory, one_line
from clipcli.events import Noted

OPENVINO = "openvino"
# What towers take and give, and what is noted about them. A change of it needs another name.
_FORM = "towers/3"
_TEXTS_PER_BATCH = 64
_PROMPTS_AT_A_TIME = 256


@dataclass(frozen=True, slots=True)
class PreparedImages:
    """An image tower that needs no torch."""

    name: str
    preprocessing: Preprocessing
    dimensions: int
    runtime: Runtime
    tower: Tower

    @classmethod
    def of(cls, tower: Tower, about: Mapping[str, Any], *, name: str, runtime: Runtime) -> PreparedImages:
        """The tower with what was noted `about` it when it was converted."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in about["preprocessing"].items()
        }
        return cls(name, Preprocessing(**fields), about["dimensions"], runtime, tower)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode uint8 pixels `[B, H, W, 3]` as image embeddings `[B, D]`, L2-normalised float32."""
        return self.tower(pixels)


@dataclass(frozen=True)
class PreparedTexts:
    """A text tower that needs no torch, with CLIP's own tokenizer.

    `end` is the id of the end token, `None` for the largest of a row; `untrained` are bits, one for each token.
    """

    tower: Tower
    context_length: int
    is_causal: bool
    end: int | None
    untrained: str
    text_engine = OPENVINO

    @classmethod
    def of(cls, tower: Tower, about: Mapping[str, Any]) -> PreparedTexts:
        """The tower with what was noted `about` it when it was converted."""
        return cls(tower, **about)

    @cached_property
    def tokenizer(self) -> ClipTokenizer:
        """Turns texts into token ids `[B, L]`."""
        return ClipTokenizer(self.context_length)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as embeddings `[B, D]`, L2-normalised float32. The tokenizer cuts texts to the context.

        Texts of similar length are encoded together, so that little of a batch is padding.
        """
        tokens = self.tokenizer(list(texts))
        if not self.is_causal:
            parts = [self.tower(tokens[n : n + _TEXTS_PER_BATCH]) for n in range(0, len(tokens), _TEXTS_PER_BATCH)]
            return np.concatenate(parts)
        ends = (tokens if self.end is None else tokens == self.end).argmax(axis=1)
        order = ends.argsort(kind="stable")
        embeddings = []
        for first in range(0, len(order), _TEXTS_PER_BATCH):
            some = order[first : first + _TEXTS_PER_BATCH]
            embeddings.append(self.tower(tokens[some, : ends[some].max() + 1], ends[some]))
        together: NDArray[np.float32] = np.concatenate(embeddings)[order.argsort()]
        return together

    def normalised_means(self, groups: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """The mean of each group of embeddings `[N, D]`, L2-normalised: `[D]`."""
        means = [group.mean(axis=0) for group in groups]
        return [mean / np.float32(max(float(np.linalg.norm(mean)), 1e-12)) for mean in means]

    def prompts_at_a_time(self) -> int:
        """The number of prompts to encode together."""
        return _PROMPTS_AT_A_TIME

    def untrained_tokens(self) -> frozenset[int]:
        """The tokens whose embedding is zero."""
        return of_bits(self.untrained)


def tower_key(tower: str, *, fingerprint: str, preprocessing: str, precision: str) -> str:
    """The key of a converted tower: a name for everything that it depends on. `preprocessing` is its `repr`."""
    parts = [_FORM, fingerprint, processor(), *([preprocessing] if tower == IMAGE else [])]
    made_of = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    return f"{made_of}-{tower}-{precision}-openvino-{openvino.version()}"


def encodes(what: str, verdict: Verdict) -> Noted:
    """Says that OpenVINO encodes what is named, and how near it comes to torch."""
    return Noted(f"OpenVINO {openvino.version()} encodes {what}; least cosine to torch {verdict.cosine:.5f}")


def load_tower(key: str, verdict: Verdict, *, precision: str) -> Tower:
    """Load a converted tower. Its content is compared with its checksum beside that, or before if its file was touched.

    Raises `EngineRefused` if its verdict is bad, OpenVINO cannot be imported, memory is short, or its file is not as it
    was written: that one is forgotten.
    """
    if verdict.problem is not None:
        raise EngineRefused(verdict.problem)
    with ThreadPoolExecutor(1) as beside:
        try:
            content = store.mapped(key)
            checking = beside.submit(store.check, content, verdict)
            _import_openvino()
            # OpenVINO may crash on a broken file.
            if not store.is_untouched(key, verdict):
                checking.result()
            tower = openvino.load(content, precision=precision)
            checking.result()
        except MissingExtra as e:
            raise EngineRefused(str(e)) from e
        # OpenVINO raises nearly anything on a broken file. The next conversion makes it anew.
        except Exception as e:
            if not is_out_of_memory(e):
                store.forget(key)
            raise EngineRefused(one_line(e)) from e
    return tower


def _import_openvino() -> None:
    try:
        openvino.library()
    except Exception as e:
        raise MissingExtra(f"it cannot be imported: {one_line(e)}") from e
