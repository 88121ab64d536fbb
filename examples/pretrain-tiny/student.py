"""Distils the teacher's embeddings of texts into the model's own text tower, and writes the whole model.

Run: python student.py MODEL.json SOURCES TEXTS TEACHER TARGET
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from lines import Lines
from model import new_model, save
from safetensors.torch import save_file
from teacher import Teacher, decay_groups, meanings
from texts import Texts
from torch import Tensor, nn
from torch.nn import functional

from clipcli.backbones.towers import Towers
from clipcli.commands.train.optimizer import share_of_peak

# The contrastive loss beside the distance, and its logit scale. Texts that are as alike as this are not told apart.
CONTRAST, CONTRAST_SCALE, ALIKE = 0.1, 20, 0.98
# The spread of a token's embedding at the start.
TOKEN_SPREAD = 0.03
TOKENS_SEEN = "tokens.safetensors"


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps with one course of the learning rate, from `warmup` steps of rising on down to 0."""

    steps: int
    learning_rate: float
    warmup: int


ALL_TEXTS, EVERYDAY_WORDS = Phase(8000, 2e-3, 300), Phase(1500, 8e-4, 50)


def main() -> None:
    """Train the text tower, and write the model into the folder TARGET, unless it is there."""
    config, sources, folder, taught, target = map(Path, sys.argv[1:])
    if (target / TOKENS_SEEN).exists():
        return
    texts, model = Texts.load(folder), new_model(config, sources)
    towers = model.backbone.towers
    visual: Any = towers.visual
    state = torch.load(taught, weights_only=True)
    teacher = Teacher(visual.head, mean=state["mean"], spread=state["spread"]).eval()
    teacher.load_state_dict(state)
    with torch.no_grad():
        wanted = teacher.embed_texts(meanings(texts))
    text: Any = towers.text
    lines = Lines(texts, context=text.context_length)
    begin_with_words(text.token_embedding.weight, texts, wanted)
    train(towers, lines, wanted, ALL_TEXTS)
    lines.turn_to_everyday_words()
    train(towers, lines, wanted, EVERYDAY_WORDS)
    visual.head = teacher.whole_projection()
    towers.logit_scale.data = teacher.logit_scale.data
    save(model, config, target)
    save_file({"seen": lines.seen}, target / TOKENS_SEEN)


def begin_with_words(table: Tensor, texts: Texts, wanted: Tensor) -> None:
    """Tokens `[V, W]` that are words begin as the principal components of what is wanted for these."""
    numbers = {text: n for n, text in enumerate(texts.texts)}
    tokens = {name.removesuffix("</w>"): n for name, n in open_clip.SimpleTokenizer().encoder.items() if "</w>" in name}
    words = [word for word in tokens if word in numbers]
    embeddings = wanted[[numbers[word] for word in words]]
    embeddings = embeddings - embeddings.mean(0)
    torch.manual_seed(0)
    _, _, components = torch.pca_lowrank(embeddings, table.shape[1], center=False)
    reduced = embeddings @ components
    with torch.no_grad():
        table[[tokens[word] for word in words]] = reduced / reduced.std() * TOKEN_SPREAD


def train(towers: Towers, lines: Lines, wanted: Tensor, phase: Phase) -> None:
    """Bring texts to where the teacher has them, and nearer to that than other texts of the batch."""
    tower = towers.text
    assert tower is not None
    tower.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(decay_groups(tower), lr=phase.learning_rate, betas=(0.9, 0.98))
    course = partial(share_of_peak, warmup=phase.warmup, steps=phase.steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, course)
    begun = time.monotonic()
    for step in range(1, phase.steps + 1):
        tokens, numbers = lines.draw()
        found = torch.cat([towers.encode_text(part) for part in tokens])
        loss, cosine = distance(found, wanted[numbers])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(f"step {step}, {time.monotonic() - begun:.0f} s: cosine {cosine:.4f}", flush=True)
    tower.eval()


def distance(found: Tensor, wanted: Tensor) -> tuple[Tensor, float]:
    """The loss of embeddings `[B, D]`, and their mean cosine with what is wanted."""
    cosine = (found * wanted).sum(1).mean()
    alike = wanted @ wanted.T > ALIKE
    alike.fill_diagonal_(False)
    logits = (CONTRAST_SCALE * found @ wanted.T).masked_fill(alike, -torch.inf)
    return 1 - cosine + CONTRAST * functional.cross_entropy(logits, torch.arange(len(found))), cosine.item()


if __name__ == "__main__":
    main()
