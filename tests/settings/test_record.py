"""Records of settings: values of any origin in one form, checked, and described by the texts below the fields."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clipcli.commands.adapt.settings import AdaptedFile, AdaptSettings
from clipcli.commands.build_classifier.settings import BuildClassifierSettings, ClassifierFile
from clipcli.commands.calibrate.settings import CalibrateSettings
from clipcli.commands.classify.settings import ClassifySettings, RowsFile
from clipcli.commands.convert.settings import ConvertSettings
from clipcli.commands.embed.settings import EmbeddingsFile, EmbedSettings
from clipcli.commands.encoding_settings import Encoding, Hardware
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.find.settings import FindSettings, Found
from clipcli.commands.labels.settings import LabelsSettings
from clipcli.commands.merge.settings import MergedFile, MergeSettings
from clipcli.commands.review.settings import ReviewFile, ReviewSettings
from clipcli.commands.shared_settings import OneModel
from clipcli.commands.sort.settings import PlanShown, SortSettings
from clipcli.commands.tag.settings import PlanShown as TagPlanShown
from clipcli.commands.tag.settings import TagSettings
from clipcli.commands.train.settings import TrainConfig, TrainRequest
from clipcli.commands.undo.settings import UndoSettings
from clipcli.errors import UnknownName, UsageError
from clipcli.scoring.classifier import Classifier
from clipcli.settings import (
    GROUPS,
    AsText,
    AsTexts,
    Settings,
    as_dict,
    build_record,
    described,
    read_yaml,
    record,
    setting,
    to_yaml,
)

RECORDS = (
    *(ClassifySettings, RowsFile, BuildClassifierSettings, ClassifierFile, EvaluateSettings, TrainRequest),
    *(AdaptSettings, AdaptedFile, CalibrateSettings, LabelsSettings, ReviewSettings, ReviewFile, SortSettings),
    *(
        ConvertSettings,
        MergeSettings,
        MergedFile,
        PlanShown,
        TagSettings,
        TagPlanShown,
        UndoSettings,
        FindSettings,
        Found,
        EmbedSettings,
        EmbeddingsFile,
    ),
)
TABLE = pd.DataFrame({"path": ["a.jpg"], "label": ["cat"]})
HARDWARE = {"device": "cpu", "precision": "fp32", "cache": False, "offline": True}
DECODING: dict[str, Any] = {
    "max_pixels": 1000,
    "truncated": "accept",
    "isolate": True,
    "untrusted": True,
    "decode_timeout": 2.5,
    "decode_memory": 500_000_000,
}
ENCODING = {
    **HARDWARE,
    "batch_size": 4,
    "workers": 2,
    "decode": "fast",
    "color": "raw",
    "engine": "torch",
    "cache_size": "5MB",
    "verify": True,
}
# A value of each setting that is not its default.
OTHER: dict[type[Settings], dict[str, Any]] = {
    SortSettings: {
        "predictions": "predictions.csv",
        "into": "sorted",
        "apply": True,
        "by": "move",
        "folders": "{label}/{year}",
        "min_score": 0.5,
        "top_k": 2,
    },
    TagSettings: {
        "predictions": "predictions.csv",
        "min_score": 0.5,
        "top_k": 2,
        "apply": True,
        "untag": True,
        "embed": True,
        "sidecars": "stem",
        "under": "auto",
    },
    UndoSettings: {"journals": ["sorted/clipcli-journal-1.jsonl", "b.jsonl"]},
    ClassifySettings: {
        **DECODING,
        "frames": 4,
        "also": ["raw", "pdf"],
        "null": True,
        "frame_rows": True,
        "inputs": ["photos", "2024"],
        "embeddings": "e.parquet",
        "labels": ["cat", "dog"],
        "classifier": "c.safetensors",
        "prompts": "plain",
        "model": "tiny",
        "max_images": 9,
        "sample": 7,
        "shard": "3/8",
        "top_k": 3,
        "score": "cosine",
        **ENCODING,
        "image_column": "picture",
        "keep_columns": ["where", "who"],
        "back_off": 0.8,
        "refine": True,
        "unknown": True,
        "unknown_label": "none",
        "unknown_at": 0.7,
        "multi_label": True,
        "multi_label_at": 0.6,
        "wide": True,
        "exclude": ["*.gif", "raw"],
        "keep_names": True,
        "keep_duplicates": True,
        "taxonomy": "wordnet",
    },
    RowsFile: {
        "output": "rows.jsonl",
        "format": "jsonl",
        "resume": True,
        "manifest": False,
        "overwrite": True,
        "report": "page.html",
        "report_images": 5,
        "update": True,
        "corrections": ["a.csv", "b.csv"],
        "keep_missing": True,
        "spreadsheet_safe": True,
        "watch": True,
        "cluster": "ray",
    },
    MergeSettings: {"parts": ["a.csv", "b.csv"]},
    MergedFile: {"output": "rows.jsonl", "format": "jsonl", "overwrite": True},
    AdaptSettings: {
        **DECODING,
        "frames": 4,
        "corrections": ["a.csv", "b.csv"],
        "images": ["photos"],
        "labels": ["cat", "dog"],
        "classifier": "c.safetensors",
        "prompts": "plain",
        "model": "tiny",
        **ENCODING,
        "keep_names": True,
        "keep_duplicates": True,
        "taxonomy": "wordnet",
    },
    AdaptedFile: {"output": "c.safetensors", "overwrite": True},
    BuildClassifierSettings: {
        **DECODING,
        "labels": "labels.txt",
        "prompts": "a {}.",
        "model": "tiny",
        **HARDWARE,
        "keep_names": True,
        "keep_duplicates": True,
        "taxonomy": "wordnet",
        "refine_on": ["photos"],
        "vocabulary": True,
    },
    ClassifierFile: {"output": "c.safetensors", "overwrite": True},
    FindSettings: {
        **DECODING,
        "frames": 4,
        "text": "a dog",
        "inputs": ["photos", "more"],
        "like": ["a.jpg"],
        "without": ["people"],
        "duplicates": True,
        "top": 5,
        "min_score": 0.2,
        "model": "tiny",
        "exclude": ["*.gif"],
        "image_column": "i",
        **ENCODING,
    },
    Found: {"json": True, "null": True, "html": "page.html", "overwrite": True},
    EmbedSettings: {
        **DECODING,
        "frames": 4,
        "also": ["raw", "pdf"],
        "null": True,
        "inputs": ["photos"],
        "texts": "t.txt",
        "model": "tiny",
        "exclude": ["*.gif"],
        "image_column": "i",
        **ENCODING,
    },
    ConvertSettings: {"model": "run", "to": "onnx", "output": "out", "overwrite": True, "offline": True},
    EmbeddingsFile: {"output": "e.npy", "format": "npy", "overwrite": True},
    EvaluateSettings: {
        "spreadsheet_safe": True,
        **DECODING,
        "frames": 4,
        "data": {"photos": "a", "more": "b/c"},
        "labels": ["cat", "dog"],
        "classifier": "c.safetensors",
        "prompts": ["plain", "a {}, they say"],
        "model": ["tiny", "RN50/openai"],
        "output": "out",
        "compare": "predictions.csv",
        "back_off": 0.8,
        "refine": True,
        "unknown_folder": "others",
        "multi_label": True,
        "multi_label_at": 0.6,
        "linear_probe": "train",
        "shots": [1, "full"],
        "seeds": 4,
        "image_column": "i",
        "label_column": "l",
        "caption_column": "c",
        "allow_empty": True,
        "overwrite": True,
        **ENCODING,
        "exclude": ["*.gif"],
        "keep_names": True,
        "keep_duplicates": True,
        "taxonomy": "wordnet",
    },
    ReviewSettings: {
        **DECODING,
        "predictions": "a.csv",
        "corrections": ["b.csv", "c.csv"],
        "max_images": 9,
        "random": 7,
    },
    ReviewFile: {"output": "d.csv", "html": "page.html", "browser": False},
}


@record
class Example(Settings):
    """Settings of a command that there is not."""

    command = "example"

    inputs: AsTexts = setting(kw_only=False, group="what", metavar="INPUT", argument=True)
    """Inputs,
    also in   several lines."""

    model: AsText = setting(default=None, group="how", by_default="the best")
    """A model."""

    fast: bool = setting(default=True, group="how")
    """Be fast; --no-fast is slow."""

    top_k: int = setting(default=1, group="output", metavar="K", least=1, most=9, short="-k")
    """How many."""

    colour: str = setting(default="red", group="output", choices={"red": "as blood", "blue": "as the sky"})
    """A colour."""

    # Where nothing stands below a field, nothing is said about it.
    silent: float | None = setting(default=None, group="speed")


@record
class Heir(Example):
    """The same, but for a colour that must be given, and is described where it was first."""

    colour: str = setting(group="output", missing="no colour was given; give --colour C")


def test_a_value_of_any_origin_has_one_form() -> None:
    example = Example(Path("photos"), model=Path("a/b"), top_k="3", silent=1)  # type: ignore[arg-type]
    assert example == Example(["photos"], model="a/b", top_k=3, silent=1.0)
    assert (example.inputs, example.model, example.top_k, example.silent) == (("photos",), "a/b", 3, 1.0)
    assert dataclasses.replace(example, model=None).model is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        example.top_k = 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"top_k": 0}, "--top-k 0 does not fit; give from 1 to 9"),
        ({"top_k": 10}, "--top-k 10 does not fit; give from 1 to 9"),
        ({"top_k": "many"}, "--top-k many is not a whole number; see clipcli example --help"),
        ({"fast": "yes"}, "--fast yes is not true or false; see clipcli example --help"),
        ({"colour": "pink"}, "unknown --colour 'pink'; choose one of: red, blue"),
        ({"colours": "red"}, "unknown setting 'colours'; choose one of: colour, inputs, model, fast, top_k, silent"),
        ({"inputs": None}, "missing argument 'INPUT'; see clipcli example --help"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        build_record(Example, {"inputs": "x", **given})
    assert str(raised.value).removesuffix(" (clipcli example --help lists them)") == message
    if "colours" not in given:
        with pytest.raises(UsageError):
            Example(**{"inputs": "x", **given})


def test_a_setting_that_must_be_given_is_asked_for() -> None:
    with pytest.raises(UsageError, match=r"^no colour was given; give --colour C$"):
        build_record(Heir, {"inputs": "x"})
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'colour'"):
        Heir("x")


def test_the_texts_below_the_fields_describe_them() -> None:
    found = described(Example)
    assert [one.text for one in found.values()] == [
        *("Inputs, also in several lines.", "A model.", "Be fast; --no-fast is slow.", "How many.", "A colour.", ""),
    ]
    assert [one.help for one in found.values()][1:5] == [
        *("A model. [default: the best]", "Be fast; --no-fast is slow. [default: on]", "How many. [default: 1]"),
        "A colour. One of: red, blue. [default: red]",
    ]
    assert [one.flags for one in found.values()] == [
        *((), ("--model",), ("--fast", "--no-fast"), ("--top-k", "-k"), ("--colour",), ("--silent",)),
    ]
    assert [one.metavar for one in found.values()] == ["INPUT", "MODEL", None, "K", "COLOUR", "X"]
    assert described(Heir)["colour"].text == "A colour."
    assert described(Heir)["colour"].by_default is None


@pytest.mark.parametrize("settings", RECORDS)
def test_every_setting_is_described(settings: type[Settings]) -> None:
    for one in described(settings).values():
        assert one.text.endswith("."), one.name
        assert not one.text.startswith("What ")
        assert one.about.group in GROUPS
    assert settings.command
    assert described(settings).keys() == {field.name for field in dataclasses.fields(settings)}


def test_what_commands_share_is_the_same_everywhere() -> None:
    for base, records in [
        (Encoding, (ClassifySettings, EvaluateSettings)),
        (Hardware, (ClassifySettings, EvaluateSettings, BuildClassifierSettings)),
        (OneModel, (ClassifySettings, BuildClassifierSettings)),
    ]:
        for name, one in described(base).items():
            assert all(described(settings)[name] == one for settings in records)


def test_every_setting_has_another_value_here() -> None:
    for settings, values in OTHER.items():
        assert values.keys() == described(settings).keys()


@pytest.mark.parametrize("settings", OTHER)
def test_settings_are_read_back_as_they_were_written(settings: type[Settings], tmp_path: Path) -> None:
    whole = build_record(settings, OTHER[settings])
    least = build_record(
        settings, {name: OTHER[settings][name] for name, one in described(settings).items() if _must(one)}
    )
    for one in (whole, least):
        (tmp_path / "settings.yaml").write_text(to_yaml(one), encoding="utf-8")
        assert build_record(settings, read_yaml(tmp_path / "settings.yaml")) == one
        assert json.loads(json.dumps(as_dict(one))).keys() == described(settings).keys()
    assert {name: as_dict(whole)[name] for name in OTHER[settings]} == OTHER[settings]


def _must(one: Any) -> bool:
    return one.default is dataclasses.MISSING


def test_several_records_go_into_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(to_yaml(ClassifySettings("photos", labels="l.txt"), RowsFile(output="r.csv")))
    read = read_yaml(tmp_path / "a.yaml")
    assert read.items() >= {"inputs": ["photos"], "labels": "l.txt", "output": "r.csv", "cache": True}.items()
    assert "model" not in read


def test_an_object_is_written_by_its_type() -> None:
    classifier = object.__new__(Classifier)
    assert as_dict(ClassifySettings("photos", classifier=classifier))["classifier"] == "Classifier"
    assert as_dict(ClassifySettings("photos", labels=Path("a/l.txt")))["labels"] == "a/l.txt"


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        (ClassifySettings, {"labels": 5}, "--labels 5 is not a labels file, a list of labels, or labels mapped to "),
        (ClassifySettings, {"labels": b"cat"}, "--labels of type bytes is not a labels file, a list of labels, or"),
        (ClassifySettings, {"labels": TABLE}, "--labels of type DataFrame is not a labels file, a list of labels, or"),
        (ClassifySettings, {"labels": io.StringIO("cat")}, "--labels of type StringIO is not a labels file, a list"),
        (ClassifySettings, {"classifier": ["c"]}, r"--classifier \['c'\] is not a classifier or its file"),
        (ClassifySettings, {"classifier": iter("c")}, "--classifier of type str_ascii_iterator is not a classifier or"),
        (ClassifySettings, {"prompts": ["a {}."]}, r"--prompts \['a {}.'\] is not one prompt set, file or template"),
        (ClassifySettings, {"prompts": TABLE}, "--prompts of type DataFrame is not one prompt set, file or template"),
        (ClassifySettings, {"model": object()}, "--model of type object is not a text"),
        (ClassifySettings, {"keep_columns": [None]}, r"--keep-columns \[None\] is not a list of names"),
        (ClassifySettings, {"exclude": TABLE}, "--exclude of type DataFrame is not a list of paths"),
        (ClassifySettings, {"top_k": np.float32(2.5)}, "--top-k 2.5 is not a whole number"),
        (EvaluateSettings, {"data": TABLE}, "--data of type DataFrame is not a path, a list of paths, or names mapped"),
        (EvaluateSettings, {"data": {"a": ["x", "y"]}}, r"--data {'a': \['x', 'y'\]} is not a path, a list of paths,"),
        (EvaluateSettings, {"data": [float("nan")]}, r"--data \[nan\] is not a path, a list of paths, or names mapped"),
        (EvaluateSettings, {"data": io.StringIO("a.jpg\n")}, "--data of type StringIO is not a path, a list of paths,"),
        (EvaluateSettings, {"compare": TABLE}, "--compare of type DataFrame is not a text"),
        (TrainConfig, {"labels": ["cat"]}, r"--labels \['cat'\] is not a labels file"),
        (TrainConfig, {"data": {"photos": 0.3}}, r"--data {'photos': 0.3} is not a list of paths"),
        (ClassifySettings, {"cache_size": "big"}, "a cache size of 'big' is not understood; write it as in 500MB"),
        (ClassifySettings, {"score": "best"}, "unknown --score 'best'"),
        (EvaluateSettings, {"cache_size": "big"}, "a cache size of 'big' is not understood; write it as in 500MB"),
        (EvaluateSettings, {"decode": "quick"}, "unknown --decode 'quick'; choose one of: fast, card, exact"),
        (EvaluateSettings, {"engine": "onnx"}, "unknown --engine 'onnx'"),
        (EvaluateSettings, {"shots": "x"}, "--shots x: 'x' is not a number of images"),
        (EvaluateSettings, {"data": 5}, "--data 5 is not a path, a list of paths, or names mapped to paths; see cli"),
        (EvaluateSettings, {"data": None}, "no DATA was given; give a folder per class"),
        (EvaluateSettings, {"model": 5}, "--model 5 is not a list of paths"),
        (BuildClassifierSettings, {"labels": None}, "no labels were given; give --labels FILE"),
        (RowsFile, {"format": "cvs"}, "unknown --format 'cvs'; choose one of: csv, jsonl, parquet"),
    ],
)
def test_mistakes_in_a_file_are_one_line(settings: type[Settings], given: dict[str, Any], message: str) -> None:
    required = {name: OTHER[settings][name] for name, one in described(settings).items() if _must(one)}
    with pytest.raises(UsageError, match=f"^{message}"):
        build_record(settings, required | given)


def test_several_are_taken_from_whatever_gives_them_one_by_one(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    settings = ClassifySettings(tmp_path.glob("*.jpg"), labels=np.array(["cat", "dog"]))  # type: ignore[arg-type]
    assert sorted(settings.inputs) == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]
    assert settings.labels == ("cat", "dog")


def test_columns_sets_and_other_paths_are_lists_too() -> None:
    names = pd.Series(["dog", "cat"])
    assert ClassifySettings("photos", labels=names, keep_columns=pd.Index(["a", "b"])).keep_columns == ("a", "b")
    assert ClassifySettings("photos", labels=names).labels == ("dog", "cat")
    assert ClassifySettings("photos", labels={"dog", "cat", "ape", "yak"}).labels == ("ape", "cat", "dog", "yak")
    assert ClassifySettings("photos", labels=PurePosixPath("l.txt")).labels == Path("l.txt")
    assert ClassifySettings("photos", labels=names, exclude=(name for name in ("a", "b"))).exclude == ("a", "b")
    assert ClassifySettings("photos", labels=names, top_k=np.int64(2), cache_size="5MB").top_k == 2
    assert EvaluateSettings("val", shots=range(1, 3)).shots == (1, 2)
    assert EvaluateSettings("val", prompts=np.array(["plain", "name"])).prompts == ("plain", "name")
    assert TrainConfig(pd.Series(["a", "b"])).data == ("a", "b")


def test_labels_with_their_aliases_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    given: Any = {"dog": ("puppy", "hound"), "cat": {"aliases": "kitten", "description": "a cat sleeps."}, "yak": None}
    settings = ClassifySettings("photos", labels=given)
    (tmp_path / "settings.yaml").write_text(to_yaml(settings), encoding="utf-8")
    assert build_record(ClassifySettings, read_yaml(tmp_path / "settings.yaml")) == settings
    assert as_dict(settings)["labels"] == {
        "dog": {"aliases": ["puppy", "hound"], "descriptions": []},
        "cat": {"aliases": ["kitten"], "descriptions": ["a cat sleeps."]},
        "yak": {"aliases": [], "descriptions": []},
    }


def test_images_of_a_program_are_written_by_what_they_are_called() -> None:
    settings = ClassifySettings(["a.jpg", np.zeros((2, 2), np.uint8)], labels=["cat", "dog"])
    assert as_dict(settings)["inputs"] == ["a.jpg", "inputs[1]"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a/val", (("val", "a/val"),)),
        (pd.Series(["a/x", "b/y"]), (("x", "a/x"), ("y", "b/y"))),
        (Path("a/val"), (("val", "a/val"),)),
        (["a/val", "b/val"], (("a/val", "a/val"), ("b/val", "b/val"))),
        ({"x": Path("a"), "y": "b"}, (("x", "a"), ("y", "b"))),
        ((("x", "a"), ("y", "b")), (("x", "a"), ("y", "b"))),
    ],
)
def test_data_to_evaluate_has_names(given: Any, kept: Sequence[tuple[str, str]]) -> None:
    assert EvaluateSettings(given).data == kept


def test_lists_of_an_evaluation_are_split_and_stay_so() -> None:
    settings = EvaluateSettings("val", prompts="plain,name", model=["tiny,a/b", Path("m")], shots="1,full")
    assert (settings.prompts, settings.model, settings.shots) == (("plain", "name"), ("tiny", "a/b", "m"), (1, None))
    assert dataclasses.replace(settings, seeds=2) == EvaluateSettings(
        "val", prompts=["plain", "name"], model=["tiny", "a/b", "m"], shots=[1, None], seeds=2
    )
    assert EvaluateSettings("val", shots=4).shots == (4,)


def test_a_name_that_is_no_setting_is_unknown() -> None:
    with pytest.raises(UnknownName, match="unknown setting 'epoch'; did you mean epochs"):
        build_record(TrainConfig, {"epoch": 5})
