"""How much memory a run takes that labels many images, as against one that labels few: it should not grow.

Peak memory of whole processes, with a one-layer model on small images, so that a hundred thousand take minutes: what a
larger model takes on top does not depend on how many images there are. The first run encodes, the second one takes all
embeddings from the cache. Run: python benchmarks/memory.py [IMAGES]
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import open_clip
from PIL import Image
from safetensors.torch import save_file

FEW = 1_000
MODEL = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}
# A process of its own tells its peak, in kilobytes. What getrusage tells would begin with the peak of this one.
RUN = """
import re, sys
from clipcli.cli import main
try: main(sys.argv[1:])
except SystemExit as e: assert not e.code
print(re.search("VmHWM: *([0-9]+)", open("/proc/self/status").read().replace("\\t", " "))[1])
"""


def library(folder: Path, count: int) -> Path:
    """Images of noise: a hundred files under many names."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 100:
            Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(path)
        else:
            os.link(folder / "000" / f"{number % 100:06}.jpg", path)
    return folder


def save_model(folder: Path) -> None:
    """A model directory with random weights."""
    config = folder / "benchmark-memory.json"
    config.write_text(json.dumps(MODEL))
    open_clip.add_model_config(config)
    state = open_clip.create_model("benchmark-memory").state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": {}}))


def main(many: int) -> None:
    """Measure, and print what many images take beyond few."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        save_model(root)
        (root / "labels.txt").write_text("".join(f"label {n}\n" for n in range(100)))
        peaks: dict[tuple[int, str], int] = {}
        for count in (FEW, many):
            photos = library(root / f"photos-{count}", count)
            for run in ("first run", "second run"):
                command = ["classify", photos, "--labels", root / "labels.txt", "--model", root, "--prompts", "name"]
                command += ["-o", root / "out.csv", "--overwrite", "-q"]
                done = subprocess.run(
                    [sys.executable, "-c", RUN, *map(str, command)],
                    check=True,
                    capture_output=True,
                    text=True,
                    env={**os.environ, "CLIPCLI_CACHE": str(root / "cache")},
                )
                peaks[count, run] = int(done.stdout)
    for run in ("first run", "second run"):
        less, more = peaks[FEW, run] / 1e3, peaks[many, run] / 1e3
        print(f"{run}: {FEW:,} images {less:.0f} MB, {many:,} images {more:.0f} MB, {more - less:.0f} MB more")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
