"""A folder for transformers: a `CLIPModel` with its `CLIPProcessor`, for plain CLIP with a vision transformer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from clipcli.backbones.checkpoint import Architecture
from clipcli.backbones.library import open_clip
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.backbones.transformers_config import CONFIG_NAME, INTERPOLATIONS
from clipcli.backbones.transformers_weights import as_transformers
from clipcli.commands.convert.form import Form, ReadBack, Source, pictures
from clipcli.commands.convert.plain import image_size, why_not_plain

# CLIP's special tokens, as open_clip spells them and as transformers does.
_SPECIAL = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}


def _refusal(architecture: Architecture) -> str | None:
    if isinstance(architecture.model_cfg["vision_cfg"].get("layers"), list | tuple):
        return "its image tower is a ResNet"
    return why_not_plain(architecture)


def _write(folder: Path, source: Source) -> None:
    import transformers

    preprocessing, towers = source.backbone.preprocessing, source.backbone.towers
    config = transformers.CLIPConfig(**_config(source.checkpoint), architectures=["CLIPModel"])
    (folder / CONFIG_NAME).write_text(config.to_json_string(), encoding="utf-8")
    weights = {name.removeprefix("text."): weight for name, weight in towers.state_dict().items()}
    save_file(as_transformers(weights), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = _tokenizer(folder, context_length=config.text_config.max_position_embeddings)
    processor = transformers.CLIPImageProcessor(**_image_processor(preprocessing))
    # Older versions read it from a file of its own.
    processor.save_pretrained(folder)
    transformers.CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)


def _config(architecture: Architecture) -> dict[str, Any]:
    """The arguments of a `CLIPConfig` for the architecture."""
    stated = architecture.model_cfg
    vision = open_clip.model.CLIPVisionCfg(**stated["vision_cfg"])
    text = open_clip.model.CLIPTextCfg(**stated["text_cfg"])
    both = {"hidden_act": "quick_gelu" if stated.get("quick_gelu") else "gelu", "projection_dim": stated["embed_dim"]}
    return {
        "projection_dim": stated["embed_dim"],
        "text_config": {
            **_sizes(text, heads=text.heads),
            **both,
            "max_position_embeddings": text.context_length,
            "vocab_size": text.vocab_size,
            "bos_token_id": text.vocab_size - 2,
            "eos_token_id": text.vocab_size - 1,
            "pad_token_id": text.vocab_size - 1,
        },
        "vision_config": {
            **_sizes(vision, heads=vision.width // vision.head_width),
            **both,
            "image_size": image_size(architecture),
            "patch_size": vision.patch_size,
        },
    }


def _sizes(tower: Any, *, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": int(tower.width * tower.mlp_ratio),
        "num_hidden_layers": tower.layers,
        "num_attention_heads": heads,
        "layer_norm_eps": 1e-5,
    }


def _tokenizer(folder: Path, *, context_length: int) -> Any:
    """CLIP's own tokenizer for transformers, whose files are written to the folder."""
    import transformers

    own = open_clip.tokenizer.SimpleTokenizer()
    words = {_SPECIAL.get(word, word): number for word, number in own.encoder.items()}
    merges = [" ".join(pair) for pair in own.bpe_ranks]
    (folder / "vocab.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    start, end = _SPECIAL.values()
    special = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end}
    stated = {"tokenizer_class": "CLIPTokenizer", "model_max_length": context_length, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated), encoding="utf-8")
    return transformers.CLIPTokenizerFast.from_pretrained(folder)


def _image_processor(preprocessing: Preprocessing) -> dict[str, Any]:
    """The arguments of a `CLIPImageProcessor` that does what the preprocessing says."""
    height, width = preprocessing.size
    both = {"height": height, "width": width}
    is_cropped = preprocessing.resize_mode == "shortest"
    numbers = {name: number for number, name in INTERPOLATIONS.items()}
    return {
        "size": {"shortest_edge": height} if is_cropped else both,
        "do_center_crop": is_cropped,
        "crop_size": both,
        "resample": numbers.get(preprocessing.interpolation, numbers["bicubic"]),
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
        "do_convert_rgb": True,
    }


def _read(folder: Path, _: Source) -> Sequence[ReadBack]:
    import transformers

    with _quietly(transformers.utils.logging):
        model, said = transformers.CLIPModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    wrong = [name for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in said[kind]]
    if wrong:
        raise ValueError(f"it takes other weights, such as {wrong[0]}")
    processor = transformers.CLIPProcessor.from_pretrained(folder, local_files_only=True)

    def images(pixels: Tensor) -> Tensor:
        given = processor.image_processor(pictures(pixels), return_tensors="pt")
        return _pooled(model.get_image_features(**given))

    def texts(given: Sequence[str]) -> Tensor:
        tokens = processor.tokenizer(list(given), padding=True, truncation=True, return_tensors="pt")
        return _pooled(model.get_text_features(**tokens))

    return [ReadBack(f"transformers {transformers.__version__}", images, texts)]


@contextmanager
def _quietly(log: Any) -> Iterator[None]:
    """Keep transformers from showing bars, and from saying what is raised here."""
    had_bars, said = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(said)
        if had_bars:
            log.enable_progress_bar()


def _pooled(found: Any) -> Tensor:
    """The embeddings; newer versions of transformers give them in a record."""
    embeddings: Tensor = getattr(found, "pooler_output", found)
    return embeddings


FORM = Form(
    packages=("transformers",),
    refusal=_refusal,
    write=_write,
    read=_read,
    use='transformers.CLIPModel.from_pretrained("{folder}")',
)
