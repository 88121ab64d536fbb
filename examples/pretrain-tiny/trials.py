"""Short runs that each differ from the first in one thing; their table is in docs/tiny.md.

All are the beginning of `1-64-pixels.yaml`, with its learning rate coming down to 0 after 900 steps.
Run: python trials.py DATA OUTPUT [TRIAL…]
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import clipcli
from clipcli.settings import read_yaml

HERE = Path(__file__).absolute().parent
SHORT = {"steps": 900, "val_every": 900, "warmup": 80, "average": 0, "labels": str(HERE / "labels.csv")}
VIT = {"image_size": 64, "layers": 6, "width": 192, "patch_size": 8, "head_width": 32}
# The changes to the model, and to the settings.
TRIALS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as it is": ({}, {}),
    "a class is a wrong answer for itself": ({}, {"duplicates": "negative"}),
    "the classes' names alone": ({}, {"labels": None}),
    "ViT, 6 layers, 192 wide, patches of 8": ({"vision_cfg": VIT}, {}),
    "text tower of 1 layer, 64 wide": ({"text_cfg": {"width": 64, "heads": 2, "layers": 1}}, {}),
    "text tower of 4 layers, 256 wide": ({"text_cfg": {"width": 256, "heads": 8, "layers": 4}}, {}),
}


def main() -> None:
    """Train one after the other, and print a row of each as it is done."""
    data, output, *names = sys.argv[1:]
    if not TRIALS.keys() >= set(names):
        raise SystemExit(f"there are these trials: {', '.join(TRIALS)}")
    folder = Path(output).absolute()
    os.chdir(data)
    print("| | minutes | top-1 | recall@10 |", "| --- | --- | --- | --- |", sep="\n")
    for number, (name, (model, changes)) in enumerate(TRIALS.items()):
        if not names or name in names:
            settings = read_yaml(HERE / "1-64-pixels.yaml") | SHORT | changes
            print(trial(name, architecture(model), settings, folder / str(number)), flush=True)


def architecture(changes: dict[str, Any]) -> dict[str, Any]:
    """The model with other towers; an image tower takes the place of the whole of the other."""
    model: dict[str, Any] = json.loads((HERE / "tiny.json").read_text())
    model["text_cfg"] |= changes.get("text_cfg", {})
    return model | {key: value for key, value in changes.items() if key != "text_cfg"}


def trial(name: str, model: dict[str, Any], settings: dict[str, Any], folder: Path) -> str:
    """What one run gave, as a row of a table."""
    folder.mkdir(parents=True, exist_ok=True)
    arch = folder / "tiny.json"
    arch.write_text(json.dumps(model))
    begun = time.monotonic()
    trained = clipcli.train(output=folder / "run", arch=str(arch), **settings)
    minutes = (time.monotonic() - begun) / 60
    top1, recall = (trained.metrics[key] for key in ("zero_shot_top1", "image_to_text_recall@10"))
    return f"| {name} | {minutes:.1f} | {top1:.1%} | {recall:.1%} |"


if __name__ == "__main__":
    main()
