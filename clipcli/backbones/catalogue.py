"""The list of all models that `--model` knows, with size, input resolution and cached weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcli.backbones import bundled, hub, tags
from clipcli.backbones.checkpoint import CONFIG_NAME, read_config
from clipcli.backbones.directory import WEIGHTS_NAMES
from clipcli.backbones.here import repositories_here
from clipcli.backbones.transformers_config import CONFIG_NAME as TRANSFORMERS_CONFIG_NAME
from clipcli.backbones.transformers_config import read_transformers_config
from clipcli.errors import MissingExtra, ModelUnavailable


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model of the list.

    `parameters` is `None` if they cannot be counted offline, `weights` is `None` if they are not on this machine.
    `precision` is the one that the model states, if any.
    """

    name: str
    model_cfg: Mapping[str, Any]
    preprocess_cfg: Mapping[str, Any]
    parameters: int | None
    origin: str
    weights: Path | None
    precision: str | None = None

    @property
    def image_size(self) -> str:
        """Height and width of the model's input in pixels, as in `224×224`."""
        size = self.model_cfg["vision_cfg"].get("image_size", 224)
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return f"{height}×{width}"


def all_models() -> Iterator[ListedModel]:
    """List the bundled models, the published ones in open_clip's order, and architectures without published weights."""
    from clipcli.backbones.library import open_clip

    yield from (bundled_model(name) for name in bundled.BUNDLED)
    counts = published_parameters()
    yield from (hub_model(repository) for repository in repositories_here())
    for arch, tag in tags.published():
        yield published_model(arch, tag, parameters=counts.get(arch))
    for arch in open_clip.list_models():
        if not open_clip.list_pretrained_tags_by_model(arch):
            yield ListedModel(
                f"{arch}/CHECKPOINT", tags.model_config(arch), {}, counts.get(arch), "a file of your own", None
            )


def bundled_model(name: str) -> ListedModel:
    """Describe a bundled model."""
    return directory_model(bundled.folder(name), name=name, origin=bundled.BUNDLED[name])


def directory_model(folder: Path, *, name: str, origin: str) -> ListedModel:
    """Describe a model in a directory. Raises `ModelUnavailable` or `BadFile`."""
    by_transformers = not (folder / CONFIG_NAME).exists() and (folder / TRANSFORMERS_CONFIG_NAME).exists()
    if by_transformers:
        config = read_transformers_config(folder, name=name)
    else:
        config = read_config(folder / CONFIG_NAME, name=name)
    model_cfg, preprocess_cfg = config["model_cfg"], config["preprocess_cfg"]
    weights = next((folder / file for file in WEIGHTS_NAMES if (folder / file).is_file()), None)
    parameters = count_parameters(model_cfg)
    return ListedModel(name, model_cfg, preprocess_cfg, parameters, origin, weights, config["precision"])


def listed_model(name: str) -> ListedModel:
    """Describe a bundled model, or a published one by its architecture and tag, as in `ViT-B-32/openai`."""
    if name in bundled.BUNDLED:
        return bundled_model(name)
    arch, tag = tags.split_name(name)
    return published_model(arch, tag, parameters=published_parameters().get(arch))


def hub_model(repository: str) -> ListedModel:
    """Describe a model of the hub that is in the local cache. Raises `ModelUnavailable` or `BadFile`."""
    name = f"{hub.PREFIX}{repository}"
    found = hub.cached_model(repository)
    if found is None:
        raise ModelUnavailable(f"{name} is not on this machine; a command with --model {name} fetches it")
    config, weights = found
    if config.name == CONFIG_NAME:
        read = read_config(config, name=name)
    else:
        read = read_transformers_config(config.parent, name=name)
    counted = count_parameters(read["model_cfg"])
    return ListedModel(name, read["model_cfg"], read["preprocess_cfg"], counted, "the hub", weights)


def published_model(arch: str, tag: str, *, parameters: int | None) -> ListedModel:
    """Describe a published model, by its architecture and tag."""
    repository, _ = tags.weights_location(arch, tag)
    return ListedModel(
        name=f"{arch}/{tag}",
        model_cfg=tags.model_config(arch),
        preprocess_cfg=tags.preprocessing(tags.tag_config(arch, tag)),
        parameters=parameters,
        origin=f"{hub.PREFIX}{repository}",
        weights=tags.weights_here(arch, tag),
    )


def published_parameters() -> dict[str, int]:
    """The number of parameters of every architecture that open_clip knows, read from `parameters.json`.

    To count them anew: `python -m clipcli.backbones.catalogue`.
    """
    counts: dict[str, int] = json.loads(_COUNTS.read_text(encoding="utf-8"))
    return counts


def count_parameters(model_cfg: Mapping[str, Any]) -> int | None:
    """Count the parameters of both towers without allocating them; `None` if open_clip must ask the hub about a tower.

    Raises `BadFile` for a configuration that open_clip does not understand.
    """
    import torch

    from clipcli.backbones.checkpoint import IMAGE, TEXT
    from clipcli.backbones.towers import build_towers

    if "hf_model_name" in model_cfg["text_cfg"]:
        return None
    try:
        with torch.device("meta"):
            towers = build_towers(model_cfg, towers=(IMAGE, TEXT), dtype=torch.float32)
    except MissingExtra:
        return None
    return sum(parameter.numel() for parameter in towers.parameters())


_COUNTS = Path(__file__).with_name("parameters.json")


def _count_all() -> None:
    from clipcli.backbones.library import open_clip

    counts = {arch: count_parameters(tags.model_config(arch)) for arch in open_clip.list_models()}
    text = json.dumps({arch: count for arch, count in counts.items() if count}, indent=1)
    _COUNTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    _count_all()
