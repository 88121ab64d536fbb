"""The test beds of scores: labelled images of several kinds, embedded by the bundled model.

The first use of a bed encodes its images; later ones take them from clipcli's cache.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

import clipcli
from clipcli.data.class_names import from_names
from clipcli.data.columns import Columns
from clipcli.data.labelled import labelled_of, read_labelled
from clipcli.data.tree import Data
from clipcli.notices import Notices

SHARED = Path(__file__).parents[3] / "shared" / "data"
MODEL = "tiny"
# The beds with classes, and where their images are. All are of images that the bundled model was not trained on.
FOLDERS = {
    "clothing": ("clothing.zip/train", "clothing.zip/validation"),
    "tiny-imagenet": ("tiny-imagenet.zip/val",),
    "caltech-101": ("caltech101.zip/val",),
}
PHOTOS = "photos"
BEDS = (*FOLDERS, PHOTOS)
BACKGROUND = "caltech101.zip/background"
# Photos whose label open_clip's names of ImageNet's classes have in other words.
OTHER_NAMES = {
    "American chameleon": "Carolina anole",
    "bluetick": "Bluetick Coonhound",
    "chime": "bell or wind chime",
    "laptop": "laptop computer",
    "meat loaf": "meatloaf",
    "pickup": "pickup truck",
    "reel": "fishing casting reel",
    "seashore": "beach",
    "shoji": "shoji screen / room divider",
    "steel arch bridge": "through arch bridge",
    "thatch": "thatched roof",
    "walking stick": "stick insect",
}


@dataclass(frozen=True, slots=True)
class Bed:
    """Image embeddings `[N, D]`, the index of each one's class `[N]`, and a classifier of `C` classes."""

    name: str
    embeddings: NDArray[np.float32]
    truth: NDArray[np.intp]
    classifier: clipcli.Classifier

    def some(self, images: NDArray[np.intp] | NDArray[np.bool_]) -> Bed:
        """The bed with some of its images: their indices, or a mask."""
        return replace(self, embeddings=self.embeddings[images], truth=self.truth[images])


@cache
def model() -> clipcli.LoadedModel:
    """The model, loaded once."""
    return clipcli.load(MODEL)


@cache
def bed(name: str) -> Bed:
    """The bed of this name, one of `BEDS`. The photos are among the 1,000 names of ImageNet's classes."""
    if name == PHOTOS:
        return _photos()
    embeddings, labels = [], []
    for folder in FOLDERS[name]:
        data = read_labelled(Data(str(SHARED / folder), Notices()), Columns(None, None, None))
        labels += [labelled.name for labelled in labelled_of(data)]
        embeddings.append(embedded(folder))
    names = sorted(set(labels))
    classes = from_names(names, Notices())
    classifier = clipcli.build_classifier([classes[one].label for one in names], model=MODEL)
    return Bed(name, np.concatenate(embeddings), np.array([names.index(label) for label in labels]), classifier)


def embedded(folder: str) -> NDArray[np.float32]:
    """The embeddings `[N, D]` of all images of a folder of the data, in order."""
    return model().embed_images(SHARED / folder)


def _photos() -> Bed:
    with open(SHARED / "photos-labels.csv", encoding="utf-8") as file:
        labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
    names = list(dict.fromkeys(IMAGENET_CLASSNAMES))
    lower = [name.lower() for name in names]
    classifier = clipcli.build_classifier(names, model=MODEL)
    paths = sorted(labels)
    truth = [lower.index(OTHER_NAMES.get(labels[path], labels[path]).lower()) for path in paths]
    return Bed(PHOTOS, model().embed_images([SHARED / path for path in paths]), np.array(truth), classifier)
