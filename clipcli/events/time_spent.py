"""The time that a run spent, by kind of work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpent:
    """The seconds that a run spent on each kind of work, out of `total`.

    `load` is the time to load models, `labels` to encode classes, `cache` to look images up and keep them, `wait` the
    time that the model waited for pixels, `copy` to start copies to a card, `write` what the caller took to score and
    write. `start` came before the images were listed, and `finish` after the last: the caller knows of them. Beside all
    that, `read` and `decode` are summed over `workers` threads.
    """

    total: float
    start: float = 0.0
    load: float = 0.0
    labels: float = 0.0
    cache: float = 0.0
    read: float = 0.0
    decode: float = 0.0
    wait: float = 0.0
    copy: float = 0.0
    encode: float = 0.0
    write: float = 0.0
    finish: float = 0.0
    workers: int = 0

    @property
    def in_turn(self) -> dict[str, float]:
        """The seconds of the work that is done in turn, by kind, `other` among them: they sum to the total."""
        kinds = ("start", "load", "labels", "cache", "wait", "copy", "encode", "write", "finish")
        spent: dict[str, float] = {kind: getattr(self, kind) for kind in kinds}
        return spent | {"other": self.total - sum(spent.values())}

    @property
    def bottleneck(self) -> str:
        """The kind of work that took most of the time, of `in_turn`; for `wait` it is what was waited for."""
        spent = self.in_turn
        slowest = max(spent, key=spent.__getitem__)
        if slowest != "wait":
            return slowest
        return "read" if self.read > self.decode else "decode"
