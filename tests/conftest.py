"""Tiny backbones of open_clip's real code, photos made here, a cache of their own, and no network."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from places import SHARED

from clipcli.data.reference import READERS
from clipcli.records import Reference

# A shell starts what runs in the background with Ctrl-C ignored, which its programs would take over.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# And nohup with the end of the terminal ignored.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_TEXT = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
MODEL_CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": _TEXT,
    },
    "resnet": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
        "text_cfg": _TEXT,
    },
    "sigmoid": {
        "embed_dim": 32,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "avg"},
        "text_cfg": {**_TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    },
}
PREPROCESS_CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {"interpolation": "bicubic", "resize_mode": "shortest"},
    "resnet": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bilinear"},
    "sigmoid": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long `tests/faults` tries faults."""
    parser.addoption("--rounds", type=int, default=1, help="so many times as many faults are tried")


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has caches of its own, and reaches nothing but this machine."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("CLIPCLI_CACHE", str(home / "clipcli"))
    monkeypatch.setenv("HF_HOME", str(home / "hub"))
    monkeypatch.setenv("NO_COLOR", "1")
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else address
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests reach no network, and this one tried {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def workers() -> Iterator[None]:
    """Worker processes that know the decoders of `odd_decoders`, which this process does not."""
    from clipcli.images.house import HOUSE, PLUGINS

    PLUGINS.append("odd_decoders")
    yield
    PLUGINS.clear()
    HOUSE.end()


@pytest.fixture
def calling(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], bytes]], Reference]:
    """Makes references that are read by calling a function of the test."""
    functions: list[Callable[[], bytes]] = []
    monkeypatch.setitem(READERS, "call", lambda _, number: functions[int(number)]())

    def reference(function: Callable[[], bytes]) -> Reference:
        functions.append(function)
        return Reference("call", member=str(len(functions) - 1))

    return reference


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model directories with random weights, as open_clip reads them: a ViT, a ResNet and a SigLIP-style one."""
    import open_clip
    import torch
    from open_clip.factory import add_model_config
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("models")
    for name, model_cfg in MODEL_CONFIGS.items():
        folder = root / name
        folder.mkdir()
        config = root / f"test-{name}.json"
        config.write_text(json.dumps(model_cfg))
        add_model_config(config)
        torch.manual_seed(0)
        model = open_clip.create_model(f"test-{name}")
        with torch.no_grad():
            # Batch statistics, norms and biases start at 0 and 1: other values show whether they were loaded.
            for tensor in model.state_dict().values():
                if tensor.ndim == 1 and tensor.is_floating_point():
                    tensor.add_(torch.rand_like(tensor) * 0.2)
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(state, folder / "open_clip_model.safetensors")
        content = {"model_cfg": model_cfg, "preprocess_cfg": PREPROCESS_CONFIGS[name]}
        (folder / "open_clip_config.json").write_text(json.dumps(content))
    return {name: root / name for name in MODEL_CONFIGS}


@pytest.fixture
def model(models: dict[str, Path]) -> str:
    """The directory of a one-layer ViT, for `--model`."""
    return str(models["vit"])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six photos of several formats and sizes, one of them in a folder inside it."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n, name in enumerate(["a.jpg", "b.png", "c.webp", "d.jpg", "e.bmp", "more/f.jpg"]):
        height, width = 40 + 13 * n, 90 - 7 * n
        noise = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A labels file of four classes."""
    path = tmp_path / "labels.txt"
    path.write_text("cat\ndog\nbeach\nmountain\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Finds real data in the folder `shared` beside the project; the test is skipped where it is not there."""

    def find(path: str) -> Path:
        found = SHARED / path
        if not found.exists():
            pytest.skip(f"no real data: {found} is not there")
        return found

    return find
