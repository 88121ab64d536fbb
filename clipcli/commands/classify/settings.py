"""The settings of `classify`, and of the file it writes."""

from __future__ import annotations

from typing import Any

from clipcli.commands.classify.kept_columns import split_columns
from clipcli.commands.encoding_settings import Encoding
from clipcli.commands.shared_settings import (
    ForSpreadsheets,
    LabelsOrClassifier,
    ModelName,
    OptionalInputs,
    Overwriting,
    Prompts,
)
from clipcli.errors import UsageError
from clipcli.outputs import STDOUT, WRITERS
from clipcli.outputs.shards import AUTO, PLACEHOLDER, read_shard
from clipcli.scoring.kinds import SCORES, THRESHOLD, UNKNOWN_BY_DEFAULT
from clipcli.settings import AsText, AsTexts, as_text, record, setting

UNKNOWN = "unknown"


def as_shard(value: Any) -> str:
    """The text of a shard, checked unless it is taken from the environment. Raises `TypeError` and `UsageError`."""
    text = as_text(value)
    return text if text.startswith(AUTO) else str(read_shard(text))


@record
class Labelling(Prompts, OptionalInputs, LabelsOrClassifier):
    """The images to label, the classes, and what is told of them."""

    command = "classify"

    embeddings: AsText = setting(default=None, group="what", metavar="FILE", rare=True)
    """A file made by clipcli embed, in place of images: it has their embeddings, and none is decoded."""

    max_images: int | None = setting(default=None, group="what", least=1)
    """Label the first N images alone, for a first look."""

    sample: int | None = setting(default=None, group="what", least=1)
    """Label N images alone that are drawn at random, the same in every run."""

    shard: str | None = setting(default=None, group="what", metavar="I/N", reads=as_shard, rare=True)
    """Label shard I of N alone, I from 0 to N-1, for clipcli merge; auto takes it from torchrun or SLURM, and auto/N
    from Kubernetes as well."""

    frame_rows: bool = setting(default=False, group="output", rare=True)
    """Write a row for each of the N frames, as clip.mp4#frame=2, in place of one for their mean."""

    top_k: int = setting(default=1, group="output", metavar="K", least=1)
    """How many labels each image gets, best first."""

    multi_label: bool = setting(default=False, group="output")
    """Give each image every label that it shows, or none, in place of the best: each label has a threshold."""

    multi_label_at: float | None = setting(
        default=None, group="output", metavar="S", by_default=str(THRESHOLD), least=0, most=1, rare=True
    )
    """The score from which on an image has a label, with --multi-label: higher for fewer and surer labels."""

    wide: bool = setting(default=False, group="output", rare=True)
    """Write a column for each label, with its score on every image, with --multi-label."""

    keep_columns: AsTexts = setting(
        default=(),
        group="output",
        metavar="NAME,…",
        reads=split_columns,
        by_default="none",
        rare=True,
        noun="a list of names",
    )
    """Columns of the inputs' tables that go behind those of the output, split by commas, or all."""

    back_off: float | None = setting(default=None, group="how", metavar="P", least=0, most=1)
    """Label an image with the group around its best label where that does not reach this probability and the group
    does; for labels in groups."""

    score: str = setting(default="auto", group="how", metavar="S", choices=SCORES)
    """The kind of score."""

    refine: bool = setting(default=False, group="how")
    """Improve the labels by what the images of the run have in common; the first row comes after the last image."""

    unknown: bool = setting(default=False, group="how")
    """Give images that are none of the labels the label unknown; their best label is the second."""

    unknown_label: str = setting(default=UNKNOWN, group="how", metavar="TEXT", rare=True)
    """The name of such images, with --unknown."""

    unknown_at: float | None = setting(
        default=None, group="how", metavar="S", least=0, most=1, by_default=UNKNOWN_BY_DEFAULT, rare=True
    )
    """From which score on, 0 to 1, an image is unknown; lower finds more of them, and loses more of the others."""


@record
class ClassifySettings(Encoding, ModelName, Labelling):
    """The images to label, the classes, the model, and how it runs."""


def check_images(settings: Labelling) -> None:
    """Raise `UsageError` unless either images or their embeddings are given, and for what embeddings do not have."""
    if settings.embeddings is None:
        if not settings.inputs:
            raise UsageError("missing argument 'INPUT'; see clipcli classify --help")
        return
    if settings.inputs:
        raise UsageError("both images and --embeddings were given; give one of them")
    if settings.keep_columns:
        raise UsageError("--keep-columns takes columns of tables, which --embeddings FILE has not; drop one of them")


