"""The shards of a run: which of N processes labels which image, and where its row stands in the whole run.

An image is in the shard that a hash of its name says, whatever images there are beside it. So a list that grows moves
no image to another shard.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipcli.errors import UsageError
from clipcli.files.names import plain
from clipcli.records import ImageItem, Provenance, Sharding

AUTO = "auto"
# What stands for the shard in the name of an output.
PLACEHOLDER = "{shard}"
# What a place takes at most, below 2^63, and what is unpacked whatever a manifest says.
_MOST_OF_PLACE, _MOST_UNPACKED = 9, 256 << 20
_WRITTEN = re.compile(r"(\d{1,9})/(\d{1,9})")
_AUTO = re.compile(r"auto(?:/0*([1-9]\d{0,8}))?")
_TORCHRUN, _ARRAY, _KUBERNETES, _SRUN = (*("RANK", "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "SLURM_PROCID"),)
_STEP = "SLURM_STEP_NUM_TASKS"


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shards, whose `number` is from 0 to `count - 1`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def in_names(self) -> str:
        """The shard in the name of a file, as `03-of-16`: names are in the order of the shards."""
        return f"{self.number:0{len(str(self.count - 1))}}-of-{self.count}"

    def has(self, name: str) -> bool:
        """True if the image of this name is in the shard."""
        return number_of(name, self.count) == self.number


def number_of(name: str, count: int) -> int:
    """The number of the shard, of so many, that the image of this name is in."""
    digest = hashlib.blake2b(plain(name).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count


def read_shard(text: str) -> Shard:
    """The shard that `I/N` means. Raises `UsageError`."""
    found = _WRITTEN.fullmatch(text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not number < count:
        raise UsageError(
            f"--shard {text} is no shard; give I/N with I from 0 to N-1, as in 0/8, or auto where torchrun, SLURM or"
            " Kubernetes started the process"
        )
    return Shard(number, count)


def shard_of_process(text: str, environment: Mapping[str, str]) -> tuple[Shard, str | None]:
    """The shard that `I/N`, `auto` or `auto/N` means in a process, and in words where it comes from, unless it is I/N.

    Raises `UsageError` for an `auto` where nothing says which process this is, or how many there are.
    """
    found = _AUTO.fullmatch(text)
    if found is None:
        return read_shard(text), None
    given = None if found[1] is None else int(found[1])
    index = next((name for name in (_TORCHRUN, _ARRAY, _KUBERNETES, _SRUN) if name in environment), None)
    if index is None:
        raise UsageError(
            f"--shard {text} takes the shard from torchrun, SLURM or Kubernetes, and none of them started this process"
            f" ({_TORCHRUN}, {_ARRAY}, {_SRUN} and {_KUBERNETES} are not set); give --shard I/N"
        )
    number, count, who = _said(index, environment, given)
    if number >= count:
        raise UsageError(f"{index} is {number}, and shards are counted from 0 to {count - 1}; start as many processes")
    shard = Shard(number, count)
    return shard, f"shard {shard} by {index}{'' if given else who}"


def _said(index: str, environment: Mapping[str, str], given: int | None) -> tuple[int, int, str]:
    """The number and the count of the shard, and the name of what says the count."""
    number = _whole(index, environment)
    if index == _KUBERNETES and given is None:
        raise UsageError("Kubernetes does not say how many completions a job has; give --shard auto/N with its number")
    if index == _ARRAY and _STEP in environment and _whole(_STEP, environment) > 1:
        raise UsageError("this is an array of jobs of several tasks each; give --shard I/N, counted over all of them")
    if given is not None:
        return number, given, ""
    if index == _ARRAY:
        least, most, count = (_whole(f"SLURM_ARRAY_TASK_{name}", environment) for name in ("MIN", "MAX", "COUNT"))
        if (least, most) != (0, count - 1):
            raise UsageError(
                f"the array's tasks are {count} from {least} to {most}, which does not say how many shards there are;"
                " give the number, as in --shard auto/16, with an array from 0 to 15 or some of it"
            )
        return number, count, " and SLURM_ARRAY_TASK_COUNT"
    of_step = _STEP if _STEP in environment else "SLURM_NTASKS"
    name = "WORLD_SIZE" if index == _TORCHRUN else of_step
    return number, _whole(name, environment), f" and {name}"


def _whole(name: str, environment: Mapping[str, str]) -> int:
    text = environment.get(name, "")
    if not text.isdecimal():
        raise UsageError(f"--shard auto needs {name}, which is {f'{text!r}' if text else 'not set'}; give --shard I/N")
    return int(text)


def started_together(environment: Mapping[str, str]) -> bool:
    """True if one command line starts all processes, so that they cannot be told to write to different files."""
    return _TORCHRUN in environment or (_SRUN in environment and _ARRAY not in environment)


def places_in(shard: Shard, items: Sequence[ImageItem]) -> list[int]:
    """The places in `items` of the images that are in the shard."""
    return [place for place, item in enumerate(items) if shard.has(item.id)]


def sharding_of(shard: Shard, places: Sequence[int], *, images: int, digest: str) -> Sharding:
    """What a manifest tells of a shard of a run of so many images, whose names have this digest."""
    return {
        "number": shard.number,
        "count": shard.count,
        "images": images,
        "images_digest": digest,
        "places": _packed(places),
    }


def places_of(provenance: Provenance) -> list[int]:
    """The places of the rows of a shard in the whole run, by its manifest. Raises `ValueError` for damaged ones."""
    if provenance.shard is None:
        return list(range(provenance.images))
    return _unpacked(provenance.shard["places"], images=provenance.images)


def _packed(places: Sequence[int]) -> str:
    """Rising numbers as text: their gaps in groups of 7 bits as in LEB128, by zlib and Base64.

    With 10,000 images a shard it takes 0.9 bytes an image of 16 shards, 1.5 of 100, and 2.8 of 10,000.
    """
    data, before = bytearray(), -1
    for place in places:
        gap, before = place - before - 1, place
        while gap >= 0x80:
            data.append(gap & 0x7F | 0x80)
            gap >>= 7
        data.append(gap)
    return base64.b64encode(zlib.compress(bytes(data))).decode()


def _unpacked(text: str, *, images: int) -> list[int]:
    """The places of so many images. Raises `ValueError` for a text of anything else."""
    unpacking, most = zlib.decompressobj(), min(_MOST_OF_PLACE * images, _MOST_UNPACKED)
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), most + 1)
    except zlib.error as e:
        raise ValueError(str(e)) from None
    if not unpacking.eof:
        raise ValueError(f"places of more than {images:,} images, or cut off")
    places, before, gap, shift = [], -1, 0, 0
    for byte in data:
        gap |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            before += gap + 1
            places.append(before)
            gap = shift = 0
    return places
