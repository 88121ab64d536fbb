"""The data of a run: the pairs to train on, in a fixed order, and the data to validate on."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.given import STDIN, read_classes
from clipcli.classes.prompts import DEFAULT_PROMPTS, load_prompts
from clipcli.commands.train.identity import common_root, examples_hash, size_of, sizes_hash
from clipcli.commands.train.settings import TrainConfig
from clipcli.commands.train.skipped import as_rows, too_many_skipped
from clipcli.commands.train.validation import Check, Checks, Retrieval, ZeroShot, examples_of
from clipcli.data.pairs import Pair, PairOptions, PairsRead, read_pairs
from clipcli.data.tree import Data
from clipcli.data.weights import split_weight
from clipcli.errors import InputNotFound, UsageError
from clipcli.notices import Notices
from clipcli.records import Skipped


@dataclass(frozen=True)
class TrainingData:
    """All pairs to train on, those of DATA without a share first.

    `sizes` counts the pairs of each DATA in their order, `shares` are their shares of a batch, `None` without one.
    `roots` is the folder that all images of a DATA lie in, or an empty text. `skipped` are the images without a
    caption, and others that were left out while the pairs were listed.
    """

    pairs: tuple[Pair, ...]
    sizes: tuple[int, ...]
    shares: tuple[float | None, ...]
    roots: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    @property
    def total(self) -> int:
        """The number of all pairs, those included that were skipped while they were listed."""
        return len(self.pairs) + len(self.skipped)

    def fingerprint(self) -> str:
        """A hash of the names, labels and captions of all pairs, in order; not of the images."""
        ends = np.cumsum(self.sizes)
        parts = [
            examples_hash(examples_of(self.pairs[end - size : end]), root=root)
            for size, end, root in zip(self.sizes, ends, self.roots, strict=True)
        ]
        return " ".join([*parts, *(f"{share}" for share in self.shares)])

    @cached_property
    def image_sizes(self) -> NDArray[np.int64]:
        """The size `[N]` of each pair's image in bytes, at the first use."""
        return np.array([size_of(pair.item.reference) for pair in self.pairs], dtype=np.int64)

    def images_fingerprint(self, *, without: Container[str]) -> str:
        """A hash of the sizes of all images but those `without`, by their paths."""
        return sizes_hash(self.image_sizes, (pair.item.id for pair in self.pairs), without=without)


def read_training_data(config: TrainConfig, notices: Notices) -> TrainingData:
    """Read the pairs of all DATA; `notices` counts what was left out or guessed.

    Raises `InputNotFound` where there are none, `BadFile` for a file that cannot be read, `UsageError` for a tree of
    one class, and `ClipcliError` where more pairs are skipped than `max_skipped` allows.
    """
    if not config.data:
        raise InputNotFound("no DATA was given; give a folder of images with captions, or of a folder per class")
    options = pair_options(config, notices)
    weighted = sorted(map(split_weight, config.data), key=lambda data: data[1] is not None)
    read = [(read_pairs(Data(path, notices, config.exclude), options=options), share) for path, share in weighted]
    data = TrainingData(
        pairs=tuple(pair for found, _ in read for pair in found.pairs),
        sizes=tuple(len(found.pairs) for found, _ in read),
        shares=tuple(share for _, share in read),
        roots=tuple(_root_of(found) for found, _ in read),
        skipped=tuple(skipped for found, _ in read for skipped in found.skipped),
    )
    labels = {pair.label for pair in data.pairs}
    if len(labels) == 1 and None not in labels:
        raise UsageError(
            f"{config.data[0]} has one class only, '{labels.pop()}'; give a folder with a folder per class"
        )
    error = too_many_skipped(as_rows(data.skipped), total=data.total, most=config.max_skipped)
    if error is not None:
        raise error
    return data


def _root_of(read: PairsRead) -> str:
    """The folder that all images of a DATA lie in."""
    return common_root([*(pair.item.id for pair in read.pairs), *(skipped.item.id for skipped in read.skipped)])


