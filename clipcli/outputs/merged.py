"""Merges the outputs of all shards of a run into that of the whole run, once their manifests say that they fit."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from operator import itemgetter

from clipcli.errors import BadFile, InputNotFound, UsageError, some_of
from clipcli.files.atomic import parts_of
from clipcli.files.manifest import COMPLETE, Manifest, manifest_path, read_manifest, sha256_of
from clipcli.outputs.differences import differences, differences_of_models
from clipcli.outputs.noticed import Noticed, of_manifest
from clipcli.outputs.read import read_rows
from clipcli.outputs.remote import fetch, local_path
from clipcli.outputs.shards import Shard, places_of
from clipcli.records import Row, Sharding
from clipcli.scoring.schema import Schema

# Files that a process has open beside the parts.
_OTHER_FILES = 64


@dataclass(frozen=True, slots=True)
class Part:
    """The output of one shard, where its rows stand in the whole run, and what was said while they were made."""

    path: str
    manifest: Manifest
    sharding: Sharding
    places: Sequence[int]
    noticed: Noticed = field(default_factory=Noticed)

    @property
    def shard(self) -> Shard:
        """The shard that its rows are of."""
        return Shard(self.sharding["number"], self.sharding["count"])


def read_part(path: str) -> Part:
    """The output of a shard with its manifest, checked to be whole.

    Raises `InputNotFound` if it is not there, `BadFile` if its manifest is none, and `UsageError` if it is of no shard,
    or not as it was written, or a run has not ended.
    """
    file = fetch(path)
    if not file.is_file():
        begun = []
        with suppress(OSError):
            begun = parts_of(file.resolve())
        todo = "its run was stopped or goes on; end it with --resume" if begun else "check the path"
        raise InputNotFound(f"no such part: {path}; {todo}")
    manifest = read_manifest(file.resolve())
    if manifest is None:
        raise UsageError(f"{path} has no manifest ({manifest_path(file).name}); copy it from where the part was made")
    sharding = manifest.provenance.shard
    if sharding is None:
        raise UsageError(f"{path} is no part: it was labelled without --shard; leave it out")
    try:
        noticed = of_manifest(manifest.noticed, file)
        part = Part(path, manifest, sharding, places_of(manifest.provenance), noticed)
        if not 0 <= part.shard.number < part.shard.count or sharding["images"] < len(part.places):
            raise ValueError("there is no such shard")
    except (ValueError, KeyError, TypeError) as e:
        raise BadFile(f"{manifest_path(file)} is damaged ({e}); label this shard anew") from None
    if manifest.state != COMPLETE:
        raise UsageError(
            f"{path} has {manifest.rows or 0:,} of the {manifest.provenance.images:,} rows of shard {part.shard}; run"
            " its command again with --resume"
        )
    if manifest.sha256 != sha256_of(file):
        raise UsageError(
            f"{path} was changed since it was written; label shard {part.shard} anew, and correct what is merged"
        )
    if len(part.places) != manifest.rows:
        raise BadFile(f"{path} has {manifest.rows:,} rows, and its manifest places of others; label it anew")
    return part


def check_parts(parts: Sequence[Part]) -> None:
    """Check that the parts are all shards of one run, each once, made with the same settings by the same model.

    Raises `UsageError` with what differs, or the shards that are missing or there twice.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.sharding["count"] != first.sharding["count"]:
            raise _do_not_fit(
                first, part, [f"one is of {first.sharding['count']} shards, the other of {part.sharding['count']}"]
            )
        _check_alike(first, part)
    _check_models(parts)
    _check_shards(parts)
    taken = bytearray(first.sharding["images"])
    for part in parts:
        for place in part.places:
            if place >= len(taken) or taken[place]:
                raise BadFile(f"{part.path} has rows of other shards, by its manifest; label shard {part.shard} anew")
            taken[place] = True
    if not all(taken):
        raise BadFile(f"the parts lack {taken.count(0):,} of {len(taken):,} rows by their manifests; label them anew")


def _check_alike(first: Part, part: Part) -> None:
    one, other = (_whole(each) for each in (first, part))
    different = differences(one.provenance, other.provenance)
    sizes = [each.provenance.settings.get("batch_size") for each in (one, other)]
    if sizes[0] != sizes[1]:
        # Harmless to a run that goes on, but other last digits are not those of one process.
        different.append(f"--batch-size was {sizes[0] or 'not given'} and is {sizes[1] or 'not given'}")
    if not different and any(first.sharding[name] != part.sharding[name] for name in ("images", "images_digest")):
        counts = f"{first.sharding['images']:,} and {part.sharding['images']:,}"
        different = [f"the inputs were others, with {counts} images in all"]
    if different:
        raise _do_not_fit(first, part, different)


