"""Settings of a training run: each of its own type and in its range, from flags, files and the API alike."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcli.backbones.bundled import as_path
from clipcli.commands.train.config_file import absolute, changes, override
from clipcli.commands.train.settings import FIELDS, TrainConfig, configured
from clipcli.errors import BadFile, InputNotFound, UnknownName, UsageError
from clipcli.settings import about, described, read_yaml, to_yaml

HARMLESS = {
    "exclude",
    "max_skipped",
    "val_every",
    "workers",
    "save_every",
    "keep_every",
    "log_every",
    "tensorboard",
    "stop_on_collapse",
    "offline",
} | {*("micro_batch", "grad_checkpoint", "compile", "device")}
OTHER: dict[str, Any] = (
    {"exclude": ("*.gif",), "keep_names": True, "keep_duplicates": True, "offline": True}
    | {name: f"other {name}" for name in ("output", "model", "arch", "prompts", "labels", "val", "zero_shot")}
    | {"data": ("other",), "image_column": "file", "caption_column": "words", "retain": "old", "wise_ft": "auto"}
    | {"max_skipped": 0.5, "epochs": 2.5, "steps": 7, "batch_size": 9, "micro_batch": 3, "seed": 1, "loss": "siglip"}
    | {
        "duplicates": "negative",
        "negatives": "data",
        "lr": 0.1,
        "image_lr": 0.2,
        "text_lr": 0.3,
        "warmup": 4,
        "weight_decay": 0.4,
    }
    | {"beta2": 0.9, "grad_clip_norm": 0.0, "crop": 0.3, "flip": True, "lock": "image", "unlock_groups": 2, "lora": 8}
    | {"freeze_batch_norm": False, "val_every": 11, "retain_drop": 0.2, "device": "cpu", "precision": "fp32"}
    | {"workers": 5, "grad_checkpoint": True, "compile": True, "save_every": 12, "keep_every": 13, "log_every": 14}
    | {"tensorboard": True, "augment": "trivial", "cutmix": 0.5, "average": 0.99, "image_size": 96}
    | {"stop_on_collapse": True, "distill": 2.0, "hold_out": 0.3, "patience": 4, "augment_views": 3}
    | {"max_pixels": 1000, "truncated": "accept", "isolate": True, "untrusted": True}
    | {"decode_timeout": 2.5, "decode_memory": 500_000_000}
)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("steps", 100, 100),
        ("steps", 100.0, 100),
        ("steps", 1e3, 1000),
        ("steps", "100", 100),
        ("epochs", 3, 3.0),
        ("lr", "1e-3", 0.001),
        ("lr", "5e-06", 5e-6),
        ("crop", 1, 1.0),
        ("flip", False, False),
        ("model", Path("folder/model"), "folder/model"),
        ("output", 2024, "2024"),
        ("output", datetime.date(2024, 2, 3), "2024-02-03"),
        ("wise_ft", 0.5, "0.5"),
        ("data", "photos", ("photos",)),
        ("data", Path("photos"), ("photos",)),
        ("data", ["photos", Path("more=0.3")], ("photos", "more=0.3")),
        ("data", (2023, 2024), ("2023", "2024")),
        ("grad_clip_norm", None, 1.0),
        ("steps", None, None),
        ("data", None, ()),
    ],
)
def test_a_value_gets_the_type_of_its_field(name: str, given: Any, value: Any) -> None:
    made = getattr(configured({name: given}), name)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        *[("steps", value, "a whole number") for value in (1.5, "many", "1.5", True, [1], "")],
        *[("steps", value, "a whole number") for value in (float("nan"), float("inf"))],
        *[("lr", value, "a number") for value in ("fast", True, [1], "nan", float("inf"))],
        *[("flip", value, "true or false") for value in (1, "yes", "true", [])],
        *[("output", value, "a text") for value in (True, ["run"], {"run": 1}, ("run",))],
        *[("data", value, "a list of paths") for value in (5, True, [["photos"]], [True])],
        *[("data", value, "a list of paths") for value in ({"photos": 0.3}, [None])],
    ],
)
def test_a_value_of_another_type_is_refused(name: str, given: Any, says: str) -> None:
    with pytest.raises(UsageError, match=f"^--{name} .* is not {says}; see clipcli train --help$"):
        configured({name: given})


@pytest.mark.parametrize(
    ("name", "fits", "too_small", "too_large"),
    [
        *[(name, [1, 10**9], 0, None) for name in ("steps", "micro_batch", "lora", "workers")],
        ("batch_size", [2, 10**9], 1, None),
        *[(name, [1, 10**9], 0, None) for name in ("val_every", "save_every", "keep_every", "log_every")],
        *[(name, [0, 10**9], -1, None) for name in ("seed", "warmup", "unlock_groups")],
        *[
            (name, [0, 1e-9, 5], -1e-9, None)
            for name in ("lr", "image_lr", "text_lr", "weight_decay", "grad_clip_norm")
        ],
        *[(name, [0, 0.3, 1], -0.01, 1.01) for name in ("max_skipped", "retain_drop")],
        ("crop", [0.01, 0.9, 1], 0.009, 1.01),
        # AdamW takes no beta of 1.
        ("beta2", [0, 0.999], -0.1, 1),
        ("average", [0, 0.5, 0.9999], -0.1, 1),
        ("image_size", [1, 10**4], 0, None),
        ("epochs", [0.1, 30], -0.1, None),
    ],
)
def test_a_value_out_of_its_range_is_refused(
    name: str, fits: list[float], too_small: float, too_large: float | None
) -> None:
    for value in fits:
        assert getattr(configured({name: value}), name) == value
    for value in (too_small, too_large):
        if value is not None:
            with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} .* does not fit; give "):
                configured({name: value})


def test_a_range_is_named() -> None:
    with pytest.raises(UsageError, match=r"^--max-skipped 2.0 does not fit; give from 0 to 1$"):
        configured({"max_skipped": 2})
    with pytest.raises(UsageError, match=r"^--batch-size 0 does not fit; give 2 or more$"):
        configured({"batch_size": 0})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"epoch": 5}, "unknown setting 'epoch'; did you mean epochs"),
        ({"learning_rate": 1}, "unknown setting 'learning_rate'.*clipcli train --help"),
        ({"loss": "sigclip"}, "unknown --loss 'sigclip'; choose one of: siglip, clip"),
        ({"lock": "vision"}, "unknown --lock 'vision'; choose one of: image, text"),
        ({"precision": "fp16"}, "unknown --precision 'fp16'; choose one of: .*fp32"),
        ({"device": "gpu"}, "unknown --device 'gpu'; choose one of: .*cuda"),
        ({"duplicates": "none"}, "unknown --duplicates 'none'; choose one of: .*positive"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest_ones(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        configured(given)


@pytest.mark.parametrize(
    ("given", "by", "made"),
    [
        ({"epochs": 3, "lr": 1}, {"steps": 10}, {"steps": 10, "lr": 1}),
        ({"steps": 3, "lr": 1}, {"epochs": 10}, {"epochs": 10, "lr": 1}),
        ({"model": "m"}, {"arch": "a"}, {"arch": "a"}),
        ({"arch": "a"}, {"model": "m"}, {"model": "m"}),
        ({"lr": 1, "seed": 2}, {"lr": 3}, {"lr": 3, "seed": 2}),
        ({"steps": 3}, {"epochs": 1, "steps": 2}, {"epochs": 1, "steps": 2}),
        ({"epochs": 1, "steps": 2}, {"lr": 1}, {"epochs": 1, "steps": 2, "lr": 1}),
    ],
)
def test_what_overrides(given: dict[str, Any], by: dict[str, Any], made: dict[str, Any]) -> None:
    before = dict(given)
    assert override(given, by=by) == made
    assert given == before


def test_a_file_may_write_numbers_as_text_and_names_with_dashes(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("\ufefflr: 1e-3\nbatch-size: 32\ndata: [photos, 'more=0.3']\nflip: no\nval_every:\n")
    read = read_yaml(path)
    assert read == {"lr": "1e-3", "batch_size": 32, "data": ["photos", "more=0.3"], "flip": False, "val_every": None}
    assert configured(read) == TrainConfig(lr=1e-3, batch_size=32, data=("photos", "more=0.3"), flip=False)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no settings in it; write one a line"),
        (b"# nothing\n", "no settings"),
        (b"- epochs\n", "no settings"),
        (b"5: epochs\n", "no settings"),
        (b"epochs: [\n", "not YAML"),
        (b"epochs: \x005\n", "not YAML"),
        (b"output: \xff\n", "not YAML"),
        (b"output: 2024-02-31\n", "not YAML"),
        (b"a: !!python/object:os.system {}\n", "not YAML"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_bytes(content)
    with pytest.raises(BadFile, match=f"train.yaml: {says}") as raised:
        read_yaml(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputNotFound, match=r"^cannot read .*; check the path after --config$"):
        read_yaml(tmp_path / name)


def _values(name: str) -> st.SearchStrategy[Any]:
    """Every value that a field may have."""
    stated, kind = about(FIELDS[name]), described(TrainConfig)[name].type
    text = st.text(st.characters(), max_size=8)
    if stated.choices:
        return st.sampled_from(list(stated.choices))
    if name == "decode_memory":
        return st.sampled_from(["2GB", 500_000_000])
    if kind is int:
        return st.integers(stated.least, stated.most)
    if kind is float:
        return st.floats(stated.least, stated.most, allow_nan=False, allow_infinity=False)
    return {str: text, bool: st.booleans(), list[str]: st.lists(text, max_size=3)}[kind]


@settings(max_examples=60, deadline=None)
@given(given=st.fixed_dictionaries({}, optional={name: _values(name) for name in FIELDS}))
def test_a_configuration_is_read_back_as_it_was_written(
    given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = configured(given)
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert configured(read_yaml(path)) == config


def test_what_was_never_given_is_not_written() -> None:
    lines = to_yaml(configured({"data": "猫", "steps": 5})).splitlines()
    assert lines[:2] == ["data:", "- 猫"]
    assert "steps: 5" in lines
    names = {line.split(":")[0] for line in lines if not line.startswith("-")}
    assert names == {"data", "steps"} | {f.name for f in FIELDS.values() if f.default not in (None, ())} | {"exclude"}


def test_every_field_has_another_value_here() -> None:
    assert OTHER.keys() == FIELDS.keys()
    assert all(FIELDS[name].default != value for name, value in OTHER.items())


@pytest.mark.parametrize("name", FIELDS)
def test_what_makes_another_run_is_named(name: str) -> None:
    before = TrainConfig()
    after = dataclasses.replace(before, **{name: OTHER[name]})
    if name in HARMLESS | {"output", "steps", "epochs"}:
        assert changes(before, after) == []
    else:
        flag = "DATA" if name == "data" else f"--{name.replace('_', '-')}"
        was, now = (" ".join(v) if name == "data" else v for v in (getattr(before, name), OTHER[name]))
        assert changes(before, after) == [f"{flag} was {was} and is {now}"]


@pytest.mark.parametrize(
    ("name", "was", "now", "same"),
    [
        ("data", ("/a/photos",), ("/b/photos",), True),
        ("data", ("/a/photos", "/a/more=0.3"), ("/b/photos", "/more=0.3"), True),
        ("data", ("/a/photos", "/a/more=0.3"), ("/a/photos", "/a/more=0.4"), False),
        ("data", ("/a/photos",), ("/a/photos", "/a/more"), False),
        ("model", "/a/model", "/b/model", True),
        ("model", "ViT-B-32//a/own.pt", "ViT-B-32//b/own.pt", True),
        ("model", "ViT-B-32/openai", "ViT-B-16/openai", False),
        ("model", "hf-hub:a/b", "hf-hub:b/b", False),
        ("val", "/a/val.csv", "/b/val.csv", True),
        ("val", None, "/b/val.csv", False),
        ("retain", "@/a/list.txt", "@/b/list.txt", True),
        ("prompts", "imagenet", "plain", False),
    ],
)
def test_a_path_may_be_another_and_a_name_may_not(name: str, was: Any, now: Any, same: bool) -> None:
    before, after = (dataclasses.replace(TrainConfig(), **{name: value}) for value in (was, now))
    assert (changes(before, after) == []) is same


def test_all_that_differs_is_named() -> None:
    before, after = configured({"lr": 1e-5, "seed": 1}), configured({"lr": 1e-4, "seed": 2, "workers": 3})
    assert changes(before, after) == ["--seed was 1 and is 2", "--lr was 1e-05 and is 0.0001"]
    assert changes(before, before) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("tiny", "tiny"),
        ("./tiny", "{here}/tiny"),
        ("run", "{here}/run"),
        ("local-dir:run", "{here}/run"),
        ("ViT-B-32/own.pt", "ViT-B-32/{here}/own.pt"),
        ("ViT-B/32/own.pt", "ViT-B-32/{here}/own.pt"),
        ("ViT-B-32/openai", "ViT-B-32/openai"),
        ("own.pt", "{here}/own.pt"),
        ("ViT-B-32/missing.pt", "ViT-B-32/missing.pt"),
        ("hf-hub:org/name", "hf-hub:org/name"),
        ("hf-hub:org/weights.bin", "hf-hub:org/weights.bin"),
    ],
)
def test_a_model_is_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "run"):
        Path(name).mkdir()
    Path("own.pt").touch()
    model = absolute(configured({"model": given})).model
    assert model == kept.format(here=tmp_path)
    assert model == absolute(configured({"model": model})).model


def test_names_stay_names_where_folders_are_called_like_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RN50", "imagenet", "own.json", "own.txt"):
        Path(name).touch()
    names = absolute(configured({"arch": "RN50", "prompts": "imagenet"}))
    assert (names.arch, names.prompts) == ("RN50", "imagenet")
    files = absolute(configured({"arch": "own.json", "prompts": "own.txt"}))
    assert (files.arch, files.prompts) == (str(tmp_path / "own.json"), str(tmp_path / "own.txt"))


def test_a_run_called_as_a_bundled_model_is_given_as_a_path() -> None:
    assert as_path(Path("tiny")) == "./tiny"
    assert as_path(Path("./tiny")) == "./tiny"
    assert as_path(Path("runs/tiny")) == "runs/tiny"
