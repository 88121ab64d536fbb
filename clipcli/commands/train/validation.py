"""How good the model is meanwhile: loss and recall on pairs, top-1 and top-5 on a class-per-folder tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from clipcli.backbones.backbone import Backbone
from clipcli.backbones.runtime import Runtime
from clipcli.commands.train.loss import FUNCTIONS, Features, Groups, Right, positives
from clipcli.data.pairs import Pair
from clipcli.encoding.embed_images import image_embeddings
from clipcli.encoding.ensemble import class_embeddings
from clipcli.records import ImageItem
from clipcli.scoring.metrics import recall_both_ways, top_k_accuracy

Array = NDArray[np.float32]


class Check(Protocol):
    """Something to measure a model on."""

    def measure(self, backbone: Backbone, *, prefix: str = "") -> dict[str, float]:
        """Metrics by name; each name begins with `prefix` in place of the check's own."""
        ...


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Zero-shot top-1 and top-5: images `items` of the classes `truth`, each class's prompts in `prompts`."""

    items: tuple[ImageItem, ...]
    truth: tuple[int, ...]
    prompts: tuple[tuple[str, ...], ...]

    def measure(self, backbone: Backbone, *, prefix: str = "zero_shot_") -> dict[str, float]:
        """`top1`, and of more than five classes `top5`, as shares; images that cannot be read do not count."""
        classes = class_embeddings(self.prompts, backbone=backbone)
        images, kept = image_embeddings(self.items, backbone=backbone)
        scores = images @ classes.T
        truth = np.asarray(self.truth, dtype=np.intp)[kept]
        return {f"{prefix}top{k}": top_k_accuracy(scores, truth, k=k) for k in ((1, 5) if len(classes) > 5 else (1,))}


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Loss and recall both ways on pairs; `loss` names the loss, taken over batches of `batch_size` pairs
    in which `duplicates` count as in training."""

    pairs: tuple[Pair, ...]
    loss: str
    batch_size: int
    duplicates: str

    def measure(self, backbone: Backbone, *, prefix: str = "") -> dict[str, float]:
        """`val_loss` of each image with its first caption, and recall among all images and all captions.

        An image's own captions are right for it, and in a class-per-folder tree those of its class.
        """
        images, kept = image_embeddings([pair.item for pair in self.pairs], backbone=backbone)
        pairs = [self.pairs[n] for n in kept]
        captions = [(n, caption) for n, pair in enumerate(pairs) for caption in _captions(pair)]
        texts = backbone.encode_texts([caption for _, caption in captions]).cpu().numpy()
        owners = np.array([n for n, _ in captions], dtype=np.intp)
        groups = _groups(pairs)
        firsts = np.unique(owners, return_index=True)[1]
        loss = {} if prefix else {"val_loss": self._loss(images, texts[firsts], _loss_groups(pairs), backbone)}
        hits = recall_both_ways(images, texts, image_groups=groups, text_groups=groups[owners])
        return loss | {f"{prefix}{name}": float(found.mean()) for name, found in hits.items()}

    def _loss(self, images: Array, texts: Array, groups: Groups, backbone: Backbone) -> float:
        scale = torch.tensor(backbone.logit_scale)
        bias = None if backbone.logit_bias is None else torch.tensor(backbone.logit_bias)
        losses = []
        for start in range(0, len(images), self.batch_size):
            rows = slice(start, start + self.batch_size)
            made = Features(torch.from_numpy(images[rows]), torch.from_numpy(texts[rows]), scale, bias)
            right = positives(groups.of(rows), groups.of(rows), duplicates=self.duplicates)
            losses.append((float(FUNCTIONS[self.loss](made, made, Right(right, right))), len(made.images)))
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

    def measure(self, backbone: Backbone, *, runtime: Runtime) -> dict[str, float]:
        """All metrics by name, computed in the precision of `runtime`."""
        metrics: dict[str, float] = {}
        with torch.autocast(runtime.device, runtime.dtype, enabled=runtime.precision != "fp32"):
            for check in (self.zero_shot, self.val):
                metrics |= check.measure(backbone) if check is not None else {}
            if self.retain is not None:
                metrics |= self.retain.measure(backbone, prefix="retain_")
        return metrics


def headline(metrics: Mapping[str, float]) -> float | None:
    """The one number by which models are compared: zero-shot top-1, else mean recall@1 both ways."""
    if "zero_shot_top1" in metrics:
        return metrics["zero_shot_top1"]
    recalls = [metrics[name] for name in ("image_to_text_recall@1", "text_to_image_recall@1") if name in metrics]
    return sum(recalls) / len(recalls) if recalls else None


def retention(metrics: Mapping[str, float]) -> float | None:
    """The same number of what is to be retained."""
    own = {name.removeprefix("retain_"): value for name, value in metrics.items() if name.startswith("retain_")}
    return own.get("top1", headline(own))


def _captions(pair: Pair) -> tuple[str, ...]:
    # A class has many prompts, which are no captions of one image: the first stands for it.
    return pair.captions if pair.label is None else pair.captions[:1]


def _loss_groups(pairs: Sequence[Pair]) -> Groups:
    """What belongs together among pairs of which each has its first caption."""
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
    """An id for each pair, which images of one class share."""
    ids: dict[tuple[str, str | int], int] = {}
    keys = [("pair", n) if pair.label is None else ("class", pair.label) for n, pair in enumerate(pairs)]
    return np.array([ids.setdefault(key, len(ids)) for key in keys], dtype=np.intp)
