"""How models are fetched, loaded, and encode classes."""

from __future__ import annotations

from dataclasses import dataclass

from clipcli.records import ModelRecord


@dataclass(frozen=True, slots=True)
class Downloading:
    """Progress of a download: bytes `done` of `total`, which is `None` if the server does not say."""

    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Loading:
    """A model is being loaded, from `where` it is: a folder, or words for one. `size` is in bytes."""

    name: str
    where: str
    size: int


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A model was loaded. `runtime` says where it runs, how and why; `details` sums up its checkpoint.

    `record` names the model in a manifest; `None` where nothing is written that has one.
    """

    name: str
    runtime: str
    details: str
    record: ModelRecord | None = None


@dataclass(frozen=True, slots=True)
class ModelKnown:
    """A model was not loaded, as its embeddings so far are in the cache, in this precision."""

    name: str
    precision: str
    details: str
    record: ModelRecord | None = None


@dataclass(frozen=True, slots=True)
class ClassesEncoded:
    """Progress of class embeddings: `done` of `total` classes, `cached` of them from the cache."""

    done: int
    total: int
    cached: int
    prompts_per_class: float
