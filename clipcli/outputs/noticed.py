"""What a run says of its inputs and images, kept in the manifest of a shard, so that a merge says it of all shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clipcli.events import Counted
from clipcli.notices import Notices


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was said: of the inputs, which all shards read, with what is not among them, and of the images read."""

    left_out: tuple[str, ...] = ()
    inputs: tuple[Counted, ...] = ()
    images: tuple[Counted, ...] = ()


def of_manifest(written: Mapping[str, Any] | None) -> Noticed:
    """What a manifest holds. Raises `TypeError`, `KeyError` or `ValueError` if it is damaged."""
    if written is None:
        return Noticed()
    inputs, images = (tuple(_counted(one) for one in written[name]) for name in ("inputs", "images"))
    return Noticed(tuple(map(str, written["left_out"])), inputs, images)


def for_manifest(noticed: Noticed) -> dict[str, Any]:
    """What a manifest is to hold."""
    return asdict(noticed)


def of_all(shards: Sequence[Noticed]) -> Noticed:
    """What one run over the images of all shards would have said."""
    notices = Notices()
    for one in shards:
        for counted in one.images:
            notices.add_counted(counted)
    images = tuple(said.counted for said in notices.events() if said.counted is not None)
    return Noticed(shards[0].left_out, shards[0].inputs, images)


def as_notices(counted: Iterable[Counted]) -> Notices:
    """The notices that say what was counted."""
    notices = Notices()
    for one in counted:
        notices.add_counted(one)
    return notices


def _counted(written: Mapping[str, Any]) -> Counted:
    kinds = tuple((str(kind), int(number)) for kind, number in written["kinds"])
    return Counted(**{**written, "kinds": kinds})
