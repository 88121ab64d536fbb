"""Brings images and words into one space: learns the image tower's projection, and an adapter of MiniLM's embeddings.

The image tower and MiniLM stay as they are, so that a step costs milliseconds. The head of the image tower, which knows
ImageNet's 1,000 classes, says what each image shows; half of the images are imagined: features of a real one, pushed
towards a class. Run: python teacher.py MODEL.json SOURCES FEATURES TEXTS TARGET
"""

from __future__ import annotations

import copy
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from imagination import Images, Imagination, read_images
from model import NewModel, new_model
from texts import Texts
from torch import Tensor, nn
from torch.nn import functional

from clipcli.commands.train.optimizer import share_of_peak

STEPS, BATCH, LEARNING_RATE, WARMUP = 1500, 512, 2e-3, 200
FEATURE_DROPOUT, ADAPTER_WIDTH, LOGIT_SCALE = 0.3, 2048, 30.0
# The weights of the losses beside that of the classes.
NOUN_WEIGHT, CAPTION_WEIGHT, NEARNESS_WEIGHT = 0.3, 0.15, 0.3
# How often a noun is given as it is spelt, and not as what it means; and the share of the spelling in the meaning.
SPELT, BLEND = 0.1, 0.2
# What the name of a class gets of an image's probability, the kind that has the class the rest.
NAME_BEFORE_KIND = 0.9
# How often kinds stand for their classes, and not beside them.
KIND_ALONE = 0.2
# Nouns and captions in a batch, texts that are to stay near where MiniLM has them, and kinds that are drawn.
NOUNS, CAPTIONS, NEAR, KINDS = 512, 256, 512, 80


class Teacher(nn.Module):
    """The adapter of MiniLM's embeddings and the projection of image features, both `[N, D]` and L2-normalised.

    The projection gets features less their `mean` `[F]`, in parts of their `spread`, a number.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, projection: nn.Module, *, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.adapter = nn.Sequential(nn.Linear(384, ADAPTER_WIDTH), nn.GELU(), nn.Linear(ADAPTER_WIDTH, 384))
        for parameter in self.adapter[2].parameters():
            nn.init.zeros_(parameter)
        self.projection = copy.deepcopy(projection).requires_grad_(True)
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE).log())
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def embed_texts(self, embeddings: Tensor) -> Tensor:
        """Bring MiniLM's embeddings `[N, 384]` into the joint space."""
        return functional.normalize(embeddings + self.adapter(embeddings), dim=-1)

    def embed_images(self, features: Tensor) -> Tensor:
        """Bring image features `[N, F]` into the joint space."""
        dropped = functional.dropout(features, FEATURE_DROPOUT, training=self.training)
        return functional.normalize(self.projection((dropped - self.mean) / self.spread), dim=-1)

    def whole_projection(self) -> nn.Module:
        """The projection for features as the image tower gives them."""
        whole = copy.deepcopy(self.projection).eval()
        first: Any = next(module for module in whole.modules() if isinstance(module, nn.Linear))
        with torch.no_grad():
            first.weight /= self.spread
            first.bias -= first.weight @ self.mean
        return whole