def _check_models(parts: Sequence[Part]) -> None:
    """Compare the models of parts that have one: a part without an image has none."""
    known = [(part, part.manifest.model) for part in parts if part.manifest.model is not None]
    # Where nothing had to be encoded, no device is known.
    known.sort(key=lambda one: one[1].device is None)
    for part, model in known[1:]:
        different = differences_of_models(known[0][1], model)
        if different:
            raise _do_not_fit(known[0][0], part, different)


def _check_shards(parts: Sequence[Part]) -> None:
    count = parts[0].sharding["count"]
    twice = [number for number, times in Counter(part.shard.number for part in parts).items() if times > 1]
    if twice:
        paths = [part.path for part in parts if part.shard.number == twice[0]]
        raise UsageError(f"shard {Shard(twice[0], count)} is there twice, in {paths[0]} and {paths[1]}; leave one out")
    missing = sorted(set(range(count)) - {part.shard.number for part in parts})
    if missing:
        which = some_of([str(Shard(number, count)) for number in missing])
        noun = "shard is" if len(missing) == 1 else "shards are"
        raise UsageError(
            f"{len(missing):,} {noun} missing: {which}; give those parts too, or label them with --shard"
            f" {Shard(missing[0], count)}"
        )


def _do_not_fit(first: Part, part: Part, different: Sequence[str]) -> UsageError:
    return UsageError(
        f"{first.path} and {part.path} are of different runs: {'; '.join(different)}; label one of them anew as the"
        " other"
    )


def _whole(part: Part) -> Manifest:
    """The manifest of a part as that of the whole run."""
    provenance = part.manifest.provenance
    whole = replace(
        provenance,
        settings={**provenance.settings, "shard": None},
        images=part.sharding["images"],
        images_digest=part.sharding["images_digest"],
        shard=None,
    )
    return replace(part.manifest, provenance=whole)


def merged_manifest(parts: Sequence[Part], *, format: str) -> Manifest:
    """The manifest of the whole run, as a run that is going on has it, by those of its parts."""
    models = [part.manifest.model for part in parts if part.manifest.model is not None]
    model = min(models, key=lambda model: model.device is None, default=None)
    begun = min(part.manifest.begun for part in parts)
    whole = _whole(parts[0])
    return Manifest(provenance=whole.provenance, model=model, format=format, begun=begun)


def schema_of_parts(parts: Sequence[Part]) -> Schema:
    """The schema of the rows, safe for spreadsheets if any part is, or is of images of strangers.

    Raises `BadFile` for a part that has another, or none.
    """
    found: Schema | None = None
    safe = any(part.manifest.provenance.settings.get("untrusted") for part in parts)
    for part in parts:
        if not part.places:
            continue
        schema, _ = read_rows(local_path(part.path))
        if found is not None and schema != found:
            raise BadFile(f"{part.path} has other columns than {parts[0].path}; label shard {part.shard} anew")
        found, safe = schema, safe or schema.spreadsheet_safe
    if found is None:
        raise UsageError("the parts have no rows; check the inputs that they were made of")
    return replace(found, spreadsheet_safe=safe)


def placed_rows(parts: Sequence[Part]) -> Iterator[tuple[int, Row]]:
    """The rows of all parts in the order of the whole run, with their places; all parts are open at once.

    Raises `BadFile`.
    """
    return heapq.merge(*map(_placed, parts), key=itemgetter(0))


def _placed(part: Part) -> Iterator[tuple[int, Row]]:
    if part.places:
        _, rows = read_rows(local_path(part.path))
        yield from zip(part.places, rows, strict=True)


def allow_open_files(count: int) -> None:
    """Let this process have `count` files open at once. Raises `UsageError` if the system allows fewer."""
    try:
        import resource
    except ImportError:
        # Windows has no such limit for files opened so.
        return
    wanted = count + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UsageError(
            f"{count:,} parts are read at once, and the system lets a process open {hard:,} files; merge where"
            f" ulimit -Hn gives {wanted:,} or more"
        )
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):
        # The limit of macOS is lower than the one that it tells.
        raise UsageError(
            f"{count:,} parts are read at once, and the system lets a process open fewer files; merge on another one"
        ) from None
