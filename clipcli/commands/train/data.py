"""DATA, read: pairs to train on in a fixed order, and what to validate on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from clipcli.classes.labels import read_labels
from clipcli.classes.prompts import DEFAULT_PROMPTS, load_prompts
from clipcli.commands.train.settings import TrainConfig
from clipcli.commands.train.validation import Check, Retrieval, ZeroShot
from clipcli.data.pairs import Pair, PairOptions, read_pairs
from clipcli.data.weights import split_weight
from clipcli.errors import ClipcliError, InputNotFound, UsageError
from clipcli.records import Skipped


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All pairs, those of DATA without a share first; how many each DATA has, and its share of a batch."""

    pairs: tuple[Pair, ...]
    sizes: tuple[int, ...]
    shares: tuple[float | None, ...]
    skipped: tuple[Skipped, ...]

    @property
    def total(self) -> int:
        """All pairs, with those that were skipped while they were listed."""
        return len(self.pairs) + len(self.skipped)

    def fingerprint(self) -> str:
        """A hash of what the pairs are called and say."""
        digest = hashlib.blake2b(digest_size=16)
        # The images of a class share one tuple of captions.
        said = {id(pair.captions): pair.captions for pair in self.pairs}
        hashes = {key: _hash("\0".join(captions)) for key, captions in said.items()}
        for pair in self.pairs:
            digest.update(_hash(f"{pair.item.id}\0{pair.label}") + hashes[id(pair.captions)])
        return digest.hexdigest()


def read_training_data(config: TrainConfig) -> TrainingData:
    """All pairs of DATA. Raises `InputNotFound` where there are none, `UsageError`, `BadFile`."""
    if not config.data:
        raise InputNotFound("no DATA was given; give a folder of images with captions, or of a folder per class")
    options = pair_options(config)
    weighted = sorted(map(split_weight, config.data), key=lambda data: data[1] is not None)
    read = [(read_pairs(path, options=options), share) for path, share in weighted]
    data = TrainingData(
        pairs=tuple(pair for found, _ in read for pair in found.pairs),
        sizes=tuple(len(found.pairs) for found, _ in read),
        shares=tuple(share for _, share in read),
        skipped=tuple(skipped for found, _ in read for skipped in found.skipped),
    )
    labels = {pair.label for pair in data.pairs}
    if len(labels) == 1 and None not in labels:
        raise UsageError(
            f"{config.data[0]} has one class only, '{labels.pop()}'; give a folder with a folder per class"
        )
    check_skipped(
        [(s.item.id, s.reason) for s in data.skipped],
        total=data.total,
        most=config.max_skipped,
    )
    return data


def check_skipped(skipped: Sequence[tuple[str, str]], *, total: int, most: float) -> None:
    """Raise `ClipcliError` where more than the share `most` of all pairs was skipped."""
    if len(skipped) > most * total:
        path, reason = skipped[0]
        raise ClipcliError(
            f"{len(skipped):,} of {total:,} pairs were skipped, more than {most:.0%}, such as {path}: {reason}; "
            "mend the data, or allow it with --max-skipped"
        )


def pair_options(config: TrainConfig, *, labelled: bool = True) -> PairOptions:
    """How DATA is read: with the labels file, or for other trees without it."""
    return PairOptions(
        templates=load_prompts(config.prompts or DEFAULT_PROMPTS).templates,
        classes=read_labels(config.labels) if config.labels and labelled else None,
        image_column=config.image_column,
        caption_column=config.caption_column,
    )


@dataclass(frozen=True, slots=True)
class Checks:
    """What a model is measured on while it learns; what was not given is `None`."""

    zero_shot: Check | None
    val: Check | None
    retain: Check | None

    @property
    def validates(self) -> bool:
        """Whether there is something that tells a better model from a worse one."""
        return self.zero_shot is not None or self.val is not None


def read_checks(config: TrainConfig, *, loss: str, batch_size: int) -> Checks:
    """What `--zero-shot`, `--val` and `--retain` name. Raises as `read_training_data`."""
    zero_shot = None
    if config.zero_shot is not None:
        pairs = _pairs(config.zero_shot, config)
        if any(pair.label is None for pair in pairs):
            raise UsageError(f"--zero-shot {config.zero_shot} has no folder per class; give such a tree, or use --val")
        if len({pair.label for pair in pairs}) == 1:
            raise UsageError(f"--zero-shot {config.zero_shot} has one class only; give a tree of two or more")
        zero_shot = _zero_shot(pairs)
    val = None if config.val is None else Retrieval(_pairs(config.val, config), loss, batch_size, config.duplicates)
    retain: Check | None = None
    if config.retain is not None:
        # What is to be retained has classes of its own.
        pairs = _pairs(config.retain, config, labelled=False)
        classes = all(pair.label is not None for pair in pairs)
        retain = _zero_shot(pairs) if classes else Retrieval(pairs, loss, batch_size, config.duplicates)
    return Checks(zero_shot, val, retain)


def _pairs(text: str, config: TrainConfig, *, labelled: bool = True) -> tuple[Pair, ...]:
    return tuple(read_pairs(text, options=pair_options(config, labelled=labelled)).pairs)


def _zero_shot(pairs: Sequence[Pair]) -> ZeroShot:
    prompts = {pair.label: pair.captions for pair in pairs}
    places = {label: n for n, label in enumerate(prompts)}
    return ZeroShot(
        items=tuple(pair.item for pair in pairs),
        truth=tuple(places[pair.label] for pair in pairs),
        prompts=tuple(prompts.values()),
    )


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
