"""Cache keys of class embeddings, and the name of the recipe that makes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

# The recipe: how a prompt ensemble becomes a class embedding. Cache keys and classifier files hold its name, so that a
# change of the recipe needs a new name.
RECIPE = "normalise-mean-normalise/1"


def class_key(prompts: Sequence[str], *, fingerprint: str, precision: str) -> str:
    """The cache key of a class embedding by torch: a hash of recipe, prompts, model fingerprint and precision."""
    content = json.dumps([RECIPE, fingerprint, precision, list(prompts)])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def of_engine(key: str, engine: str) -> str:
    """The cache key of a class embedding by another engine, given that by torch."""
    return key if engine == "torch" else f"{key} {engine}"