def check_shard(settings: ClassifySettings, *, is_update: bool) -> None:
    """Raise `UsageError` for what needs all images of a run, if a shard of them is labelled."""
    if settings.shard is None:
        return
    if settings.refine:
        raise UsageError(
            "--refine learns from all images of a run, and --shard labels some; refine a classifier once, with clipcli"
            " build-classifier --refine-on, and give that as --classifier"
        )
    if settings.frames is not None:
        raise UsageError("--frames gives files several images, and --shard counts files; give one of them")
    if is_update:
        raise UsageError(
            "--update is of whole outputs, and --shard of parts; merge the parts and bring that up to date"
        )


def check_part(settings: ClassifySettings, file: RowsFile) -> None:
    """Raise `UsageError` for a file that no part of a run can be, if a shard is labelled."""
    if settings.shard is None:
        if PLACEHOLDER in file.output:
            raise UsageError(f"{PLACEHOLDER} in --output stands for the shard, and there is none; give --shard I/N")
        return
    check_shard(settings, is_update=file.update)
    if file.output == STDOUT or not file.manifest:
        flag = "--output -" if file.output == STDOUT else "--no-manifest"
        raise UsageError(f"a shard needs its manifest to be merged, and {flag} leaves none; give --output FILE alone")


def check_cluster(settings: ClassifySettings, file: RowsFile) -> None:
    """Raise `UsageError` for an address that is none of Ray's, and for what a cluster does not do."""
    if file.cluster is None:
        return
    if file.cluster != "ray" and not file.cluster.startswith("ray://"):
        raise UsageError(f"--cluster {file.cluster} is no cluster; give ray, or an address such as ray://host:10001")
    flags = {"--update": file.update, "--report": file.report, "--shard": settings.shard, "--frames": settings.frames}
    given = next((flag for flag, value in flags.items() if value), None)
    if given is not None:
        raise UsageError(f"{given} and --cluster do not go together; drop one of them")
    if settings.refine or settings.embeddings is not None:
        flag = "--refine" if settings.refine else "--embeddings"
        raise UsageError(f"{flag} needs all embeddings in one process; drop it, or --cluster")
    if file.output == STDOUT:
        raise UsageError("a cluster leaves its parts beside the output, so it must be a file; give --output FILE")


def labels_written(settings: Labelling) -> int:
    """How many labels a row has room for: with `unknown` at least two, as the second is the best of the classes."""
    return max(2, settings.top_k) if settings.unknown else settings.top_k


@record
class RowsFile(Overwriting, ForSpreadsheets):
    """The file that the command line writes rows to; the Python API returns them instead."""

    command = "classify"

    output: str = setting(default="predictions.csv", group="output", metavar="FILE", short="-o")
    """Where the rows go; - is stdout, and {shard} becomes the shard, as in 03-of-16."""

    format: str | None = setting(
        default=None,
        group="output",
        metavar="F",
        choices={name: ", ".join(form.suffixes) for name, form in WRITERS.items()},
        by_default="by the output's suffix",
    )
    """The format of the rows."""

    manifest: bool = setting(default=True, group="output", rare=True)
    """Leave OUTPUT.json beside the output, which says how its rows were made; --no-manifest leaves none."""

    report: str | None = setting(default=None, group="output", metavar="FILE")
    """Also write a page of the labelled photos, an .html, with small pictures, the least sure first."""

    report_images: int = setting(default=1000, group="output", metavar="N", least=1, rare=True)
    """How many photos that page shows, of all labels together: the least sure of each."""

    resume: bool = setting(default=False, group="output")
    """Go on with the rows an interrupted run has left; the rest of the command as then."""

    update: bool = setting(default=False, group="output")
    """Bring the output up to date: new images get rows, rows of images that went are dropped, and what a person
    corrected is kept, as the column source says; nothing is encoded twice."""

    corrections: AsTexts = setting(default=(), group="output", metavar="FILE", by_default="none")
    """Corrections that go into the output, path,label,reviewed_at, with --update; may be repeated."""

    keep_missing: bool = setting(default=False, group="output", rare=True)
    """Keep the rows of images that went, with --update, and say so in their column error."""

    cluster: str | None = setting(default=None, group="speed", metavar="C", rare=True)
    """Label on a Ray cluster: ray starts one on this machine, and ray://HOST:PORT joins one."""

    watch: bool = setting(default=False, group="output")
    """Go on with --update as images arrive, change or go, until Ctrl-C; needs watchfiles."""
