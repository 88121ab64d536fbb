"""The test beds of several labels an image, embedded by the bundled model.

They are mosaics of one, two and four photos of known classes, Flickr8k's `dev` photos with nouns of their captions as
labels, and photos with general labels, with few labels, and with one label each.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from beds import MODEL, SHARED, bed, embedded, model
from numpy.typing import NDArray
from PIL import Image, ImageOps

import clipcli
from clipcli.classes.vocabulary import vocabulary
from clipcli.data.columns import Columns
from clipcli.data.labelled import labelled_of, read_labelled
from clipcli.data.reference import read as read_bytes
from clipcli.data.tree import Data
from clipcli.notices import Notices
from clipcli.scoring.competitors import competitors

MOSAICS = {"caltech-101": "caltech101.zip/val", "tiny-imagenet": "tiny-imagenet.zip/val"}
COUNT, SIDE, SEED = 300, 256, 100
# Mosaics are drawn by the number of their photos, added to these.
SEEDS = {"caltech-101": 0, "tiny-imagenet": 10}
# The nouns of Flickr8k's captions that name things to be seen: the most frequent ones of its `train`.
_NOUNS = """
man woman boy girl child baby people dog cat horse cow sheep bird water pool ocean lake river beach sand snow ice
grass field dirt mountain hill cliff rock tree forest street road sidewalk city building house wall fence bridge car
truck bus train motorcycle bicycle boat canoe skateboard surfboard snowboard sled ski ball football basketball
baseball tennis frisbee guitar camera umbrella hat helmet sunglasses shirt jacket dress suit table chair bench bed
couch crowd playground swing slide trampoline tent flag fountain stick
"""
NOUNS = _NOUNS.split()
# Words that mean one of the nouns, beside plurals in s.
SAME = {"men": "man", "women": "woman", "children": "child", "kid": "child", "kids": "child", "babies": "baby"} | {
    "toddler": "baby",
    "person": "people",
    "bike": "bicycle",
    "bikes": "bicycle",
    "puppy": "dog",
    "buses": "bus",
    "rocky": "rock",
    "snowy": "snow",
    "grassy": "grass",
    "benches": "bench",
    "dresses": "dress",
    "skis": "ski",
}
# General labels, and which of Caltech's classes are of them.
GENERAL = {
    "animal": "ant bass beaver butterfly cougar_body cougar_face crab crayfish crocodile crocodile_head dalmatian"
    " dolphin dragonfly elephant emu flamingo flamingo_head gerenuk hawksbill hedgehog ibis kangaroo Leopards llama"
    " lobster mayfly nautilus octopus okapi panda pigeon platypus rhino rooster scorpion sea_horse starfish tick"
    " wild_cat",
    "bird": "emu flamingo flamingo_head ibis pigeon rooster",
    "insect": "ant butterfly dragonfly mayfly tick",
    "flower": "lotus sunflower water_lilly",
    "tree": "bonsai joshua_tree",
    "vehicle": "airplanes car_side ferry helicopter ketch Motorbikes schooner",
    "boat": "ferry ketch schooner",
    "musical instrument": "accordion electric_guitar euphonium grand_piano mandolin saxophone",
    "furniture": "chair windsor_chair",
    "food": "pizza strawberry",
    "weapon": "revolver",
    "face": "Faces Faces_easy",
}


@dataclass(frozen=True, slots=True)
class Several:
    """Image embeddings `[N, D]`, which labels each has `[N, C]`, a classifier of them, and nouns `[V, D]` beside it."""

    name: str
    embeddings: NDArray[np.float32]
    truth: NDArray[np.bool_]
    classifier: clipcli.Classifier
    nouns: NDArray[np.float32]


@cache
def words() -> NDArray[np.float32]:
    """The embeddings of the generic vocabulary."""
    return clipcli.build_classifier(vocabulary(), model=MODEL).class_embeddings


def several(name: str, embeddings: NDArray[np.float32], truth: NDArray[np.bool_], labels: list[str]) -> Several:
    """A bed of these images and labels."""
    classifier = clipcli.build_classifier(labels, model=MODEL)
    beside = competitors(vocabulary(), words(), names=labels, class_embeddings=classifier.class_embeddings)
    return Several(name, embeddings, truth, classifier, words()[beside])


def some_labels(bed_: Several, count: int, *, seed: int) -> Several:
    """The bed with some of its labels alone, frequent ones more likely: most images may have none of them."""
    share = bed_.truth.sum(axis=0) / bed_.truth.sum()
    drawn = np.sort(np.random.default_rng(seed).choice(len(share), count, replace=False, p=share))
    labels = [bed_.classifier.labels[n] for n in drawn]
    return several(f"{bed_.name}, {count} labels", bed_.embeddings, bed_.truth[:, drawn], labels)


def mosaics(name: str, *, sizes: tuple[int, ...]) -> Several:
    """Mosaics of so many photos each, in turn, of different classes, drawn by a seed."""
    photos = list(labelled_of(read_labelled(Data(str(SHARED / MOSAICS[name]), Notices()), Columns())))
    names = sorted({photo.name for photo in photos})
    by_class = [[photo for photo in photos if photo.name == one] for one in names]
    rng = np.random.default_rng(SEEDS[name] + (sizes[0] if len(sizes) == 1 else 0))
    truth, pages = np.zeros((COUNT, len(names)), np.bool_), []
    for n in range(COUNT):
        drawn = rng.choice(len(names), sizes[n % len(sizes)], replace=False)
        truth[n, drawn] = True
        chosen = [by_class[k][rng.integers(len(by_class[k]))] for k in drawn]
        pages.append(page([Image.open(io.BytesIO(read_bytes(one.item.reference))).convert("RGB") for one in chosen]))
    labels = list(bed(name).classifier.labels)
    title = " or ".join(map(str, sizes))
    return several(f"{name}, {title} photos", model().embed_images(pages), truth, labels)


def page(photos: list[Image.Image]) -> Image.Image:
    """One, two or four photos on a square, each cut to its part of it."""
    rows, columns = {1: (1, 1), 2: (2, 1), 4: (2, 2)}[len(photos)]
    square = Image.new("RGB", (SIDE, SIDE))
    for n, photo in enumerate(photos):
        part = ImageOps.fit(photo, (SIDE // columns, SIDE // rows))
        square.paste(part, (n % columns * part.width, n // columns * part.height))
    return square


def flickr() -> Several:
    """Flickr8k's `dev` photos: a noun is there if at least two of the five captions name it."""
    folder = "flickr8k.zip/dev"
    items = list(captions_of(folder))
    truth = np.zeros((len(items), len(NOUNS)), np.bool_)
    for row, texts in zip(truth, items, strict=True):
        named = Counter(noun for text in texts for noun in {noun_of(word) for word in re.findall("[a-z]+", text)})
        row[:] = [named[noun] >= 2 for noun in NOUNS]
    return several("flickr8k nouns", embedded(folder), truth, NOUNS)


