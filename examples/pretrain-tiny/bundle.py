"""A trained model made small enough to come with the package.

Matrices and kernels are kept in half precision. The embeddings of tokens that no caption and no prompt of the run held
have learned nothing: they become zero, which compresses to nothing in a wheel. Run: python bundle.py RUN TARGET
"""

import sys
from pathlib import Path

import open_clip
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clipcli.backbones.checkpoint import CONFIG_NAME
from clipcli.commands.train.checkpoints import WEIGHTS_NAME
from clipcli.commands.train.config_file import CONFIG_FILE
from clipcli.commands.train.data import read_training_data
from clipcli.commands.train.settings import configured
from clipcli.notices import Notices
from clipcli.settings import read_yaml

TOKENS = "token_embedding.weight"


def seen_tokens(run: Path) -> Tensor:
    """The tokens of all that the run's images were said to show, each once."""
    data = read_training_data(configured(read_yaml(run / CONFIG_FILE)), Notices())
    tokenizer = open_clip.get_tokenizer(f"local-dir:{run}")
    captions = sorted({caption for pair in data.pairs for caption in pair.captions})
    return torch.unique(tokenizer(captions))  # type: ignore[no-any-return]


def small(weights: dict[str, Tensor], *, seen: Tensor) -> dict[str, Tensor]:
    """The weights in half precision, but for vectors and numbers, with tokens that were not seen zero."""
    unseen = torch.ones(len(weights[TOKENS]), dtype=torch.bool)
    unseen[seen] = False
    kept = weights | {TOKENS: weights[TOKENS].masked_fill(unseen[:, None], 0)}
    return {name: t.half() if t.is_floating_point() and t.ndim > 1 else t for name, t in kept.items()}


def main() -> None:
    """Write the small model, with its configuration, into the folder TARGET."""
    run, target = map(Path, sys.argv[1:])
    seen = seen_tokens(run)
    weights = small(load_file(run / WEIGHTS_NAME), seen=seen)
    target.mkdir(parents=True, exist_ok=True)
    save_file(weights, target / WEIGHTS_NAME)
    (target / CONFIG_NAME).write_text((run / CONFIG_NAME).read_text())
    print(f"{target}: {(target / WEIGHTS_NAME).stat().st_size / 1e6:.1f} MB, {len(seen):,} tokens known")


if __name__ == "__main__":
    main()
