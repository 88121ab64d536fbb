"""What is said in words: warnings and notes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning: something the user should know, though the work goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class LabelsDoubted(Warned):
    """A warning about labels that the text tower cannot do justice to: what was found, and what to do about it."""

    labels: tuple[str, ...]
    says: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A note about how the work is done."""

    message: str
