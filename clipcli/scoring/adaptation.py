"""What a classifier was taught by corrections: how many, what that gave, and the unknown threshold that they taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

METHOD = "map-gaussian"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The share of corrected images that are right, before and after, and the gain with its 95 % interval.

    All are by cross-validation: `after` is of images that the classifier was not adapted to.
    """

    before: float
    after: float
    gain: float
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """True if the whole interval of the gain is above 0."""
        return self.low > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """What a classifier was adapted to, and how.

    `images` is the number of corrections with a label, `nones` of those that say `none of these`, and `by_class` has
    the count of each class that has some. `digest` is a SHA-256 of what was corrected to what. Weights are those of
    `method`, with the text embeddings times `text_trust` times the logit scale in them; `prior` is the precision of the
    prior around the text, `None` in files of earlier versions. `accuracy` is `None` where too few corrections could be
    held out. From the score `unknown_at` on an image is unknown; `None` if nothing taught it.
    """

    images: int
    nones: int
    by_class: Mapping[str, int]
    digest: str
    text_trust: float
    accuracy: Accuracy | None
    unknown_at: float | None
    method: str = METHOD
    prior: float | None = None

    def in_words(self) -> str:
        """What it was adapted to, as part of a sentence."""
        by = f"by {self.nones:,} of none of the labels"
        if not self.images:
            return f"taught that images are unknown from {self.unknown_at:.2f} on, {by}"
        taught = "" if self.unknown_at is None else f", unknown from {self.unknown_at:.2f} on {by}"
        number = "1 correction" if self.images == 1 else f"{self.images:,} corrections"
        labels = "1 label" if len(self.by_class) == 1 else f"{len(self.by_class):,} labels"
        return f"adapted to {number} of {labels}{taught}"

    def as_json(self) -> dict[str, Any]:
        """The record as JSON holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Adaptation:
        """The record that `as_json` gave. Raises `TypeError`, `ValueError` or `KeyError` for anything else."""
        accuracy = values["accuracy"]
        facts: dict[str, Any] = {
            "text_trust": float(values["text_trust"]),
            "prior": None if values.get("prior") is None else float(values["prior"]),
            "accuracy": None if accuracy is None else Accuracy(**accuracy),
        }
        return cls(**{**values, **facts})
