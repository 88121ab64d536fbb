"""The golden record: what clipcli wrote before a change of its insides, held after every step of it.

`records/` holds what each case wrote and the signature of where that was: the processor, and the libraries that
compute. Where the signature is the same, everything is compared to the byte. Elsewhere words must be the same and
numbers close, and hashes are not compared. Each test says which of the two it did, in its property `compared`; the last
lines of pytest count them.

    CLIPCLI_RECORD=1 pytest tests/golden

writes the records anew. A change of a record belongs in the commit whose change of behaviour asks for it.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from . import inputs, records
from .conftest import Command

Compared = Callable[[str], None]
SOME_SKIPPED, INTERRUPTED = 3, 130
CPU = ("--device", "cpu", "--precision", "fp32")
SCORES = {"absolute": 1e-4}
LOSSES = {"relative": 1e-3}
# Another regularisation labels one or two of 18 images otherwise, and is more or less sure of all.
OF_CHOICE = {"probes.json": 0.5}
# Batch norm over six images makes much of rounding.
OF_FEW = {"relative": 1e-2}

# By format: how many labels a row has, how a run of it is interrupted, and whether that one has a cache.
FORMATS: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "csv": (1, "SIGKILL", ()),
    "jsonl": (2, "SIGTERM", ()),
    "parquet": (2, "SIGKILL", ("--no-cache",)),
}
PROMPTS = {"tiny": "imagenet-7", "vit": "plain", "resnet": "imagenet-7", "sigmoid": "plain"}


@pytest.mark.parametrize("model", PROMPTS)
def test_classify(
    place: Path,
    clipcli: Command,
    interrupted: Command,
    compared: Compared,
    capsys: pytest.CaptureFixture[str],
    model: str,
) -> None:
    """A first run, a second from the cache, and one that was interrupted and resumed write the same bytes."""
    names = inputs.photos(place / "photos")
    (place / "labels.txt").write_text("\n".join(inputs.LABELS) + "\n")
    given: list[object] = ["classify", "photos", "photos.zip", "--labels", "labels.txt", *CPU]
    given += ["--prompts", PROMPTS[model], "--batch-size", 4, "--workers", 1]
    given += ["--model", model if model == "tiny" else f"models/{model}"]
    texts = {}
    for form, (top_k, by, cached) in FORMATS.items():
        run = [*given, "--top-k", top_k, "--output"]
        first, second, resumed = (Path(f"{which}.{form}") for which in ("first", "second", "resumed"))
        assert clipcli(*run, first, cache=f"cache-{form}") == SOME_SKIPPED
        assert clipcli(*run, second, cache=f"cache-{form}") == SOME_SKIPPED
        where = {"at": names[21], "by": by, "while_written": f".{resumed}.*.part", "cache": f"cut-{form}"}
        code = interrupted(*run, resumed, *cached, **where)
        assert code == (-signal.SIGKILL if by == "SIGKILL" else INTERRUPTED)
        assert resumed.exists() == (by == "SIGTERM")
        capsys.readouterr()
        assert clipcli(*run, resumed, *cached, "--resume", cache=f"cut-{form}") == SOME_SKIPPED
        assert re.search(r"Going on after [1-9]\d* of 44 images", capsys.readouterr().err)
        assert second.read_bytes() == first.read_bytes()
        assert resumed.read_bytes() == first.read_bytes()
        assert not list(place.glob(".*.part"))
        name = f"labels.{form}" + ".txt" * (form == "parquet")
        texts[name] = records.parquet_as_text(first) if form == "parquet" else _text(first)
    compared(records.check(f"classify-{model}", texts, **SCORES))


EVALUATIONS: dict[str, tuple[str, ...]] = {
    "labels": ("val", "--model", "tiny", "--prompts", "plain,imagenet-7"),
    "captions": ("captioned", "--model", "models/vit"),
    "linear-probe": (
        *("val", "--model", "models/resnet", "--prompts", "plain"),
        *("--linear-probe", "train", "--shots", "1,full", "--seeds", "2"),
    ),
}


@pytest.mark.parametrize("case", EVALUATIONS)
def test_evaluate(place: Path, clipcli: Command, compared: Compared, case: str) -> None:
    """The figures and the predictions are those recorded, and a second run from the cache gives the same."""
    inputs.classes(place / "val", each=3, seed=1000)
    inputs.classes(place / "train", each=4, seed=5000)
    inputs.pairs(place / "captioned", count=14, seed=300)
    files = []
    for output in ("first", "second"):
        options = ("--batch-size", 4, "--output", output, *CPU)
        assert clipcli("evaluate", *EVALUATIONS[case], *options, cache="cache") == SOME_SKIPPED
        files.append(_files(place / output))
    assert files[0] == files[1]
    texts = files[0]
    if case == "linear-probe":
        texts["metrics.json"], key, probes = texts["metrics.json"].partition(' "linear_probes"')
        texts["probes.json"] = key + probes
    compared(records.check(f"evaluate-{case}", texts, wide=OF_CHOICE, **SCORES))


def _files(folder: Path) -> dict[str, str]:
    """The tables and figures there, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.name in ("metrics.json", "predictions.csv"))
    return {"-".join(path.relative_to(folder).parts): _text(path) for path in paths}


