"""Settings that several commands have: the same flags, help and defaults everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipcli.classes.mapping import MappedLabels, read_mapping
from clipcli.classes.nested import as_hierarchy, is_nested, of_value
from clipcli.classes.prompts import DEFAULT_PROMPTS
from clipcli.classes.taxonomy import TAXONOMIES
from clipcli.data.formats import ALSO
from clipcli.data.held import ACCEPTS, names_of, read_inputs
from clipcli.errors import unknown
from clipcli.settings import AsText, AsTexts, Reads, Settings, as_text, as_texts, record, setting, several

if TYPE_CHECKING:
    from clipcli.data.held import AsInputs
    from clipcli.scoring.classifier import Classifier

    # What stands below a name: its aliases, a mapping with `aliases` and `descriptions`, or the names of a group.
    Below = str | Sequence["str | Mapping[str, Below]"] | Mapping[str, "Below"] | None
    # Labels: a file of them, the labels themselves, each with its aliases, or a hierarchy.
    GivenLabels = str | Path | Sequence[str | Mapping[str, Below]] | Iterator[str] | Mapping[str, Below]
    KeptLabels = str | Path | tuple[str, ...] | MappedLabels

LABELS = "a labels file, a list of labels, or labels mapped to their aliases"
_BELOW = "str | Sequence[str | Mapping] | Mapping | None"
GIVEN_LABELS = f"str | Path | Sequence[str | Mapping] | Iterator[str] | Mapping[str, {_BELOW}]"

# What all settings of images have alike, and those that are arguments.
IMAGES: dict[str, Any] = {
    "group": "what",
    "metavar": "INPUT",
    "reads": read_inputs,
    "writes": names_of,
    "accepts": ACCEPTS,
    "several": True,
}
INPUTS: dict[str, Any] = IMAGES | {"argument": True}


def read_labels(value: Any) -> KeptLabels:
    """A labels file as it is, or labels as a tuple or a mapping. Raises `TypeError` for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return Path(as_text(value))
    labels = value if isinstance(value, Mapping) else several(value)
    given = of_value(labels)
    if is_nested(given):
        return as_hierarchy(given)
    return read_mapping(labels) if isinstance(labels, Mapping) else labels


