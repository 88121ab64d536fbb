"""Loads a checkpoint as a `Backbone`: builds the towers, then reads and checks the weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from clipcli.backbones.backbone import Backbone, Tokenizer
from clipcli.backbones.checkpoint import IMAGE, TEXT, Architecture, Checkpoint, fingerprint_of
from clipcli.backbones.folding import fold_batch_norms
from clipcli.backbones.library import open_clip
from clipcli.backbones.onnx_towers import is_onnx, load_onnx
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.backbones.runtime import Runtime
from clipcli.backbones.towers import Towers, build_towers, cast_towers
from clipcli.backbones.transformers_weights import converted, is_transformers
from clipcli.backbones.weights_file import read_state
from clipcli.errors import BadFile, MissingExtra, ModelUnavailable, WeightsMismatch, install, one_line

# Entries of checkpoints that are no weights: buffers and facts that newer versions of open_clip compute themselves.
_IGNORED = {
    "attn_mask",
    "text.attn_mask",
    "input_resolution",
    "context_length",
    "vocab_size",
    # Counts the steps in torch's averaged models.
    "n_averaged",
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
    `ModelUnavailable` if the tokenizer cannot be had, `MissingExtra` if transformers or ONNX Runtime is needed, and
    `UsageError` for what a model in ONNX cannot do.
    """
    if is_onnx(checkpoint):
        in_onnx = load_onnx(checkpoint, towers=towers, runtime=runtime, inference=inference)
        return _backbone(checkpoint, in_onnx, runtime=runtime, fingerprint=fingerprint_of(checkpoint))
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


def stand_in(architecture: Architecture, *, runtime: Runtime) -> Backbone:
    """Make an image tower that runs as `load` would make it for inference, but with random weights.

    It is as fast as the model itself. Raises as `initialise`.
    """
    with torch.device("cpu"):
        model = build_towers(architecture.model_cfg, towers=(IMAGE,), dtype=runtime.dtype, random=True)
    if model.visual is not None:
        fold_batch_norms(model.visual)
    cast_towers(model, runtime.dtype)
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


def _read_weights(checkpoint: Checkpoint, model: Towers) -> dict[str, Tensor]:
    """The checkpoint's tensors under the names of `Towers`, without those of towers that were not built."""
    state = read_state(checkpoint.weights)
    if is_transformers(state):
        state = converted(state)
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
            f"the tokenizer of {architecture.name} needs transformers; run {install('transformers', 'sentencepiece')}"
        )
    with _tokenizer_errors(architecture):
        length = architecture.model_cfg["text_cfg"].get("context_length")
        # A configuration may ask for the code of its tokenizer to be run: this overrides it.
        plain = {"trust_remote_code": False} if architecture.model_cfg["text_cfg"].get("hf_tokenizer_name") else {}
        tokenizer: Tokenizer = open_clip.get_tokenizer(architecture.tokenizer, context_length=length, **plain)
    return tokenizer


@contextmanager
def _tokenizer_errors(architecture: Architecture) -> Iterator[None]:
    try:
        yield
    except (OSError, TypeError, ValueError) as e:
        raise ModelUnavailable(
            f"cannot get the tokenizer of {architecture.name} ({one_line(e)}); "
            "give --model a directory that holds it, or copy the hub cache from a machine that has it"
        ) from e


def _no_tokenizer(_: Sequence[str]) -> Tensor:
    raise RuntimeError("the text tower was not loaded")
