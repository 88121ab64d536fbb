"""Loads a checkpoint as a `Backbone`: builds the towers, then reads and checks the weights."""

from __future__ import annotations

import importlib.util
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from clipcli.backbones.backbone import Backbone, Preprocessing, Tokenizer
from clipcli.backbones.checkpoint import IMAGE, TEXT, Architecture, Checkpoint, fingerprint_of
from clipcli.backbones.folding import fold_batch_norms
from clipcli.backbones.library import open_clip
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.towers import Towers, build_towers, cast_towers
from clipcli.errors import BadFile, MissingExtra, ModelUnavailable, UnsafeWeights, WeightsMismatch, one_line

# Entries of checkpoints that are no weights: buffers and facts that newer versions of open_clip compute themselves.
_IGNORED = {
    "attn_mask",
    "text.attn_mask",
    "input_resolution",
    "context_length",
    "vocab_size",
    "text.transformer.embeddings.position_ids",
}
RESIZE_MODES = ("shortest", "longest", "squash")
INTERPOLATIONS = ("bicubic", "bilinear", "random")
_OLD_TEXT_NAMES = ("text_projection", "positional_embedding", "token_embedding", "transformer.", "ln_final")


def load(
    checkpoint: Checkpoint,
    *,
    runtime: Runtime,
    towers: Sequence[str] = (IMAGE, TEXT),
    resize: bool = False,
    inference: bool = False,
) -> Backbone:
    """Load a checkpoint on the runtime's device and in its precision, with only the named towers.

    For `inference` alone, batch norms become part of the convolutions before them. With `resize`, the positional
    embeddings of open_clip's own ViT are interpolated if the configuration states another image size than the weights
    were trained at.

    Raises `WeightsMismatch` if a weight is missing, left over or of another shape, `UnsafeWeights` for a pickle that
    wants to run code, `BadFile` for a file that is not a checkpoint or a configuration that open_clip does not know,
    `ModelUnavailable` if the tokenizer cannot be had, and `MissingExtra` if transformers is needed.
    """
    with torch.device("cpu"):
        model = build_towers(checkpoint.model_cfg, towers=towers, dtype=runtime.dtype)
    state = _read_weights(checkpoint, model)
    _fill(model, _resized(state, model) if resize else state, checkpoint=checkpoint)
    if inference and model.visual is not None:
        fold_batch_norms(model.visual)
    cast_towers(model, runtime.dtype)
    return _backbone(checkpoint, model, runtime=runtime, fingerprint=fingerprint_of(checkpoint))


def initialise(architecture: Architecture, *, runtime: Runtime) -> Backbone:
    """Make a model with random float32 weights from torch's default generator. Its fingerprint is empty.

    Raises `BadFile`, `ModelUnavailable` or `MissingExtra`, as `load` does.
    """
    with torch.device("cpu"):
        model = build_towers(architecture.model_cfg, towers=(IMAGE, TEXT), dtype=torch.float32, random=True)
    return _backbone(architecture, model, runtime=runtime, fingerprint="")


def _backbone(architecture: Architecture, model: Towers, *, runtime: Runtime, fingerprint: str) -> Backbone:
    model.eval().requires_grad_(False).to(runtime.device)
    bias = None if model.logit_bias is None else float(model.logit_bias.item())
    return Backbone(
        name=architecture.name,
        fingerprint=fingerprint,
        towers=model,
        tokenizer=_no_tokenizer if model.text is None else _tokenizer(architecture),
        preprocessing=_preprocessing(architecture),
        dimensions=architecture.model_cfg["embed_dim"],
        logit_scale=float(model.logit_scale.to(torch.float32).exp().item()),
        logit_bias=bias,
        score="softmax" if bias is None else "sigmoid",
        runtime=runtime,
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file, on the CPU, without running any code in it.

    Raises `UnsafeWeights` or `BadFile`.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as e:
            raise BadFile(f"{path} is not a safetensors file ({e}); get it anew") from None
    try:
        with warnings.catch_warnings():
            # torch warns about files that it then refuses.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as e:
        raise BadFile(f"cannot read {path}: {e.strerror}; check its permissions") from None
    # Unpickling a file that is no pickle raises nearly anything.
    except Exception as e:
        raise _unreadable(path, e) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(key, str) for key in state):
        raise BadFile(f"{path} holds no state dict; save model.state_dict(), best as .safetensors")
    return {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}


