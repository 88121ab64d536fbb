"""How soon a model is loaded: seconds, as a ratio against open_clip's own `create_model`, on the same random weights.

Run: python benchmarks/load.py [ARCH]
"""

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import open_clip
from safetensors.torch import save_file
from side_by_side import side_by_side

from clipcli.backbones import checkpoint, directory
from clipcli.backbones.checkpoint import IMAGE, TEXT
from clipcli.backbones.load import load
from clipcli.backbones.runtime import choose_runtime
from clipcli.events import result_of


def save_random(arch: str, folder: Path) -> None:
    """A model directory with random weights."""
    model = open_clip.create_model(arch)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(arch), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def apart(root: Path) -> dict[str, str]:
    """The environment for processes with a cache of their own in this folder."""
    environment = {**os.environ, "CLIPCLI_CACHE": str(root / "cache")}
    # An installed program is compiled to Python's bytecode already; here the first run of each does it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment | {"PYTHONPYCACHEPREFIX": str(root / "bytecode")}


def ours(folder: Path, towers: tuple[str, ...]) -> None:
    """Load with clipcli, hashing the weights as a new process would."""
    checkpoint._file_hash.cache_clear()
    found = result_of(directory.fetch(folder, name="benchmark"))
    load(found, runtime=choose_runtime(device="cpu", precision="fp32"), towers=towers)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(arch: str) -> None:
    """Measure, and print medians."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_random(arch, folder)
        measured = side_by_side(
            lambda: seconds(lambda: open_clip.create_model(f"local-dir:{folder}")),
            {
                "both towers": lambda: seconds(lambda: ours(folder, (IMAGE, TEXT))),
                "image tower": lambda: seconds(lambda: ours(folder, (IMAGE,))),
            },
        )
    for case, (median, ratio) in measured.items():
        print(f"{arch}, {case}: {median:.2f} s, {ratio:.1f} times faster than open_clip's create_model")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "ViT-B-32")
