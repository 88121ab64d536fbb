"""What is found about labels, as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# The kinds of findings, in the order of the report, with their headings.
KINDS = {
    "words": "Words that the model does not know",
    "alike": "Labels that nearly coincide",
    "never": "Labels that no image gets",
    "everywhere": "Labels that images of all kinds get",
    "missing": "What no label says",
    "prompts": "Prompts that may do better",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about labels that deserves a look.

    `kind` is a key of `KINDS`, and `labels` are those it is about. `says` tells what was found, `suggestion` what to do
    about it, and `effect` what that would change in the counts; `None` where there are no images to count.
    """

    kind: str
    labels: tuple[str, ...]
    says: str
    suggestion: str
    effect: str | None = None


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What `labels` found: the labels, the number of images that get each (`None` without images), and all findings.

    The command line shows the first of each kind, and says how many more there are. `skipped` is the number of images
    that could not be read.
    """

    labels: tuple[str, ...]
    counts: Mapping[str, int] | None
    findings: tuple[Finding, ...]
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Suggested:
    """Labels proposed for a folder that has none, the most frequent first, with the number of images that get each.

    `examples` are the first images of each label.
    """

    counts: Mapping[str, int]
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    skipped: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels alone."""
        return tuple(self.counts)


def images(count: int) -> str:
    """A number of images in words."""
    return f"{count:,} image" if count == 1 else f"{count:,} images"
