"""What a run says of its inputs and images, kept in the manifest of a shard, so that a merge says it of all shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clipcli.errors import BadFile
from clipcli.events import Counted
from clipcli.files.manifest import manifest_path
from clipcli.notices import Notices


@dataclass(frozen=True, slots=True)
class Noticed:
    """What was said: of the inputs, which all shards read, with what is not among them, and of the images read."""

    left_out: tuple[str, ...] = ()
    inputs: tuple[Counted, ...] = ()
    images: tuple[Counted, ...] = ()


def of_manifest(written: Mapping[str, Any] | None, file: Path) -> Noticed:
    """What the manifest of a file holds. Raises `BadFile` if that is damaged."""
    if written is None:
        return Noticed()
    try:
        inputs, images = (tuple(_counted(one) for one in written[name]) for name in ("inputs", "images"))
        return Noticed(tuple(map(str, written["left_out"])), inputs, images)
    except (TypeError, KeyError, ValueError) as e:
        raise BadFile(f"{manifest_path(file)} is damaged ({e}); label this shard anew") from None


def for_manifest(noticed: Noticed) -> dict[str, Any]:
    """What a manifest is to hold."""
    return asdict(noticed)


def of_all(shards: Sequence[Noticed]) -> Noticed:
    """What one run over the images of all shards would have said."""
    notices = as_notices(counted for one in shards for counted in one.images)
    images = tuple(said.counted for said in notices.events() if said.counted is not None)
    # All shards read all inputs; an older part may not have kept what was said of them.
    of_inputs = next((one for one in shards if one.inputs or one.left_out), Noticed())
    return Noticed(of_inputs.left_out, of_inputs.inputs, images)


def as_notices(counted: Iterable[Counted]) -> Notices:
    """The notices that say what was counted."""
    notices = Notices()
    for one in counted:
        notices.add_counted(one)
    return notices


def _counted(written: Mapping[str, Any]) -> Counted:
    kinds = tuple((str(kind), int(number)) for kind, number in written["kinds"])
    counted = Counted(**{**written, "kinds": kinds})
    texts = (counted.one, counted.many, counted.then, counted.example)
    if not all(isinstance(text, str) for text in texts) or not isinstance(counted.warns, bool):
        raise TypeError("a notice is no text")
    return counted
