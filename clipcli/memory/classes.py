"""Class embeddings of earlier runs: the key that each is kept under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

# Names the way class embeddings are made, in caches and files: a change of the way is a change of the name.
RECIPE = "normalise-mean-normalise/1"


def class_key(prompts: Sequence[str], *, fingerprint: str, precision: str) -> str:
    """The cache key of a class embedding: a hash of all that goes into it."""
    content = json.dumps([RECIPE, fingerprint, precision, list(prompts)])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
