"""The `Classifier`: class embeddings with all that scoring needs, and the file that it is saved in.

The file is safetensors: the tensor `class_embeddings` `[C, D]` float32, everything else as text metadata.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.tree import Tree, tree_of
from clipcli.errors import BadFile, InputNotFound, OutputFailed
from clipcli.files.atomic import write_bytes
from clipcli.memory.classes import RECIPE

if TYPE_CHECKING:
    from clipcli.classes.prompts import PromptedClasses
    from clipcli.memory.models import ModelFacts


@dataclass(frozen=True, slots=True)
class Classifier:
    """Class embeddings `[C, D]`, L2-normalised float32, with their labels, model and prompt set.

    `model` is the model's name and `fingerprint` identifies its weights. `prompts` is the name of the prompt set,
    `precision` the one that the prompts were encoded in. `logit_scale` is the factor itself, not its logarithm. `score`
    is `softmax` or `sigmoid`. `recipe` names the way in which prompts became class embeddings. `tree` has the groups
    of the classes, `None` if they are in none.
    """

    class_embeddings: NDArray[np.float32]
    labels: tuple[str, ...]
    model: str
    fingerprint: str
    prompts: str
    precision: str
    logit_scale: float
    logit_bias: float | None
    score: str
    recipe: str = RECIPE
    tree: Tree | None = None

    def save(self, path: str | Path) -> None:
        """Save the classifier to a file, atomically. Raises `OutputFailed`."""
        from safetensors.numpy import save

        data = save({"class_embeddings": np.ascontiguousarray(self.class_embeddings)}, metadata=self._metadata())
        try:
            write_bytes(Path(path), data)
        except OSError as e:
            raise OutputFailed(f"cannot write {path}: {e.strerror}; choose another place") from None

    @classmethod
    def load(cls, path: str | Path) -> Classifier:
        """Load a classifier from a file. Raises `InputNotFound`, or `BadFile` if it is no classifier."""
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise InputNotFound(f"no classifier file {path}; make one with clipcli build-classifier")
        try:
            with safe_open(path, framework="numpy") as file:
                stated = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
                embeddings = file.get_tensor("class_embeddings")
            values = {name: value for name, value in stated.items() if name in METADATA}
            values["labels"] = tuple(values["labels"])
            values["logit_scale"] = float(values["logit_scale"])
            values["logit_bias"] = None if values["logit_bias"] is None else float(values["logit_bias"])
            values["tree"] = Tree(tuple(map(tuple, stated["tree"]))) if "tree" in stated else None
            classifier = cls(class_embeddings=embeddings, **values)
        except (SafetensorError, KeyError, TypeError, ValueError) as e:
            raise BadFile(f"{path} is not a clipcli classifier ({e}); make one with clipcli build-classifier") from None
        if classifier.recipe != RECIPE or classifier.score not in ("softmax", "sigmoid"):
            raise BadFile(f"{path} was made by another version; make it anew with clipcli build-classifier")
        if embeddings.ndim != 2 or len(embeddings) != len(classifier.labels) or not _are_embeddings(embeddings):
            raise BadFile(f"{path}: its embeddings and labels do not fit; make it anew with clipcli build-classifier")
        if classifier.tree is not None and not classifier.tree.fits(classifier.labels):
            raise BadFile(f"{path}: its hierarchy and labels do not fit; make it anew with clipcli build-classifier")
        return classifier

    def digest(self) -> str:
        """The SHA-256 of all that it holds, in hexadecimal digits: the same wherever its file lies."""
        stated = _json(self._metadata()).encode()
        return hashlib.sha256(stated + np.ascontiguousarray(self.class_embeddings).tobytes()).hexdigest()

    def _metadata(self) -> dict[str, str]:
        stated = {name: _json(getattr(self, name)) for name in METADATA}
        return stated if self.tree is None else {**stated, "tree": _json(self.tree.groups)}


METADATA = ("labels", "model", "fingerprint", "prompts", "precision", "logit_scale", "logit_bias", "score", "recipe")


def _json(value: object) -> str:
    # A model's path may hold bytes that are not UTF-8: they become JSON escapes.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")


def _are_embeddings(array: NDArray[np.float32]) -> bool:
    return array.dtype == np.float32 and bool(np.isfinite(array).all())


def classifier_of(prompted: PromptedClasses, class_embeddings: NDArray[np.float32], facts: ModelFacts) -> Classifier:
    """Make a classifier of class embeddings `[C, D]` that the model with these facts gave."""
    return Classifier(
        class_embeddings=class_embeddings,
        labels=tuple(labelled.label for labelled in prompted.classes),
        model=facts.name,
        fingerprint=facts.fingerprint,
        prompts=prompted.prompt_set.name,
        precision=facts.precision,
        logit_scale=facts.logit_scale,
        logit_bias=facts.logit_bias,
        score=facts.score,
        tree=tree_of(prompted.classes),
    )