def _text(path: Path) -> str:
    """What is written there, with paths below the working folder as from there: some are made absolute."""
    return path.read_bytes().decode().replace(f"{Path.cwd()}/", "")


PAIRS = ("pairs", "--batch-size", "8", "--lr", "1e-3", "--crop", "0.6")
VALIDATED = ("--val", "captioned", "--zero-shot", "val", "--val-every", "10")
# By case: what it is trained with, and by what it is interrupted to be resumed.
TRAININGS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "plain": ((*PAIRS, "--model", "models/vit", *VALIDATED), "SIGKILL"),
    "micro-batch": ((*PAIRS, "--model", "models/vit", "--micro-batch", "3"), None),
    "lora": ((*PAIRS, "--model", "models/vit", "--lora", "2"), "SIGTERM"),
    "resnet": (
        ("train", "--model", "models/resnet", "--batch-size", "6", "--no-freeze-batch-norm", "--lr", "1e-4"),
        None,
    ),
    "siglip": (
        (
            *(*PAIRS, "--model", "models/sigmoid", "--average", "0.9", "--cutmix", "0.5", "--augment", "trivial"),
            *("--val", "captioned", "--val-every", "10", "--wise-ft", "0.5"),
        ),
        None,
    ),
}


@pytest.mark.parametrize("case", TRAININGS)
def test_train(place: Path, clipcli: Command, interrupted: Command, compared: Compared, case: str) -> None:
    """Twenty steps give the losses and weights recorded; so do they in a run that was interrupted and resumed."""
    inputs.pairs(place / "pairs", count=24, seed=0)
    inputs.pairs(place / "captioned", count=10, seed=300)
    inputs.classes(place / "val", each=2, seed=1000)
    inputs.classes(place / "train", each=4, seed=5000)
    options, by = TRAININGS[case]
    given = ["train", *options, "--prompts", "imagenet-7", "--steps", 20, "--save-every", 8, "--log-every", 1, *CPU]
    given += ["--max-skipped", 0.2, "--workers", 2, "--output"]
    assert clipcli(*given, "run", cache="cache") == SOME_SKIPPED
    texts = _trained(place / "run")
    if by is not None:
        code = interrupted(*given, "cut", at="step-00000016", by=by, cache="cache")
        assert code == (-signal.SIGKILL if by == "SIGKILL" else INTERRUPTED)
        assert not (place / "cut" / "open_clip_model.safetensors").exists()
        assert clipcli("train", "--resume", "--output", "cut", cache="cache") == SOME_SKIPPED
        assert _trained(place / "cut") == texts
    compared(records.check(f"train-{case}", texts, **(OF_FEW if case == "resnet" else LOSSES)))


# Of a line of metrics.jsonl what is recorded, by its kind; of other kinds everything is. Times are not.
RECORDED = {
    "start": ("kind", "pairs"),
    "step": ("kind", "step", "loss", "lr", "logit_scale", "grad_norm"),
    "end": ("kind", "step", "loss", "skipped", "truncated_captions", "best_step", "metrics"),
}


def _trained(run: Path) -> dict[str, str]:
    """What a run has learned: its metrics, what it skipped, and a hash of its weights."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step"] == list(range(1, 21))
    kept = [{key: line[key] for key in RECORDED.get(line["kind"], line)} for line in lines]
    return {
        "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in kept),
        "skipped.csv": _text(run / "skipped.csv"),
        "weights.txt": records.hash_of_weights(run / "open_clip_model.safetensors"),
    }
