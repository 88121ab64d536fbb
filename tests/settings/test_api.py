"""The Python API: arguments made from records, documented by them, and errors that speak of arguments."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import clipcli
from clipcli.commands.train.settings import TrainRequest
from clipcli.errors import BadFile, ClipcliError, ClipcliWarning, OutputExists, UnknownName, UsageError
from clipcli.events import Noted, Warned
from clipcli.loaded import LoadSettings
from clipcli.settings import AsText, Settings, Show, api, record, setting
from clipcli.settings.api import in_arguments
from clipcli.settings.described import described


@record
class Example(Settings):
    """Settings of a function in these tests."""

    command = "do-it"

    data: AsText = setting(kw_only=False, group="what", metavar="DATA")
    """Data."""

    top_k: int = setting(default=1, group="output", least=1)
    """How many, in place of --all-labels."""

    all_labels: bool = setting(default=False, group="output")
    """All of them."""

    device: str = setting(default="auto", group="speed", choices={"auto": "", "cpu": ""})
    """Where."""

    output: AsText = setting(default=None, group="output", metavar="DIR")
    """A folder."""

    shots: str | None = setting(default=None, group="how")
    """Numbers."""

    lr: float | None = setting(default=None, group="how")
    """A rate."""


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        ("--top-k 9 does not fit 3 classes", "top_k=9 does not fit 3 classes"),
        ("--top-k 9.", "top_k=9."),
        ("both --top-k and --all-labels were given", "both top_k and all_labels=True were given"),
        ("--no-all-labels is slow; leave --all-labels out", "all_labels=False is slow; leave all_labels=True out"),
        ("a/b exists; give another --output, or --all-labels", "a/b exists; give another output, or all_labels=True"),
        ("give --device cpu", "give device='cpu'"),
        ("as in --output 'a, b'", "as in output='a, b'"),
        ("give --device cpux", "give device cpux"),
        ("unknown --device 'tpu'; choose one of: auto", "unknown device 'tpu'; choose one of: auto"),
        ("--output my run is a file", "output='my run' is a file"),
        ("--output a/b.c: no", "output='a/b.c': no"),
        ("try a lower --lr, or --lr 1e-3", "try a lower lr, or lr=1e-3"),
        ("give --output DIR or --shots K", "give output or shots"),
        ("as in --shots 1,4,16", "as in shots='1,4,16'"),
        ("as in --data photos=PATH", "as in data={'photos': PATH}"),
        ("--other 5 is not of this record", "--other 5 is not of this record"),
        ("not --top-kk, not a--top-k, not --top", "not --top-kk, not a--top-k, not --top"),
        ("see clipcli do-it --help", "see help(clipcli.do_it)"),
        ("no flag at all", "no flag at all"),
    ],
)
def test_flags_become_arguments(flags: str, arguments: str) -> None:
    assert in_arguments(flags, described(Example), {"output": "my run"}) == arguments


@api(Example)
def do_it(settings: Example, show: Show) -> Iterator[int]:
    """Do it.

    Raises `UsageError`.
    """
    show(Warned("--top-k 2 is a lot"))
    show(Noted("--top-k 2 is noted"))
    yield settings.top_k
    raise BadFile("--top-k 2 is odd; give --device cpu")


def test_a_function_of_a_record() -> None:
    assert str(inspect.signature(do_it)).startswith("(data: 'str | Path | None', *, top_k: 'int' = 1, ")
    assert (do_it.__name__, do_it.__module__) == ("do_it", __name__)
    assert (do_it.__doc__ or "").splitlines() == [
        *("Do it.", "", "Raises `UsageError`.", "", "Arguments:", "    data: Data.", "    shots: Numbers."),
        *("    lr: A rate.", "    top_k: How many, in place of all_labels=True. [default: 1]"),
        *("    all_labels: All of them.", "    output: A folder."),
        "    device: Where. One of: auto, cpu. [default: auto]",
    ]


def test_errors_of_a_generator_speak_of_arguments_too() -> None:
    rows = do_it("x", top_k=2)
    assert next(rows) == 2
    with pytest.raises(BadFile, match=r"^top_k=2 is odd; give device='cpu'$"):
        next(rows)
    rows = do_it("x")
    next(rows)
    rows.close()


def test_warnings_speak_of_arguments_and_are_placed_in_the_callers_code() -> None:
    with pytest.warns(ClipcliWarning) as warned:
        next(do_it("x", top_k=2))
    assert [(str(one.message), one.filename) for one in warned] == [("top_k=2 is a lot", __file__)]


def test_what_is_wrong_with_a_call_is_raised_by_it() -> None:
    with pytest.raises(TypeError, match=r"^do_it\(\) missing a required argument: 'data'$"):
        do_it()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^do_it\(\) got an unexpected keyword argument 'top'$"):
        do_it("x", top=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^do_it\(\) too many positional arguments$"):
        do_it("x", 1)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"^top_k=0 does not fit; give 1 or more$"):
        do_it("x", top_k=0)


@pytest.mark.parametrize(
    "function",
    [
        *(clipcli.classify, clipcli.build_classifier, clipcli.evaluate, clipcli.train, clipcli.load),
        *(clipcli.calibrate, clipcli.labels, clipcli.sort, clipcli.tag, clipcli.undo, clipcli.embed, clipcli.convert),
    ],
)
def test_every_function_has_its_settings(function: Callable[..., Any]) -> None:
    records: dict[str, type[Settings]] = {
        "classify": clipcli.ClassifySettings,
        "build_classifier": clipcli.BuildClassifierSettings,
        "evaluate": clipcli.EvaluateSettings,
        "train": TrainRequest,
        "load": LoadSettings,
        "calibrate": clipcli.CalibrateSettings,
        "labels": clipcli.LabelsSettings,
        "sort": clipcli.SortSettings,
        "tag": clipcli.TagSettings,
        "undo": clipcli.UndoSettings,
        "embed": clipcli.EmbedSettings,
        "convert": clipcli.ConvertSettings,
    }
    parameters = inspect.signature(function).parameters
    settings = described(records[function.__name__])
    assert parameters.keys() == settings.keys()
    assert [p.kind for p in parameters.values()].count(inspect.Parameter.POSITIONAL_OR_KEYWORD) == 1
    text = function.__doc__ or ""
    assert all(f"    {name}: " in text for name in settings)
    assert "--" not in text
    assert "Reads[" not in str(inspect.signature(function))
    assert pickle.loads(pickle.dumps(function)) is function


CASES: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("classify", {"labels": ["cat", "dog"], "top_k": 9}, UsageError, "top_k=9 does not fit 2 classes; choose from 1"),
    ("classify", {"labels": ["cat"], "batch_size": 0}, UsageError, "batch_size=0 does not fit; give 1 or more"),
    (
        "classify",
        {"labels": ["cat"], "workers": "many"},
        UsageError,
        "workers='many' is not a whole number; see help(",
    ),
    ("classify", {}, UsageError, "neither labels nor a classifier was given; give labels or classifier"),
    (
        "classify",
        {"classifier": "c", "prompts": "p"},
        UsageError,
        "a classifier has its prompts in it; give prompts wi",
    ),
    ("classify", {"labels": ["cat"], "device": "tpu"}, UnknownName, "unknown device 'tpu'; choose one of: cpu, auto,"),
    ("classify", {"labels": ["cat"], "prompts": "a {} {}"}, BadFile, "prompts: the template 'a {} {}' has 2 {}; write"),
    ("classify", {"labels": ["cat"], "output": "x.csv"}, TypeError, "classify() got an unexpected keyword argument"),
    ("build_classifier", {"precision": "int8"}, UnknownName, "unknown precision 'int8'; choose one of: auto, fp32"),
    ("build_classifier", {"cache": "no"}, UsageError, "cache='no' is not true or false; see help(clipcli.build_c"),
    ("build_classifier", {"overwrite": True}, TypeError, "build_classifier() got an unexpected keyword argument 'over"),
    ("evaluate", {"shots": 4}, UsageError, "shots are for a linear probe; give linear_probe as well"),
    ("evaluate", {"shots": "x"}, UsageError, "shots='x': 'x' is not a number of images; write it as in 1,2,4,full"),
    ("evaluate", {"seeds": 0}, UsageError, "seeds=0 does not fit; give 1 or more"),
    ("evaluate", {"output": ""}, UsageError, "output has no name; give a folder"),
    ("evaluate", {"output": "out"}, OutputExists, "out/metrics.json exists; give another output, or overwrite=True to"),
    (
        "evaluate",
        {"labels": ["a"], "classifier": "c"},
        UsageError,
        "both labels and a classifier were given; give label",
    ),
    ("evaluate", {"epochs": 3}, TypeError, "evaluate() got an unexpected keyword argument 'epochs'"),
    ("train", {"output": "run"}, UsageError, "neither model nor arch was given; give model to fine-tune, or arch to"),
    ("train", {}, UsageError, "no folder for the run was given; give output"),
    ("train", {"resume": True}, UsageError, "resume=True goes on with a run, and none was given; give output"),
    (
        "train",
        {"output": "run", "resume": True},
        UsageError,
        "no run to go on with in run; check output, or leave resu",
    ),
    ("train", {"output": "run", "average": 1}, UsageError, "average=1.0 does not fit; give from 0 to 0.999999"),
    ("train", {"output": "run", "loss": "hinge"}, UnknownName, "unknown loss 'hinge'; choose one of: clip, siglip"),
    ("train", {"output": "run", "wise_ft": 2}, UsageError, "wise_ft=2 is neither auto nor a share from 0 to 1; give"),
    ("train", {"output": "r", "wise_ft": "auto", "model": "tiny"}, UsageError, "wise_ft='auto' chooses by validation;"),
    ("train", {"output": "run", "epoch": 5}, TypeError, "train() got an unexpected keyword argument 'epoch'"),
]


@pytest.mark.parametrize(("function", "given", "error", "message"), CASES)
def test_errors_speak_of_arguments(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    given: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/metrics.json").write_text("{}")
    for name in ("a", "b"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "0.png").write_bytes((photos / "b.png").read_bytes())
    first = {"classify": str(photos), "build_classifier": ["cat"], "evaluate": "tree", "train": "tree"}[function]
    with pytest.raises(error) as raised:
        list(getattr(clipcli, function)(first, **given))
    assert str(raised.value).startswith(message)
    assert isinstance(raised.value, ClipcliError | TypeError)
    assert "--" not in str(raised.value)


def test_what_was_given_overrides_the_run_that_goes_on() -> None:
    """Also where it is the default: the default of a record and a value that was given are not the same."""
    given: list[dict[str, Any]] = []

    @api(TrainRequest, read=dict)
    def taken(values: dict[str, Any], _: Show) -> None:
        """Keep them."""
        given.append(values)

    taken("photos", seed=0, resume=True)
    assert given == [{"data": "photos", "seed": 0, "resume": True}]
