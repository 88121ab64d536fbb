"""Makes the model small enough to come with the package.

Matrices and kernels are kept in half precision. The embeddings of tokens are half of it: they keep six binary digits,
so that a wheel compresses them. Those of tokens that no text of the training held have learned nothing: they become
zero, by which clipcli tells words that the model does not know. Run: python bundle.py RUN TARGET
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from student import TOKENS_SEEN
from torch import Tensor

from clipcli.backbones.checkpoint import CONFIG_NAME
from clipcli.backbones.open_clip_folder import WEIGHTS_NAME

TOKENS = "token_embedding.weight"
DIGITS = 6


def small(weights: dict[str, Tensor], *, seen: Tensor) -> dict[str, Tensor]:
    """The weights in half precision, but for vectors and numbers, with tokens that were not seen zero."""
    kept = weights | {TOKENS: rounded(weights[TOKENS]).masked_fill(~seen[:, None], 0)}
    return {name: t.half() if t.is_floating_point() and t.ndim > 1 else t for name, t in kept.items()}


def rounded(numbers: Tensor) -> Tensor:
    """Numbers to the nearest of as many binary digits as are kept."""
    fractions, exponents = torch.frexp(numbers)
    return torch.ldexp((fractions * 2**DIGITS).round() / 2**DIGITS, exponents)


def main() -> None:
    """Write the small model, with its configuration, into the folder TARGET."""
    run, target = map(Path, sys.argv[1:])
    seen = load_file(run / TOKENS_SEEN)["seen"]
    target.mkdir(parents=True, exist_ok=True)
    save_file(small(load_file(run / WEIGHTS_NAME), seen=seen), target / WEIGHTS_NAME)
    (target / CONFIG_NAME).write_text((run / CONFIG_NAME).read_text())
    size = (target / WEIGHTS_NAME).stat().st_size
    print(f"{target}: {size / 1e6:.1f} MB, {int(seen.sum()):,} tokens known")


if __name__ == "__main__":
    main()
