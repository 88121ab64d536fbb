"""The settings of `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from clipcli.commands.encoding_settings import Encoding
from clipcli.commands.evaluate.parsing import (
    ALL_SHOTS,
    NO_DATA,
    SEEDS,
    format_shots,
    parse_data,
    parse_shots,
    split_list,
    split_prompts,
)
from clipcli.commands.shared_settings import ForSpreadsheets, LabelColumn, LabelsOrClassifier, Overwriting, TableColumns
from clipcli.scoring.kinds import THRESHOLD
from clipcli.settings import AsText, AsTexts, Reads, record, setting


@record
class EvaluateSettings(Encoding, Overwriting, ForSpreadsheets, LabelColumn, TableColumns, LabelsOrClassifier):
    """The data, classes and models of an evaluation; `data` holds a pair of name and path for each DATA."""

    command = "evaluate"

    data: Reads[
        str | Path | Sequence[str | Path] | Iterator[str | Path] | Mapping[str, str | Path], tuple[tuple[str, str], ...]
    ] = setting(
        kw_only=False,
        group="what",
        metavar="DATA",
        argument=True,
        missing=NO_DATA,
        reads=parse_data,
        writes=dict,
        noun="a path, a list of paths, or names mapped to paths",
    )
    """Images with labels: a folder per class, also in a .zip, as a list or as a glob; a .csv of images and labels;
    WebDataset .tar shards. Or images with captions, for retrieval."""

    prompts: AsTexts = setting(default=(), group="what", metavar="P,…", reads=split_prompts)
    """Prompt sets as for classify; several, split by commas, are compared. Templates are given one by one."""

    model: AsTexts = setting(default=(), group="what", metavar="M,…", reads=split_list)
    """Models as for classify; several are compared."""

    multi_label: bool = setting(default=False, group="what")
    """DATA is a table in which an image may have several labels: a list, or split by ; in its column."""

    multi_label_at: float | None = setting(
        default=None, group="what", metavar="S", by_default=str(THRESHOLD), least=0, most=1, rare=True
    )
    """The score from which on an image has a label, as for classify."""

    allow_empty: bool = setting(default=False, group="what", rare=True)
    """Let there be classes of which DATA has no image."""

    refine: bool = setting(default=False, group="how")
    """Also measure classify --refine: each classifier refined on the images of DATA, without their labels."""

    unknown_folder: AsText = setting(default=None, group="how", metavar="DIR")
    """Images of none of the classes: how well classify tells them, as unknown, from those of DATA."""

    back_off: float | None = setting(default=None, group="how", metavar="P", least=0, most=1)
    """Also tell how right answers are with classify --back-off; for labels in groups."""

    compare: AsText = setting(default=None, group="how", metavar="FILE")
    """Another predictions.csv of the same images, for the difference in top-1."""

    linear_probe: AsText = setting(default=None, group="how", metavar="TRAIN_DATA")
    """Also fit logistic regression on the image embeddings of TRAIN_DATA."""

    shots: Reads[str | int | Iterable[str | int | None], tuple[int | None, ...]] = setting(
        default=(None,), group="how", metavar="K,…", by_default=ALL_SHOTS, reads=parse_shots, writes=format_shots
    )
    """Images a class that the linear probe is fitted on, as in 1,2,4,full."""

    seeds: int | None = setting(default=None, group="how", least=1, by_default=str(SEEDS))
    """How often images are drawn for --shots."""

    output: AsText = setting(default=None, group="output", metavar="DIR", short="-o")
    """A folder for report.html, metrics.json, predictions.csv and confusion.csv."""
