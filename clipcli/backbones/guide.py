"""A few models to choose from, with what others have published of them.

The figures are of open_clip's own evaluation: the column `ImageNet 1k` of docs/openclip_results.csv in
github.com/mlfoundations/open_clip, at its commit f862f86. The licences are those that the models' cards on the Hugging
Face hub state. In that table, `fast` needs the fewest operations for an image, and `best` is right the most often.
`languages` does better there than `xlm-roberta-base-ViT-B-32` (62.4 %), which is as large, and in
docs/openclip_multilingual_retrieval_results.csv as well: 66.4 % against 64.7 %, the mean over all languages.
"""

from __future__ import annotations

from dataclasses import dataclass

from clipcli.backbones.tags import DEFAULT_MODEL


@dataclass(frozen=True, slots=True)
class Choice:
    """A model of the guide. `top_1` is its zero-shot accuracy on ImageNet in percent, `None` where none is published.

    `about` says why it is in the guide.
    """

    model: str
    top_1: float | None
    licence: str
    about: str


# What a model is chosen for, with the model.
GUIDE = {
    "bundled": Choice("tiny", None, "own", "comes with clipcli, for trying it; its card: clipcli models tiny"),
    "fast": Choice("ViT-B-32/datacomp_xl_s13b_b90k", 69.17, "MIT", "the fewest operations for an image"),
    "default": Choice(DEFAULT_MODEL, 72.81, "MIT", "what commands take without --model"),
    "best": Choice("ViT-H-14-378-quickgelu/dfn5b", 84.37, "Apple", "the most often right, and slow without a card"),
    "languages": Choice("ViT-B-16-SigLIP-i18n-256/webli", 75.13, "Apache", "for labels in many languages"),
}

# What the short names of licences in the table stand for.
LICENCES = {"Apache": "Apache-2.0", "Apple": "apple-amlr, for research alone", "own": "terms that its card tells"}