def pair_options(config: TrainConfig, notices: Notices, *, labelled: bool = True) -> PairOptions:
    """The options to read pairs with. Without `labelled` the labels file is left out: it names the classes of DATA."""
    classes = None
    if config.labels == STDIN:
        raise UsageError("train needs its labels again when it is resumed; give --labels FILE")
    if config.labels and labelled:
        classes = read_classes(
            config.labels, notices, keep_names=config.keep_names, keep_duplicates=config.keep_duplicates
        )
    return PairOptions(
        templates=load_prompts(config.prompts or DEFAULT_PROMPTS).templates,
        classes=classes,
        keep_names=config.keep_names,
        image_column=config.image_column,
        caption_column=config.caption_column,
    )


def read_checks(config: TrainConfig, notices: Notices, *, loss: str, batch_size: int) -> Checks:
    """Read the data of `--zero-shot`, `--val` and `--retain`.

    Validation takes the `loss` over batches of `batch_size` pairs. Raises as `read_training_data`, and `UsageError` for
    `--zero-shot` data without classes.
    """
    zero_shot: Check | None = None
    if config.zero_shot is not None:
        pairs = _pairs(config.zero_shot, config, notices)
        if any(pair.label is None for pair in pairs):
            raise UsageError(f"--zero-shot {config.zero_shot} has no folder per class; give such a tree, or use --val")
        if len({pair.label for pair in pairs}) == 1:
            raise UsageError(f"--zero-shot {config.zero_shot} has one class only; give a tree of two or more")
        zero_shot = _zero_shot(pairs)
    val: Check | None = None
    if config.val is not None:
        pairs = _pairs(config.val, config, notices)
        if zero_shot is not None:
            val = Retrieval(pairs, loss, batch_size, config.duplicates)
        else:
            zero_shot, val = _one_of(check_of(pairs, config, loss=loss, batch_size=batch_size))
    retain: Check | None = None
    if config.retain is not None:
        # It has other classes than DATA.
        pairs = _pairs(config.retain, config, notices, labelled=False)
        retain = check_of(pairs, config, loss=loss, batch_size=batch_size)
    return Checks(zero_shot, val, retain)


def check_of(
    pairs: Sequence[Pair], config: TrainConfig, *, loss: str, batch_size: int, among: Sequence[Pair] = ()
) -> ZeroShot | Retrieval:
    """What is measured on these pairs: top-1 where all are of two classes or more, else loss and recall.

    The classes are theirs and those of the pairs that they are `among`.
    """
    labels = {pair.label for pair in pairs}
    if None not in labels and len(labels) > 1:
        return _zero_shot(pairs, among)
    return Retrieval(tuple(pairs), loss, batch_size, config.duplicates)


def checks_on(pairs: Sequence[Pair], checks: Checks, config: TrainConfig, *, among: Sequence[Pair]) -> Checks:
    """The checks with these pairs, which are held out, to validate on."""
    check = check_of(pairs, config, loss=config.loss or "clip", batch_size=config.batch_size or 1, among=among)
    zero_shot, val = _one_of(check)
    return Checks(zero_shot, val, checks.retain)


def _one_of(check: Check) -> tuple[Check | None, Check | None]:
    """The check in the place of that of `--zero-shot` or that of `--val`, by its kind."""
    return (check, None) if isinstance(check, ZeroShot) else (None, check)


# What is done to the labels was counted when DATA were read.
def _pairs(text: str, config: TrainConfig, notices: Notices, *, labelled: bool = True) -> tuple[Pair, ...]:
    options = pair_options(config, Notices(), labelled=labelled)
    return tuple(read_pairs(Data(text, notices, config.exclude), options=options).pairs)


def _zero_shot(pairs: Sequence[Pair], among: Sequence[Pair] = ()) -> ZeroShot:
    prompts = {pair.label: pair.captions for pair in (*pairs, *among) if pair.label is not None}
    indices = {label: n for n, label in enumerate(prompts)}
    return ZeroShot(
        items=tuple(pair.item for pair in pairs),
        truth=tuple(indices[pair.label] for pair in pairs if pair.label is not None),
        prompts=tuple(prompts.values()),
    )
