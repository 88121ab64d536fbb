"""Models in a directory, as open_clip, `clipcli train` and, for CLIP, transformers save them."""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import partial
from pathlib import Path

from clipcli.backbones import transformers_config
from clipcli.backbones.activation import activation_warnings
from clipcli.backbones.checkpoint import CONFIG_NAME, Checkpoint, Fetch, read_config
from clipcli.errors import ModelUnavailable
from clipcli.events import Event

# As `clipcli convert` writes them: a TorchScript file such as OpenAI published, and the image tower of a model in ONNX.
SCRIPT_NAME, ONNX_NAME = "model.pt", "image.onnx"
# In the order in which open_clip looks for them; it does not know the last two.
WEIGHTS_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
    SCRIPT_NAME,
    ONNX_NAME,
)
_OWN_NAMES = (WEIGHTS_NAMES[0], CONFIG_NAME)
CHECKPOINTS_FOLDER = "checkpoints"
_PREFIX = "local-dir:"
# What a training run writes first.
_RUN_SETTINGS = "train.yaml"
_STEP = re.compile(r"step-(\d+)")


def find(model: str) -> Fetch | None:
    """The function that gets the checkpoint in a directory, or `None` if there is no such directory.

    The prefix `local-dir:` may stand before the path; then it is taken for a directory in any case.
    """
    path = absolute_name(model)
    return None if path is None else partial(fetch, Path(path), name=path)


def absolute_name(model: str) -> str | None:
    """The absolute path of the directory that `model` names, or `None` if it names none.

    Of a training run that has not ended, it is that of the last checkpoint.
    """
    path = Path(model.removeprefix(_PREFIX)).expanduser()
    if not model.startswith(_PREFIX) and not (model and path.is_dir()):
        return None
    steps = {} if (path / CONFIG_NAME).exists() else saved_steps(path)
    return str((steps[max(steps)] if steps else path).absolute())


def saved_steps(run: Path) -> dict[int, Path]:
    """The folders of the checkpoints of a training run, by step."""
    folder = run / CHECKPOINTS_FOLDER
    found = [(_STEP.fullmatch(path.name), path) for path in (folder.iterdir() if folder.is_dir() else ())]
    return {int(m[1]): path for m, path in found if m}


def fetch(path: Path, *, name: str) -> Generator[Event, None, Checkpoint]:
    """Get the checkpoint in a directory, under the given name. Raises `ModelUnavailable` or `BadFile`."""
    if not path.is_dir():
        raise ModelUnavailable(f"no folder {path}; check the path after --model")
    if not (path / CONFIG_NAME).exists() and (path / _RUN_SETTINGS).exists():
        raise ModelUnavailable(
            f"{name} is a training run that has no checkpoint yet; go on with clipcli train --resume --output {name}"
        )
    by_transformers = not (path / CONFIG_NAME).exists() and (path / transformers_config.CONFIG_NAME).exists()
    if by_transformers:
        config = transformers_config.read_transformers_config(path, name=name)
    else:
        config = read_config(path / CONFIG_NAME, name=name)
    weights = next((path / file for file in WEIGHTS_NAMES if (path / file).is_file()), None)
    if weights is None:
        wanted, beside = ("model.safetensors", transformers_config.CONFIG_NAME) if by_transformers else _OWN_NAMES
        raise ModelUnavailable(f"{name} has no weights; put {wanted} beside its {beside}")
    tokenizer = transformers_config.TOKENIZER if by_transformers else f"local-dir:{path}"
    checkpoint = Checkpoint(name=name, weights=weights, tokenizer=tokenizer, **config)
    yield from activation_warnings(checkpoint)
    return checkpoint