class Lessons:
    """What the teacher learns from."""

    def __init__(self, model: NewModel, images: Images, texts: Texts) -> None:
        visual: Any = model.backbone.towers.visual
        torch.manual_seed(0)
        self._random = np.random.default_rng(0)
        self._head, self._images, self._texts = model.head, images, texts
        mean, spread = images.features.mean(0), images.features.std(0).mean()
        self._teacher = Teacher(visual.head, mean=mean, spread=spread).train()
        self._imagine = Imagination(model.head, images)
        self._spelt, self._meant = torch.from_numpy(texts.spelt), meanings(texts)
        self._nouns, self._shares = torch.from_numpy(texts.nouns), torch.from_numpy(texts.shares)
        self._odds = noun_odds(texts)

    def teach(self) -> Teacher:
        """Take all steps."""
        teacher = self._teacher
        optimizer = torch.optim.AdamW(decay_groups(teacher), lr=LEARNING_RATE, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(share_of_peak, warmup=WARMUP, steps=STEPS))
        begun = time.monotonic()
        for step in range(1, STEPS + 1):
            losses = self._losses()
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if step % 250 == 0:
                shown = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
                print(f"step {step}, {time.monotonic() - begun:.0f} s: {shown}", flush=True)
        return teacher.eval()

    def _losses(self) -> dict[str, Tensor]:
        """The losses of one batch, weighted."""
        features, shown = self._batch()
        images = self._teacher.embed_images(features)
        return {
            "classes": self._class_loss(images, shown),
            "nouns": NOUN_WEIGHT * self._noun_loss(images, shown),
            "captions": CAPTION_WEIGHT * self._caption_loss(),
            "nearness": NEARNESS_WEIGHT * self._distance_from_minilm(),
        }

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Features `[B, F]`, half of them imagined, and the probabilities `[B, 1000]` of what they show."""
        drawn = torch.randint(len(self._images.features), (BATCH,))
        features, classes = self._images.features[drawn], self._images.classes[drawn]
        half = BATCH // 2
        features[:half] = self._imagine(features[:half], torch.randint(len(self._texts.classes), (half,)))
        classes[:half] = -1
        shown = self._head.logits(features).softmax(1)
        known = classes >= 0
        shown[known] = (shown[known] + functional.one_hot(classes[known], shown.shape[1])) / 2
        return features, shown

    def _class_loss(self, images: Tensor, shown: Tensor) -> Tensor:
        """The softmax over names follows the head's, with some kinds among them."""
        names, shares = self._with_kinds(self._names(), shown)
        logits = self._logits(images, self._teacher.embed_texts(self._as_given(names)))
        return -(shares * logits.log_softmax(1)).sum(1).mean()

    def _names(self) -> Tensor:
        """A name of each class: half the time the most usual one, else one of WordNet's, mostly the first."""
        named = zip(self._random.random(len(self._texts.classes)), self._texts.classes, strict=True)
        return torch.tensor(
            [names[0] if u < 0.5 else names[1] if u < 0.8 else self._random.choice(names) for u, names in named]
        )

    def _with_kinds(self, names: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Names with some that mean several classes, such as "dog"; drawn kinds that overlap are left out.

        Kinds stand beside their classes, where "beagle" is the better answer, or at times for them.
        """
        in_kind = torch.zeros(len(names), KINDS)
        kinds: list[int] = []
        for drawn in self._random.permutation(len(self._texts.kinds))[:KINDS]:
            members, nouns = self._texts.kinds[drawn]
            if not in_kind[members].any():
                in_kind[members, len(kinds)] = 1
                kinds.append(nouns[0] if self._random.random() < 0.5 else int(self._random.choice(nouns)))
        kept = 0.0 if self._random.random() < KIND_ALONE else NAME_BEFORE_KIND
        of_kinds = (1 - kept) * shown @ in_kind[:, : len(kinds)]
        covered = in_kind.any(1)
        of_names = torch.where(covered, kept * shown, shown)
        asked = ~covered | (kept > 0)
        return (
            torch.cat([torch.tensor(kinds, dtype=torch.long), names[asked]]),
            torch.cat([of_kinds, of_names[:, asked]], 1),
        )

    def _noun_loss(self, images: Tensor, shown: Tensor) -> Tensor:
        """Of the images in the batch, a noun is nearest to those that would be taken for it."""
        drawn = torch.multinomial(self._odds, NOUNS)
        shares = self._shares[drawn].float() @ shown.T
        enough = shares.sum(1) > 0.3
        wanted = functional.normalize(shares[enough], p=1, dim=1)
        texts = self._teacher.embed_texts(self._as_given(self._nouns[drawn[enough]]))
        return -(wanted * self._logits(texts, images).log_softmax(1)).sum(1).mean()

    def _caption_loss(self) -> Tensor:
        """CLIP's loss on images with captions."""
        drawn = np.unique(self._random.integers(len(self._images.captions), size=CAPTIONS))
        captions = [int(self._random.choice(self._images.captions[n])) for n in drawn]
        images = self._teacher.embed_images(self._images.captioned[torch.from_numpy(drawn)])
        logits = self._logits(images, self._teacher.embed_texts(self._spelt[captions]))
        right = torch.arange(len(drawn))
        return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2

    def _distance_from_minilm(self) -> Tensor:
        """Texts stay near where MiniLM has them, so that words without an image keep their sense."""
        embeddings = self._as_given(torch.randint(len(self._spelt), (NEAR,)))
        return 1 - (self._teacher.embed_texts(embeddings) * embeddings).sum(1).mean()

    def _as_given(self, texts: Tensor) -> Tensor:
        """MiniLM's embeddings `[N, 384]` of texts: mostly of what they mean, else of how they are spelt."""
        spelt = torch.rand(len(texts), 1) < SPELT
        return torch.where(spelt, self._spelt[texts], self._meant[texts])

    def _logits(self, one: Tensor, other: Tensor) -> Tensor:
        return self._teacher.logit_scale.exp().clamp(max=100) * one @ other.T


def main() -> None:
    """Teach, and write the teacher's weights into the file TARGET, unless they are there."""
    config, sources, features, folder, target = map(Path, sys.argv[1:])
    if not target.exists():
        texts = Texts.load(folder)
        lessons = Lessons(new_model(config, sources), read_images(features, texts), texts)
        torch.save(lessons.teach().state_dict(), target)


def meanings(texts: Texts) -> Tensor:
    """MiniLM's embeddings `[T, 384]` of what all texts mean, with a little of how they are spelt."""
    blend = (1 - BLEND) * torch.from_numpy(texts.meant) + BLEND * torch.from_numpy(texts.spelt)
    return functional.normalize(blend, dim=-1)


def noun_odds(texts: Texts) -> Tensor:
    """How often each noun is drawn `[N]`: common ones, and those that ImageNet knows, more often."""
    tokens = open_clip.SimpleTokenizer().encoder
    common = np.array([f"{texts.texts[n]}</w>" in tokens for n in texts.nouns])
    return torch.from_numpy(texts.known * np.where(common, 4, 1) * np.where(texts.known == 1, 3, 1)).float()


def decay_groups(module: nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices, but for tables of embeddings; none for the rest."""
    decayed = {name: p.ndim > 1 and "embedding" not in name for name, p in module.named_parameters()}
    of = dict(module.named_parameters())
    return [
        {"params": [of[name] for name, decay in decayed.items() if decay], "weight_decay": 0.05},
        {"params": [of[name] for name, decay in decayed.items() if not decay], "weight_decay": 0.0},
    ]


if __name__ == "__main__":
    main()
