"""Writes the features of images that the image tower gives, before they are projected: once, as they stay the same.

`NAME.npy` holds the features `[N, F]`, `NAME.json` the captions of each image, or the name of its class.
Run: python features.py MODEL.json SOURCES TARGET DATA…
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model import new_model
from torch import Tensor

from clipcli.backbones.backbone import Backbone, normalised
from clipcli.classes.prompts import load_prompts
from clipcli.data.pairs import Pair, PairOptions, read_pairs
from clipcli.data.tree import Data
from clipcli.images.batches import batches
from clipcli.images.resize import resizer
from clipcli.images.threads import DecodeThreads


def main() -> None:
    """Write the features of each DATA into the folder TARGET, but for those that are there."""
    config, sources, target, *data = map(Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    backbone = new_model(config, sources).backbone
    for path in data:
        file = target / name_of(path)
        if not file.with_suffix(".npy").exists():
            pairs = read_pairs(Data(str(path)), options=PairOptions(templates=load_prompts("name").templates)).pairs
            begun = time.monotonic()
            features = features_of(pairs, backbone).numpy()
            print(f"{path}: {len(features):,} images, {len(features) / (time.monotonic() - begun):.0f} a second")
            captions = [[pair.label] if pair.label else pair.captions for pair in pairs]
            file.with_suffix(".json").write_text(json.dumps(captions))
            np.save(file.with_suffix(".npy"), features)


def name_of(data: Path) -> str:
    """The name of the files for `data.zip/part`."""
    return f"{data.parent.stem}-{data.name}"


@torch.inference_mode()
def features_of(pairs: list[Pair], backbone: Backbone) -> Tensor:
    """The features `[N, F]` of all images."""
    visual: Any = backbone.towers.visual
    found = []
    images = batches(
        [pair.item for pair in pairs],
        resize=resizer(backbone.preprocessing),
        batch_size=64,
        threads=DecodeThreads(1),
    )
    for batch in images:
        pixels = normalised(torch.from_numpy(batch.pixels), backbone.preprocessing)
        found.append(visual.trunk(pixels.to(memory_format=torch.channels_last)))
    return torch.cat(found)


if __name__ == "__main__":
    main()
