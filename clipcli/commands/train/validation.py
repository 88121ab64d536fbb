"""Validation during a run: loss and recall on pairs, zero-shot top-1 and top-5 on a tree of classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.encoded_together import (
    encode_classes_together,
    encode_images_together,
    encode_texts_together,
)
from clipcli.commands.train.loss import LOSS_FUNCTIONS, Features, Groups, Targets, positives
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.sample import LEAST_IMAGES, Share, Work, spread
from clipcli.commands.train.stored import EncodeImages
from clipcli.data.pairs import Pair
from clipcli.records import ImageItem
from clipcli.scoring.metrics import recall_both_ways, top_k_accuracy

Array = NDArray[np.float32]
_MOST_EXAMPLES = 8
# An image with its captions, and with its class if it has one.
Example = tuple[ImageItem, tuple[str, ...], str | None]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The caption nearest to an image, and the nearest of its own with the `rank` of that one, from 1."""

    item: ImageItem
    own: str
    nearest: str
    rank: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Metrics by name, shares from 0 to 1, warnings about the data that they were measured on, and some examples."""

    metrics: dict[str, float]
    warnings: tuple[str, ...] = ()
    examples: tuple[Nearest, ...] = ()

    def __or__(self, other: Measurement) -> Measurement:
        """Both together."""
        return Measurement(self.metrics | other.metrics, self.warnings + other.warnings, self.examples + other.examples)


class Check(Protocol):
    """Data to measure a model on."""

    def measure(
        self,
        backbone: Backbone,
        *,
        processes: Processes,
        encode: EncodeImages = encode_images_together,
        prefix: str = "",
    ) -> Measurement:
        """The metrics of the model; `prefix` replaces the usual beginning of their names.

        Each of the processes encodes a part of the data, images by `encode`, and all have the metrics of the whole.
        """
        ...

    def sample(self, share: Share) -> Check:
        """A share of the data."""
        ...

    def work(self, *, images_known: bool) -> Work:
        """What a measurement encodes; with `images_known` no images."""
        ...

    def examples(self) -> Iterator[Example]:
        """The data, in order."""
        ...


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Zero-shot classification: `truth` is the class of each of the images `items`, an index into `prompts`."""

    items: tuple[ImageItem, ...]
    truth: tuple[int, ...]
    prompts: tuple[tuple[str, ...], ...]

    def examples(self) -> Iterator[Example]:
        """Each image with the prompts and the index of its class."""
        yield from ((item, self.prompts[n], str(n)) for item, n in zip(self.items, self.truth, strict=True))

    def sample(self, share: Share) -> ZeroShot:
        """So large a share of the images and of each class's prompts, spread evenly over them, the same each time."""
        kept = spread(len(self.items), share.images)
        return ZeroShot(
            items=tuple(self.items[n] for n in kept),
            truth=tuple(self.truth[n] for n in kept),
            prompts=tuple(tuple(texts[n] for n in spread(len(texts), share.prompts)) for texts in self.prompts),
        )

    def work(self, *, images_known: bool) -> Work:
        """The images, and the prompts of all classes."""
        return Work(0 if images_known else len(self.items), sum(map(len, self.prompts)))

    def measure(
        self,
        backbone: Backbone,
        *,
        processes: Processes,
        encode: EncodeImages = encode_images_together,
        prefix: str = "zero_shot_",
    ) -> Measurement:
        """`top1`, and with more than five classes `top5`; images that cannot be read do not count."""
        classes = encode_classes_together(self.prompts, backbone=backbone, processes=processes)
        images, kept, warnings = encode(self.items, backbone=backbone, processes=processes)
        scores = images @ classes.T
        truth = np.asarray(self.truth, dtype=np.intp)[kept]
        ks = (1, 5) if len(classes) > 5 else (1,)
        return Measurement({f"{prefix}top{k}": top_k_accuracy(scores, truth, k=k) for k in ks}, warnings)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Loss, and retrieval of captions by images and of images by captions.

    The loss, by its name in `LOSS_FUNCTIONS`, is taken over batches of `batch_size` pairs; `duplicates` is the setting.
    """

    pairs: tuple[Pair, ...]
    loss: str
    batch_size: int
    duplicates: str

    def examples(self) -> Iterator[Example]:
        """Each pair."""
        yield from examples_of(self.pairs)

    def sample(self, share: Share) -> Retrieval:
        """So large a share of the pairs, spread evenly over them, the same each time."""
        return replace(self, pairs=tuple(self.pairs[n] for n in spread(len(self.pairs), share.images)))

    def work(self, *, images_known: bool) -> Work:
        """The images and captions."""
        return Work((0 if images_known else len(self.pairs)) + sum(len(_captions(pair)) for pair in self.pairs), 0)

    def measure(
        self,
        backbone: Backbone,
        *,
        processes: Processes,
        encode: EncodeImages = encode_images_together,
        prefix: str = "",
    ) -> Measurement:
        """`val_loss` of the images with their first captions, and recall at 1, 5 and 10 both ways among all of them.

        The right captions of an image are its own, and in a tree of classes those of its class. With a `prefix` the
        loss is left out.
        """
        items = [pair.item for pair in self.pairs]
        images, kept, warnings = encode(items, backbone=backbone, processes=processes)
        pairs = [self.pairs[n] for n in kept]
        captions = [(n, caption) for n, pair in enumerate(pairs) for caption in _captions(pair)]
        texts = encode_texts_together([caption for _, caption in captions], backbone=backbone, processes=processes)
        owners = np.array([n for n, _ in captions], dtype=np.intp)
        groups = _groups(pairs)
        firsts = np.unique(owners, return_index=True)[1]
        loss = {} if prefix else {"val_loss": self._loss(images, texts[firsts], _loss_groups(pairs), backbone)}
        hits = recall_both_ways(images, texts, image_groups=groups, text_groups=groups[owners])
        recalls = {f"{prefix}{name}": float(found.mean()) for name, found in hits.items()}
        examples = () if prefix else _examples(images, texts, pairs, captions, owned=groups[owners] == groups[:, None])
        return Measurement(loss | recalls, warnings, examples)

    def _loss(self, images: Array, texts: Array, groups: Groups, backbone: Backbone) -> float:
        scale = torch.tensor(backbone.logit_scale)
        bias = None if backbone.logit_bias is None else torch.tensor(backbone.logit_bias)
        losses = []
        for start in range(0, len(images), self.batch_size):
            rows = slice(start, start + self.batch_size)
            features = Features(torch.from_numpy(images[rows]), torch.from_numpy(texts[rows]), scale, bias)
            targets = positives(groups.select(rows), groups.select(rows), duplicates=self.duplicates)
            loss = LOSS_FUNCTIONS[self.loss](features, features, Targets(targets, targets))
            losses.append((float(loss), len(features.images)))
        return sum(value * count for value, count in losses) / len(images)


@dataclass(frozen=True, slots=True)
class Checks:
    """The data to measure a model on while it trains; `None` for each kind that was not given."""

    zero_shot: Check | None
    val: Check | None
    retain: Check | None

    @property
    def validates(self) -> bool:
        """True where there is data that tells a better model from a worse one."""
        return self.zero_shot is not None or self.val is not None

    def sample(self, share: Share, *, images_known: bool) -> Checks:
        """So large a share of each, but 500 images at least; with `images_known` all images of classes."""
        checks = (self.zero_shot, self.val, self.retain)
        return Checks(*(_sampled(check, share, images_known=images_known) for check in checks))

    def work(self, *, images_known: bool) -> Work:
        """What a measurement encodes; with `images_known` no images."""
        checks = [check for check in (self.zero_shot, self.val, self.retain) if check is not None]
        parts = [check.work(images_known=images_known) for check in checks]
        return Work(sum(part.images for part in parts), sum(part.prompts for part in parts))

    def measure(
        self,
        backbone: Backbone,
        *,
        runtime: Runtime,
        processes: Processes,
        encode: EncodeImages = encode_images_together,
    ) -> Measurement:
        """All metrics, computed in the precision of `runtime`; in each of the processes a part of what is encoded."""
        measured = Measurement({})
        with torch.autocast(runtime.kind, runtime.dtype, enabled=runtime.is_reduced):
            for check in (self.zero_shot, self.val):
                if check is not None:
                    measured |= check.measure(backbone, processes=processes, encode=encode)
            if self.retain is not None:
                measured |= self.retain.measure(backbone, processes=processes, encode=encode, prefix="retain_")
        return measured


def _sampled(check: Check | None, share: Share, *, images_known: bool) -> Check | None:
    if check is None:
        return None
    is_free = check.work(images_known=images_known).images == 0
    count = sum(1 for _ in check.examples())
    images = 1.0 if is_free else min(1.0, max(share.images, LEAST_IMAGES / max(1, count)))
    return check.sample(replace(share, images=images))


def examples_of(pairs: Iterable[Pair]) -> Iterator[Example]:
    """Pairs as examples."""
    yield from ((pair.item, pair.captions, pair.label) for pair in pairs)


def headline(metrics: Mapping[str, float]) -> float | None:
    """The metric by which models are compared: zero-shot top-1, else the mean of recall@1 both ways; `None` without."""
    if "zero_shot_top1" in metrics:
        return metrics["zero_shot_top1"]
    recalls = [metrics[name] for name in ("image_to_text_recall@1", "text_to_image_recall@1") if name in metrics]
    return sum(recalls) / len(recalls) if recalls else None


def retention(metrics: Mapping[str, float]) -> float | None:
    """The same metric on the data of `--retain`; `None` without."""
    retained = {name.removeprefix("retain_"): value for name, value in metrics.items() if name.startswith("retain_")}
    return retained.get("top1", headline(retained))


def _captions(pair: Pair) -> tuple[str, ...]:
    """The captions to retrieve: all of an image, but of a class only the first of its prompts."""
    return pair.captions if pair.label is None else pair.captions[:1]


def _loss_groups(pairs: Sequence[Pair]) -> Groups:
    """The groups of pairs that each have their first caption."""
    captions: dict[str, int] = {}
    slots = torch.arange(len(pairs))
    return Groups(
        slots=slots,
        pairs=slots,
        captions=torch.tensor([captions.setdefault(pair.captions[0], len(captions)) for pair in pairs]),
        classes=torch.from_numpy(_groups(pairs)),
        data=torch.zeros_like(slots),
    )


def _groups(pairs: Sequence[Pair]) -> NDArray[np.intp]:
    """An id `[N]` for each pair: one for all images of a class, else one of its own."""
    ids: dict[tuple[str, str | int], int] = {}
    keys = [("pair", n) if pair.label is None else ("class", pair.label) for n, pair in enumerate(pairs)]
    return np.array([ids.setdefault(key, len(ids)) for key in keys], dtype=np.intp)


def _examples(
    images: Array, texts: Array, pairs: Sequence[Pair], captions: Sequence[tuple[int, str]], *, owned: NDArray[np.bool_]
) -> tuple[Nearest, ...]:
    """What some images are nearest to, spread evenly over all; `owned` `[N, T]` says which captions are right."""
    found = []
    for n in np.unique(np.linspace(0, len(pairs) - 1, _MOST_EXAMPLES).astype(int)):
        similarity = texts @ images[n]
        own = int(np.where(owned[n], similarity, -np.inf).argmax())
        rank = 1 + int((similarity[~owned[n]] > similarity[own]).sum())
        nearest = own if rank == 1 else int(similarity.argmax())
        found.append(Nearest(pairs[n].item, captions[own][1], captions[nearest][1], rank))
    return tuple(found)
