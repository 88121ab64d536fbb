"""Says where the time of a run went, and what took most of it, for `--verbose`."""

from __future__ import annotations

from clipcli.events import TimeSpent

# What each kind of work is called, and what is said of it where it takes most of the time.
_KINDS = {
    "start": ("starting and finding the images", "starting, and finding the images"),
    "load": ("loading", "loading the model, which takes as long for a million images"),
    "labels": ("labels", "encoding the labels, which the cache keeps for the next run"),
    "cache": ("cache", "the cache, on disk"),
    "wait": ("waiting for pixels", ""),
    "copy": ("copying", "copying to the card"),
    "encode": ("encoding", "the model"),
    "write": ("scoring and writing", "scoring and writing"),
    "finish": ("finishing", "what comes after the images: figures and files"),
    "other": ("other", "nothing by itself"),
}
_WAITED_FOR = {
    "read": "reading the images; a faster disk would help",
    "decode": "decoding; --decode fast, more --workers or more cores would help",
}


def where_time_went(spent: TimeSpent) -> str:
    """The seconds of each kind of work, which sum to the total, and the bottleneck."""
    in_turn = [f"{_KINDS[kind][0]} {seconds:.1f}" for kind, seconds in spent.in_turn.items() if seconds >= 0.05]
    beside = f" Beside these, in {spent.workers} threads: reading {spent.read:.1f}, decoding {spent.decode:.1f}."
    bottleneck = _WAITED_FOR.get(spent.bottleneck) or _KINDS[spent.bottleneck][1]
    return (
        f"Seconds, of {spent.total:.1f}: {', '.join(in_turn)}.{beside if spent.workers else ''}"
        f" The bottleneck: {bottleneck}."
    )
