"""The guide's models are what they are said to be: known to open_clip, buildable, and with their published figures."""

from __future__ import annotations

import open_clip
import pytest

from clipcli.backbones import DEFAULT_MODEL, tags
from clipcli.backbones.bundled import BUNDLED
from clipcli.backbones.catalogue import count_parameters, listed_model, published_parameters
from clipcli.backbones.guide import GUIDE, LICENCES

PUBLISHED = {use: choice for use, choice in GUIDE.items() if choice.model not in BUNDLED}


def test_the_guide_has_a_model_for_each_use() -> None:
    assert list(GUIDE) == ["bundled", "fast", "default", "best", "languages"]
    assert GUIDE["bundled"].model in BUNDLED
    assert GUIDE["default"].model == DEFAULT_MODEL
    assert {choice.licence for choice in GUIDE.values()} == {"MIT", *LICENCES}


def test_the_figures_are_those_that_open_clip_published() -> None:
    assert {choice.model: choice.top_1 for choice in GUIDE.values()} == {
        "tiny": None,
        "ViT-B-32/datacomp_xl_s13b_b90k": 69.17,
        "ViT-B-32-256/datacomp_s34b_b86k": 72.81,
        "ViT-H-14-378-quickgelu/dfn5b": 84.37,
        "ViT-B-16-SigLIP-i18n-256/webli": 75.13,
    }


@pytest.mark.parametrize("use", PUBLISHED)
def test_open_clip_knows_each_model_and_builds_it(use: str) -> None:
    arch, tag = GUIDE[use].model.split("/")
    assert tag in open_clip.list_pretrained_tags_by_model(arch)
    assert count_parameters(tags.model_config(arch)) == published_parameters()[arch]


def test_a_model_is_described_by_its_name() -> None:
    assert listed_model("tiny").origin == BUNDLED["tiny"]
    described = listed_model("ViT-H-14-378-quickgelu/dfn5b")
    assert (described.parameters, described.image_size) == (986_714_881, "378×378")
    assert described.origin == "hf-hub:apple/DFN5B-CLIP-ViT-H-14-378"
