"""What the golden runs are given: images of many kinds, bad files among them, captions, classes and random models."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LABELS = ("cat", "dog", "beach", "mountain", "red car", "old house")
_TEXT = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
_CLIP = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
# By name: an architecture of open_clip, and how its images are prepared.
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vit": (
        {
            "embed_dim": 16,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
            "text_cfg": _TEXT,
        },
        {**_CLIP, "interpolation": "bicubic", "resize_mode": "shortest"},
    ),
    "resnet": (
        {
            "embed_dim": 16,
            "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
            "text_cfg": _TEXT,
        },
        {**_CLIP, "interpolation": "bilinear"},
    ),
    "sigmoid": (
        {
            "embed_dim": 32,
            "init_logit_bias": -10,
            "custom_text": True,
            "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "avg"},
            "text_cfg": {**_TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
        },
        {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
    ),
}


def build_model(name: str, root: Path) -> None:
    """A model directory below `root`, as open_clip reads them, whose weights depend on nothing but their names."""
    import open_clip
    import torch
    from open_clip.factory import add_model_config
    from safetensors.torch import save_file

    model_cfg, preprocess_cfg = MODELS[name]
    config = root / f"golden-{name}.json"
    config.write_text(json.dumps(model_cfg))
    add_model_config(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = open_clip.create_model(f"golden-{name}").state_dict()
        weights = {key: _drawn(key, tensor).contiguous() for key, tensor in state.items()}
    folder = root / name
    folder.mkdir()
    save_file(weights, folder / "open_clip_model.safetensors")
    content = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(content))


def _drawn(name: str, tensor: Any) -> Any:
    """Random weights of this shape: drawn by name, so that the order in which open_clip draws its own is no matter."""
    import torch

    if not tensor.ndim or not tensor.is_floating_point():
        return tensor
    torch.manual_seed(zlib.crc32(name.encode()))
    if tensor.ndim == 1:
        ones = name.endswith(("weight", "running_var"))
        return torch.rand(tensor.shape) * 0.2 + (1.0 if ones else 0.0)
    return torch.randn(tensor.shape) / math.sqrt(tensor[0].numel())


def picture(seed: int, width: int, height: int) -> Image.Image:
    """A smooth picture of random colours with some noise on it."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    noise = rng.integers(-12, 13, (height, width, 1), dtype=np.int16)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def _save(path: Path, seed: int, kind: str) -> None:
    """A picture in the format of its suffix, of one of several kinds."""
    image = picture(seed, width=40 + 13 * (seed % 7), height=130 - 11 * (seed % 9))
    options: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = seed % 8 + 1
        options["exif"] = exif
    elif kind == "alpha":
        mask = Image.linear_gradient("L").resize(image.size)
        image.putalpha(mask)
    elif kind == "grey":
        image = image.convert("L")
    elif kind == "deep":
        image = Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257)
    elif kind == "palette":
        image = image.quantize(16)
    image.save(path, **options)


_KINDS = (
    *(("plain", "jpg"), ("plain", "png"), ("plain", "webp"), ("plain", "bmp"), ("palette", "gif"), ("turned", "jpg")),
    *(("alpha", "png"), ("grey", "png"), ("deep", "png"), ("grey", "jpg"), ("alpha", "webp"), ("turned", "png")),
)


def photos(folder: Path, count: int = 36) -> list[str]:
    """So many images of all kinds, three bad files strewn in, and a zip beside them; the names of the images."""
    folder.mkdir()
    names = [f"{n:02}-{kind}.{suffix}" for n, (kind, suffix) in enumerate(_KINDS * (count // len(_KINDS)))]
    for seed, name in enumerate(names):
        _save(folder / name, seed, name[3:].split(".")[0])
    (folder / "03-empty.jpg").write_bytes(b"")
    (folder / "15-cut.jpg").write_bytes((folder / names[0]).read_bytes()[:400])
    (folder / "30-text.png").write_text("no image\n")
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for name in names[:4]:
            member = f"inside/{name}"
            archive.writestr(member, (folder / names[-1 - names.index(name)]).read_bytes())
        archive.writestr("inside/bad.jpg", b"no image")
    return names


def classes(folder: Path, *, each: int, seed: int, labels: Sequence[str] = LABELS) -> None:
    """A folder per class with so many images each, alike within a class, and one bad file."""
    for n, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        for k in range(each):
            base, other = picture(n, 48, 40), picture(seed + 100 * n + k, 48, 40)
            Image.blend(base, other, 0.45).save(folder / label / f"{k}.png")
    (folder / labels[-1] / "bad.jpg").write_bytes(b"no image")


def pairs(folder: Path, *, count: int, seed: int) -> None:
    """Images with one or two captions each, and one that is cut."""
    folder.mkdir()
    for n in range(count):
        picture(seed + n, 40 + n, 52).save(folder / f"{n:02}.png")
        more = f"number {n}, a picture\n" if n % 3 == 0 else ""
        (folder / f"{n:02}.txt").write_text(f"a {LABELS[n % len(LABELS)]} of kind {n % 5}\n{more}")
    cut = folder / "05.png"
    cut.write_bytes(cut.read_bytes()[:600])