def _unreadable(path: Path, error: Exception) -> UnsafeWeights | BadFile:
    text = str(error).lower()
    if any(words in text for words in ("unsupported global", "unsupported class", "torchscript")):
        return UnsafeWeights(
            f"{path} is a pickle that wants to run code when it is loaded; clipcli refuses: "
            "get the weights as .safetensors, or save the plain state dict"
        )
    return BadFile(f"{path} is not a PyTorch checkpoint or is cut short; get it anew")


def _read_weights(checkpoint: Checkpoint, model: Towers) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of `Towers`, without those of towers that were not built."""
    state = read_state(checkpoint.weights)
    if model.visual is not None:
        state = open_clip.convert.convert_state_dict(model, state)
    if any(key.startswith(_OLD_TEXT_NAMES) for key in state):
        state = {f"text.{key}" if key.startswith(_OLD_TEXT_NAMES) else key: value for key, value in state.items()}
    absent = ["text_decoder."]
    absent += ["visual."] if model.visual is None else []
    absent += ["text."] if model.text is None else []
    wanted = {k: v for k, v in state.items() if k not in _IGNORED and not k.startswith(tuple(absent))}
    # Older checkpoints store the scale as a scalar where newer ones store one element, and the other way round.
    shape = model.logit_scale.shape
    return {k: v.reshape(shape) if k.startswith("logit_") and v.numel() == 1 else v for k, v in wanted.items()}


def _resized(state: Mapping[str, Tensor], model: Towers) -> dict[str, Tensor]:
    # Not every device interpolates half precision.
    resized = {k: v.to(torch.float32) if k == "visual.positional_embedding" else v for k, v in state.items()}
    open_clip.model.resize_pos_embed(resized, model)
    return resized


def _fill(model: Towers, state: Mapping[str, Tensor], *, checkpoint: Checkpoint) -> None:
    """Put the tensors into the model. Raises `WeightsMismatch` unless they fit exactly."""
    expected = model.state_dict()
    missing = [key for key in expected if key not in state]
    surplus = [key for key in state if key not in expected]
    misshapen = [key for key in expected if key in state and state[key].shape != expected[key].shape]
    problems = [
        f"{len(keys)} {what} ({keys[0]}{', …' if len(keys) > 1 else ''})"
        for what, keys in (("missing", missing), ("left over", surplus), ("of another shape", misshapen))
        if keys
    ]
    if problems:
        raise WeightsMismatch(
            f"{checkpoint.weights} does not fit {checkpoint.name}: weights {', '.join(problems)}; "
            "check that the architecture is the one it was trained with"
        )
    floats = {key: value.to(expected[key].dtype) for key, value in state.items()}
    model.load_state_dict(floats, strict=True, assign=True)


def _preprocessing(architecture: Architecture) -> Preprocessing:
    # The image size is the architecture's, even where the preprocessing states another.
    size = architecture.model_cfg["vision_cfg"].get("image_size", 224)
    defaults = open_clip.transform.PreprocessCfg()
    stated = open_clip.transform.merge_preprocess_dict(defaults, {**architecture.preprocess_cfg, "size": size})
    for key, valid in (("resize_mode", RESIZE_MODES), ("interpolation", INTERPOLATIONS)):
        if stated[key] not in valid:
            raise BadFile(f"{architecture.name} states {key} '{stated[key]}'; open_clip knows {', '.join(valid)}")
    return Preprocessing(
        size=tuple(size) if isinstance(size, list | tuple) else (size, size),
        resize_mode=stated["resize_mode"],
        interpolation=stated["interpolation"],
        mean=_per_channel(stated["mean"]),
        std=_per_channel(stated["std"]),
        fill_color=stated["fill_color"],
    )


def _per_channel(value: float | Sequence[float]) -> tuple[float, ...]:
    return (value,) * 3 if isinstance(value, int | float) else tuple(value)


def _tokenizer(architecture: Architecture) -> Tokenizer:
    if architecture.model_cfg["text_cfg"].get("hf_tokenizer_name") and not importlib.util.find_spec("transformers"):
        raise MissingExtra(
            f"the tokenizer of {architecture.name} needs transformers; run pip install 'clipcli[transformers]'"
        )
    with _tokenizer_errors(architecture):
        tokenizer: Tokenizer = open_clip.get_tokenizer(architecture.tokenizer)
    return tokenizer


@contextmanager
def _tokenizer_errors(architecture: Architecture) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as e:
        raise ModelUnavailable(
            f"cannot get the tokenizer of {architecture.name} ({one_line(e)}); "
            "give --model a directory that holds it, or copy the hub cache from a machine that has it"
        ) from e


def _no_tokenizer(_: Sequence[str]) -> Tensor:
    raise RuntimeError("the text tower was not loaded")
