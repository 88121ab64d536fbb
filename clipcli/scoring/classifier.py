"""The `Classifier`: class embeddings with all that scoring needs, and the file that it is saved in.

The file is safetensors: the tensor `class_embeddings` `[C, D]` float32, everything else as text metadata. One that was
refined or adapted has the tensors `weights` and `biases` too, and one that can tell unknown images `vocabulary`
`[V, D]`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clipcli.classes.tree import Tree, tree_of
from clipcli.errors import BadFile, InputNotFound, OutputFailed, UsageError
from clipcli.files.atomic import write_bytes
from clipcli.memory.classes import RECIPE
from clipcli.parsed import json_of
from clipcli.scoring.adaptation import Adaptation
from clipcli.scoring.calibration import Calibration
from clipcli.scoring.several_calibration import SeveralCalibration

if TYPE_CHECKING:
    from clipcli.classes.prompts import PromptedClasses
    from clipcli.memory.models import ModelFacts


@dataclass(frozen=True)
class Classifier:
    """Class embeddings `[C, D]`, L2-normalised float32, with their labels, model and prompt set.

    `model` is the model's name and `fingerprint` identifies its weights. `prompts` is the name of the prompt set,
    `precision` the one that the prompts were encoded in. `logit_scale` is the factor itself, not its logarithm. `score`
    is `softmax` or `sigmoid`. `recipe` names the way in which prompts became class embeddings.

    A classifier that was refined on `refined_on` images, or has an `adaptation` to corrections, has `weights` `[C, D]`
    and `biases` `[C]`, float32, which take the place of the class embeddings: an image's similarity to a class is the
    product with its weights, plus its bias. Images of no class alone leave an adaptation without weights.
    `calibration` is what `clipcli calibrate` found; `None` before that. `vocabulary` `[V, D]` holds the embeddings of
    words that mean something else than every class, to tell unknown images by. `tree` has the groups of the classes;
    `None` if they are in none. `several` is what `clipcli calibrate --multi-label` found; `None` before that.
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
    weights: NDArray[np.float32] | None = None
    biases: NDArray[np.float32] | None = None
    refined_on: int | None = None
    calibration: Calibration | None = None
    vocabulary: NDArray[np.float32] | None = None
    tree: Tree | None = None
    adaptation: Adaptation | None = None
    several: SeveralCalibration | None = None

    @cached_property
    def exact_classes(self) -> NDArray[np.float64]:
        """The class embeddings, or the weights in their place, in float64 `[C, D]`."""
        return (self.class_embeddings if self.weights is None else self.weights).astype(np.float64)

    def save(self, path: str | Path) -> None:
        """Save the classifier to a file, atomically. Raises `OutputFailed`."""
        from safetensors.numpy import save

        data = save(self._tensors(), metadata=self._metadata())
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
                known = {*METADATA, *OPTIONAL}
                values = {name: json_of(text) for name, text in (file.metadata() or {}).items() if name in known}
                names = set(file.keys())
                tensors = {name: file.get_tensor(name) for name in TENSORS if name in names}
            values["labels"] = tuple(values["labels"])
            values["logit_scale"] = float(values["logit_scale"])
            values["logit_bias"] = None if values["logit_bias"] is None else float(values["logit_bias"])
            for name, (_, read) in OPTIONAL.items():
                if name in values:
                    values[name] = read(values[name])
            classifier = cls(**tensors, **values)
        except (SafetensorError, KeyError, TypeError, ValueError) as e:
            raise BadFile(f"{path} is not a clipcli classifier ({e}); make one with clipcli build-classifier") from None
        if classifier.recipe != RECIPE or classifier.score not in ("softmax", "sigmoid"):
            raise BadFile(f"{path} was made by another version; make it anew with clipcli build-classifier")
        misfit = classifier._misfit()
        if misfit is not None:
            raise BadFile(f"{path}: its {misfit} not fit; make it anew with clipcli build-classifier")
        return classifier

    def digest(self) -> str:
        """The SHA-256 of all that it holds, in hexadecimal digits: the same wherever its file lies."""
        digest = hashlib.sha256(_json(self._metadata()).encode())
        for tensor in self._tensors().values():
            digest.update(tensor.tobytes())
        return digest.hexdigest()

    def in_words(self) -> str | None:
        """What was done to it after it was built, as in `refined on 300 images`; `None` if nothing was."""
        refined = [] if self.refined_on is None else [f"refined on {self.refined_on:,} images"]
        calibrated = [] if self.calibration is None else [f"calibrated: {self.calibration.in_words()}"]
        adapted = [] if self.adaptation is None else [self.adaptation.in_words()]
        several = [] if self.several is None else [f"calibrated for several labels: {self.several.in_words()}"]
        return ", and ".join([*refined, *adapted, *calibrated, *several]) or None

    def _metadata(self) -> dict[str, str]:
        """What is not a tensor. Optional facts that are `None` are left out, so that files are what they were."""
        found = {name: getattr(self, name) for name in OPTIONAL}
        optional = {name: OPTIONAL[name][0](fact) for name, fact in found.items() if fact is not None}
        facts = {name: getattr(self, name) for name in METADATA}
        return {name: _json(value) for name, value in {**facts, **optional}.items()}

    def _tensors(self) -> dict[str, NDArray[np.float32]]:
        tensors = {name: getattr(self, name) for name in TENSORS}
        return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items() if tensor is not None}

    def _misfit(self) -> str | None:
        """What of all that it holds does not fit its labels, in words; `None` if all does."""
        shape, classes = self.class_embeddings.shape, len(self.labels)
        if len(shape) != 2 or shape[0] != classes or not all(map(_is_finite, self._tensors().values())):
            return "embeddings and labels do"
        if not self._weights_fit(shape):
            return "refinement does"
        if self.adaptation is not None and not set(self.adaptation.by_class) <= set(self.labels):
            return "corrections and labels do"
        if self.calibration is not None and not self.calibration.fits(classes):
            return "calibration does"
        if self.several is not None and not self.several.fits(classes):
            return "calibration for several labels does"
        words = self.vocabulary
        if words is not None and (words.ndim != 2 or words.shape[1] != shape[1] or len(words) < 2):
            return "vocabulary does"
        return "groups and labels do" if self.tree is not None and not self.tree.fits(self.labels) else None

    def _weights_fit(self, shape: tuple[int, ...]) -> bool:
        """True if there are weights and biases where it is refined or adapted, of the right shape, and nowhere else."""
        learned = self.refined_on is not None or (self.adaptation is not None and self.adaptation.images > 0)
        if not learned or self.weights is None or self.biases is None:
            return not learned and self.weights is None and self.biases is None
        return self.weights.shape == shape and self.biases.shape == shape[:1]


NO_VOCABULARY = (
    "the classifier has no common words to compare with; make it anew with clipcli build-classifier --vocabulary"
)
METADATA = ("labels", "model", "fingerprint", "prompts", "precision", "logit_scale", "logit_bias", "score", "recipe")
TENSORS = ("class_embeddings", "weights", "biases", "vocabulary")
# What only some classifiers have: how it becomes JSON, and how it is read back.
OPTIONAL: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "refined_on": (int, int),
    "calibration": (Calibration.as_json, Calibration.from_json),
    "several": (SeveralCalibration.as_json, SeveralCalibration.from_json),
    "adaptation": (Adaptation.as_json, Adaptation.from_json),
    "tree": (lambda tree: tree.groups, lambda groups: Tree(tuple(map(tuple, groups)))),
}


def words_of(classifier: Classifier) -> NDArray[np.float32]:
    """The embeddings `[V, D]` of its vocabulary. Raises `UsageError` if it has none."""
    if classifier.vocabulary is None:
        raise UsageError(NO_VOCABULARY)
    return classifier.vocabulary


def _json(value: object) -> str:
    # A model's path may hold bytes that are not UTF-8: they become JSON escapes.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode("utf-8")


def _is_finite(array: NDArray[np.float32]) -> bool:
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
