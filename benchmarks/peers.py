"""What a user would pick instead of clipcli, each a program of its own: labels for a folder's images, as JSON lines.

`pipeline`: transformers' zero-shot-image-classification pipeline. `open_clip`: open_clip's functions with a DataLoader.
Run: python benchmarks/peers.py PEER MODEL PHOTOS LABELS BATCH_SIZE
"""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEMPLATE = "a photo of a {}."
Labelled = Iterator[tuple[str, str, float]]


def images_in(folder: str) -> list[str]:
    """The images in a folder, in order."""
    return sorted(str(path) for path in Path(folder).rglob("*.jpg"))


def pipeline(model: str, folder: str, labels: list[str], batch_size: int) -> Labelled:
    """With transformers, whose form of the model `save_for_transformers` made."""
    from transformers import pipeline

    paths = images_in(folder)
    classify = pipeline("zero-shot-image-classification", model=model, device="cpu")
    template = TEMPLATE.replace("{}", "{}")
    found = classify(paths, candidate_labels=labels, hypothesis_template=template, batch_size=batch_size)
    for path, scores in zip(paths, found, strict=True):
        yield path, scores[0]["label"], scores[0]["score"]


def with_open_clip(model: str, folder: str, labels: list[str], batch_size: int) -> Labelled:
    """With open_clip, as its README does it, and torch's DataLoader in as many processes as there are cores."""
    import os

    import open_clip
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    logging.disable(logging.WARNING)
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{model}")
    network.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{model}")
    paths = images_in(folder)

    class Photos(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, n: int) -> Any:
            return preprocess(Image.open(paths[n]).convert("RGB"))

    templates = [lambda label: TEMPLATE.replace("{}", label)]
    classes = open_clip.build_zero_shot_classifier(network, tokenizer, labels, templates)
    start = 0
    for batch in DataLoader(Photos(), batch_size=batch_size, num_workers=os.cpu_count() or 1):
        with torch.no_grad():
            embeddings = torch.nn.functional.normalize(network.encode_image(batch), dim=-1)
            scores = (network.logit_scale.exp() * embeddings @ classes).softmax(dim=-1)
        values, places = scores.max(dim=-1)
        for n, (value, place) in enumerate(zip(values.tolist(), places.tolist(), strict=True)):
            yield paths[start + n], labels[place], value
        start += len(batch)


PEERS = {"pipeline": pipeline, "open_clip": with_open_clip}


def save_for_transformers(source: Path, target: Path) -> None:
    """The weights of a ViT of open_clip's as transformers has them, with open_clip's vocabulary."""
    import open_clip
    from open_clip.tokenizer import SimpleTokenizer
    from safetensors.torch import load_file
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    stated = json.loads((source / "open_clip_config.json").read_text())["model_cfg"]
    vision, text = stated["vision_cfg"], stated["text_cfg"]
    config = CLIPConfig(
        vision_config={
            "hidden_size": vision["width"],
            "intermediate_size": 4 * vision["width"],
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // 64,
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "hidden_act": "gelu",
        },
        text_config={
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "hidden_act": "gelu",
            "bos_token_id": 49406,
            "eos_token_id": 49407,
        },
        projection_dim=stated["embed_dim"],
    )
    model = CLIPModel(config)
    wanted = model.state_dict()
    state = _renamed(load_file(source / "open_clip_model.safetensors"))
    model.load_state_dict({key: state.get(key, wanted[key]) for key in wanted})
    assert {key for key in wanted if key not in state} <= {key for key in wanted if key.endswith("position_ids")}
    model.save_pretrained(target)
    tokenizer = SimpleTokenizer()
    # The two tokens around a text are called otherwise there.
    ends = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {ends.get(token, token): number for token, number in tokenizer.encoder.items()}
    tokens = CLIPTokenizer(vocabulary, sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__))
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    CLIPProcessor(CLIPImageProcessor(image_mean=mean, image_std=std), tokens).save_pretrained(target)


def _renamed(state: dict[str, Any]) -> dict[str, Any]:
    """open_clip's names of weights as transformers has them."""
    renamed: dict[str, Any] = {
        "logit_scale": state["logit_scale"],
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
        "text_projection.weight": state["text_projection"].T.contiguous(),
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
    }
    norms = {"visual.ln_pre": "vision_model.pre_layrnorm", "visual.ln_post": "vision_model.post_layernorm"}
    norms["ln_final"] = "text_model.final_layer_norm"
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj"}
    parts |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    for name, value in state.items():
        for theirs, ours in norms.items():
            if name.startswith(f"{theirs}."):
                renamed[name.replace(theirs, ours)] = value
        tower, found, rest = name.partition("transformer.resblocks.")
        if not found:
            continue
        number, _, part = rest.partition(".")
        layer = f"{'vision' if tower else 'text'}_model.encoder.layers.{number}"
        if part.startswith("attn.in_proj_"):
            for letter, third in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{layer}.self_attn.{letter}_proj.{part.removeprefix('attn.in_proj_')}"] = third.contiguous()
        else:
            stem, _, kind = part.rpartition(".")
            renamed[f"{layer}.{parts[stem]}.{kind}"] = value
    return renamed


def main() -> None:
    """Print a line for each image."""
    peer, model, folder, labels, batch_size = sys.argv[1:]
    names = Path(labels).read_text().splitlines()
    for path, label, score in PEERS[peer](model, folder, names, int(batch_size)):
        print(json.dumps({"path": path, "label": label, "score": score}))


if __name__ == "__main__":
    main()