def captions_of(folder: str) -> Iterator[list[str]]:
    """The captions of each image of the folder, in lower case."""
    archive, _, inside = (SHARED / folder).as_posix().partition(".zip/")
    with zipfile.ZipFile(f"{archive}.zip") as file:
        for name in sorted(name for name in file.namelist() if name.startswith(inside) and name.endswith(".txt")):
            yield file.read(name).decode().lower().splitlines()


def noun_of(word: str) -> str:
    """The noun that a word is a form of, or the word."""
    word = SAME.get(word, word)
    return word.removesuffix("s") if word not in NOUNS and word.removesuffix("s") in NOUNS else word


def general() -> Several:
    """Caltech's `val` photos with general labels, of which most have none or one."""
    photos = labelled_of(read_labelled(Data(str(SHARED / MOSAICS["caltech-101"]), Notices()), Columns()))
    truth = np.array([[photo.name in kinds.split() for kinds in GENERAL.values()] for photo in photos])
    return several("caltech-101, general labels", embedded(MOSAICS["caltech-101"]), truth, list(GENERAL))


def one_each(name: str, *, most: int) -> Several:
    """Photos of one label each, of a bed with classes; at most so many, drawn by a seed."""
    whole = bed(name)
    drawn = np.sort(np.random.default_rng(SEED).permutation(len(whole.truth))[:most])
    truth = np.eye(len(whole.classifier.labels), dtype=np.bool_)[whole.truth[drawn]]
    return several(f"{name}, one label", whole.embeddings[drawn], truth, list(whole.classifier.labels))


@cache
def all_beds() -> list[Several]:
    """All beds."""
    mixed = [mosaics(name, sizes=(1, 2, 4)) for name in MOSAICS]
    nouns = flickr()
    return [
        *(mosaics(name, sizes=(size,)) for name in MOSAICS for size in (2, 4)),
        *mixed,
        nouns,
        *(some_labels(one, 10, seed=SEED) for one in (*mixed, nouns)),
        general(),
        *(one_each(name, most=500) for name in ("clothing", "tiny-imagenet", "caltech-101")),
    ]