def read_classifier(value: Any) -> str | Path | Classifier:
    """A classifier's file or a classifier, as they are. Raises `TypeError` for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return Path(as_text(value))
    from clipcli.scoring.classifier import Classifier

    if not isinstance(value, Classifier):
        raise TypeError(value)
    return value


@record
class KeepNames(Settings):
    """How the names of classes go into prompts."""

    keep_names: bool = setting(default=False, group="what", rare=True)
    """Put names such as hot_dog, 001.hot_dog or HotDog into prompts as they are, and not as words."""


@record
class Names(KeepNames):
    """How the names of classes go into prompts, and what becomes of names that are given several times."""

    keep_duplicates: bool = setting(default=False, group="what", rare=True)
    """Keep labels that are given several times as separate classes, which share their score."""


@record
class Labels(Names):
    """The names of the classes."""

    labels: Reads[GivenLabels | None, KeptLabels | None] = setting(
        default=None,
        group="what",
        metavar="LABELS",
        reads=read_labels,
        accepts=f"{GIVEN_LABELS} | None",
        noun=LABELS,
    )
    """The classes: 'cat, dog, a red car', or a file: .txt (one label a line), .csv (label, aliases, description) or
    .yaml; - for standard input."""

    taxonomy: str | None = setting(default=None, group="what", metavar="T", choices=TAXONOMIES, rare=True)
    """Put the labels into the groups of a hierarchy of things, where a .yaml does not do so."""


@record
class LabelsOrClassifier(Labels):
    """The names of the classes, or their class embeddings."""

    classifier: str | Path | Classifier | None = setting(
        default=None,
        group="what",
        metavar="FILE",
        reads=read_classifier,
        noun="a classifier or its file",
    )
    """A file made by clipcli build-classifier, in place of --labels."""


@record
class Prompts(Settings):
    """The prompts that the names of classes go into."""

    prompts: AsText = setting(
        default=None, group="what", metavar="P", by_default=DEFAULT_PROMPTS, noun="one prompt set, file or template"
    )
    """A prompt set (clipcli prompts lists them), a .yaml or .txt file, or a template holding one {}."""


@record
class ModelName(Settings):
    """A model."""

    model: AsText = setting(default=None, group="what", metavar="M", by_default="ViT-B-32-256/datacomp_s34b_b86k")
    """ARCH/TAG, ARCH/path/to/checkpoint, org/name of the Hugging Face hub, a directory, or tiny. clipcli models lists
    them."""


@record
class OneModel(ModelName, Prompts):
    """A model, and the prompts for its text tower."""


@record
class Reading(Settings):
    """What is read of the data."""

    exclude: AsTexts = setting(default=(), group="what", metavar="GLOB", by_default="none", harmless=True, rare=True)
    """Leave out files and folders of such names, as in '*.gif', or of such paths, as in 'raw/*'; may be repeated."""

    image_column: str | None = setting(default=None, group="what", metavar="C", by_default="guessed", rare=True)
    """The column of images in a table."""


def _kinds(value: object) -> tuple[str, ...]:
    """Kinds of files, split at commas. Raises `UnknownName`."""
    names = tuple(name.strip().lower() for text in as_texts(value) for name in text.split(",") if name.strip())
    for name in names:
        if name not in ALSO:
            raise unknown("kind of file", name, ALSO)
    return names


@record
class Inputs(Reading):
    """The images."""

    also: AsTexts = setting(
        default=(), group="what", metavar="KIND,…", reads=_kinds, by_default="none", rare=True, noun="a list of names"
    )
    """Read these files of folders too: raw, pdf, video."""

    null: bool = setting(default=False, group="what", rare=True)
    """Lists have their paths between NUL characters, as find -print0 writes them."""

    inputs: AsInputs = setting(kw_only=False, alike=INPUTS)
    """Images: an image, a folder, data.zip or data.zip/folder, WebDataset .tar shards, @list.txt, a quoted glob,
    - for a list on stdin, an s3://, gs://, hf:// or https:// address, or a .csv, .tsv, .json, .jsonl or .parquet of
    images."""


@record
class OptionalInputs(Inputs):
    """The images, where something else may stand in their place."""

    inputs: AsInputs = setting(default=(), kw_only=False, alike=INPUTS)


@record
class LabelColumn(Reading):
    """The column of labels."""

    label_column: str | None = setting(default=None, group="what", metavar="C", by_default="guessed", rare=True)
    """The column of labels in a table."""


@record
class TableColumns(Reading):
    """The columns of tables."""

    caption_column: str | None = setting(default=None, group="what", metavar="C", by_default="guessed", rare=True)
    """The column of captions in a table."""


@record
class Predictions(Settings):
    """An output of `classify`."""

    predictions: Reads[str | Path, str] = setting(
        kw_only=False,
        group="what",
        metavar="PREDICTIONS",
        argument=True,
        missing="no PREDICTIONS were given; give the output of clipcli classify, such as predictions.csv",
        reads=as_text,
        accepts="str | Path",
        noun="a path",
    )
    """An output of clipcli classify, in any of its formats, also with labels that were corrected."""


@record
class Acting(Predictions):
    """What is done to the images of an output: by which of their labels, and if at all."""

    min_score: float | None = setting(default=None, group="what", metavar="X", by_default="none")
    """Leave out labels of a lower score."""

    top_k: int | None = setting(
        default=None, group="what", metavar="K", least=1, by_default="1, or all of an image that has several labels"
    )
    """Go by so many of the labels of each image, best first."""

    apply: bool = setting(default=False, group="how", one_way=True)
    """Do it. Without it the plan is shown, and no file is touched."""


@record
class Planned(Settings):
    """What the command line shows of a plan; a program has all of it."""

    list: bool = setting(default=False, group="output", one_way=True)
    """Print what becomes of each file, in place of numbers alone."""


@record
class ForSpreadsheets(Settings):
    """Whether CSV is written for spreadsheets."""

    spreadsheet_safe: bool = setting(default=False, group="output", harmless=True, rare=True)
    """Put an apostrophe before what a spreadsheet would take for a formula in a path or label of a .csv; clipcli reads
    the names themselves back."""


@record
class Overwriting(Settings):
    """Leave to replace files."""

    overwrite: bool = setting(default=False, group="output", rare=True)
    """Replace the output if it exists."""
