"""What is said in words: warnings and notes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Counted:
    """How often something was met, by kind, with its first example; the rest is as in a `Notice`."""

    one: str
    many: str
    then: str
    warns: bool
    kinds: tuple[tuple[str, int], ...]
    example: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning: something the user should know, though the work goes on. What it was `counted` by, if it was."""

    message: str
    counted: Counted | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class LabelsDoubted(Warned):
    """A warning about labels that the text tower cannot do justice to: what was found, and what to do about it."""

    labels: tuple[str, ...]
    says: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A note about how the work is done. What it was `counted` by, if it was."""

    message: str
    counted: Counted | None = field(default=None, kw_only=True)
