"""The settings of `classify`, and of the file it writes."""

from __future__ import annotations

from clipcli.commands.classify.kept_columns import split_columns
from clipcli.commands.shared_settings import Encoding, Inputs, LabelsOrClassifier, ModelName, Overwriting, Prompts
from clipcli.outputs import WRITERS
from clipcli.scoring.kinds import SCORES
from clipcli.settings import AsTexts, record, setting


@record
class Labelling(Prompts, Inputs, LabelsOrClassifier):
    """The images to label, the classes, and what is told of them."""

    command = "classify"

    max_images: int | None = setting(default=None, group="what", least=1)
    """Label the first N images alone, for a first look."""

    sample: int | None = setting(default=None, group="what", least=1)
    """Label N images alone that are drawn at random, the same in every run."""

    top_k: int = setting(default=1, group="output", metavar="K", least=1)
    """How many labels each image gets, best first."""

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

    score: str = setting(default="auto", group="how", metavar="S", choices=SCORES)
    """The kind of score."""

    refine: bool = setting(default=False, group="how")
    """Improve the labels by what the images of the run have in common; the first row comes after the last image."""


@record
class ClassifySettings(Encoding, ModelName, Labelling):
    """The images to label, the classes, the model, and how it runs."""


@record
class RowsFile(Overwriting):
    """The file that the command line writes rows to; the Python API returns them instead."""

    command = "classify"

    output: str = setting(default="predictions.csv", group="output", metavar="FILE", short="-o")
    """Where the rows go; - is stdout."""

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
