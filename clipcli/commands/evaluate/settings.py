"""The settings of `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

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
from clipcli.commands.shared_settings import Encoding, LabelsOrClassifier, Overwriting, TableColumns
from clipcli.settings import AsText, AsTexts, Reads, record, setting


@record
class EvaluateSettings(Encoding, Overwriting, TableColumns, LabelsOrClassifier):
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

    label_column: str | None = setting(default=None, group="what", metavar="C", by_default="guessed", rare=True)
    """The column of labels in a table."""

    allow_empty: bool = setting(default=False, group="what", rare=True)
    """Let there be classes of which DATA has no image."""

    refine: bool = setting(default=False, group="how")
    """Also measure classify --refine: each classifier refined on the images of DATA, without their labels."""

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
