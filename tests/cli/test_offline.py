"""`--offline`: with sockets refused every command does its work, and a model that is not here is one line."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from huggingface_hub import constants

import clipcli
from clipcli.cli import COMMANDS, command_of
from clipcli.cli.flags import Command
from clipcli.errors import UsageError
from clipcli.offline import is_offline, offline, why_offline
from clipcli.settings import described

from .conftest import Run

MISSING = "hf-hub:some/body"
# Each command, on what those before it have left; MODEL is one that is here.
WORK = {
    "labels": "cat,dog --model MODEL --prompts plain --offline",
    "prompts": "",
    "models": "--cached",
    "cache": "",
    "classify": "photos --labels cat,dog --model MODEL --prompts plain --offline",
    "merge": "0.csv 1.csv -o merged.csv",
    "build-classifier": "--labels cat,dog --model MODEL --prompts plain --offline",
    "evaluate": "known.csv --model MODEL --labels cat,dog --prompts plain --offline",
    "calibrate": "known.csv --classifier classes.safetensors --model MODEL --offline",
    "adapt": "--corrections known.csv --classifier classes.safetensors --model MODEL --offline",
    "review": "predictions.csv --html page.html",
    "find": "cat photos --model MODEL --offline",
    "embed": "photos --model MODEL -o e.npy --offline",
    "sort": "predictions.csv --into sorted --apply",
    "tag": "predictions.csv --apply",
    "undo": "JOURNAL",
    "convert": "MODEL --to open_clip -o converted --offline",
    "train": "known.csv --model MODEL --prompts plain --steps 1 --batch-size 2 --output run --offline",
}


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuses every socket of this process; has one text for each that was tried."""
    found: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        found.append("a socket")
        raise OSError("sockets are refused")

    monkeypatch.setattr(socket.socket, "__init__", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return found


def write_known(photos: Path) -> None:
    """Write the labels of 24 photos as `known.csv`."""
    for n in range(18):
        shutil.copy(photos / "a.jpg", photos / f"{n}.jpg")
    names = sorted(str(path.relative_to(photos.parent)) for path in photos.rglob("*.*"))
    rows = [f"{name},{'cat' if n % 2 else 'dog'},2026-01-01T00:00:00+00:00\n" for n, name in enumerate(names)]
    Path("known.csv").write_text("path,label,reviewed_at\n" + "".join(rows))


def test_every_command_works_without_a_socket(run: Run, photos: Path, model: str, tried: list[str]) -> None:
    assert set(WORK) == set(COMMANDS)
    write_known(photos)
    for n in (0, 1):
        part = f"photos --shard {n}/2 --labels cat,dog --model {model} --prompts plain -q -o {n}.csv"
        assert run("classify", *part.split()).code == 0
    for command, arguments in WORK.items():
        journal = next(iter(sorted(Path("sorted").glob("*.jsonl"))), "")
        words = arguments.replace("MODEL", model).replace("JOURNAL", str(journal)).split()
        done = run(command, *words)
        assert (command, done.code) == (command, 0), done.err
    assert tried == []


def test_every_command_that_loads_a_model_can_be_offline() -> None:
    commands = {name: command_of(name) for name in COMMANDS}
    settings = {name: set(described(*one.records)) for name, one in commands.items() if isinstance(one, Command)}
    assert {name for name, names in settings.items() if "offline" in names} == {
        name for name, names in settings.items() if "model" in names
    }


@pytest.mark.parametrize("command", [name for name, words in WORK.items() if "--offline" in words])
def test_a_model_that_is_not_here_is_named_and_not_fetched(
    run: Run, photos: Path, tried: list[str], command: str
) -> None:
    write_known(photos)
    words = WORK[command].replace("MODEL", MISSING).replace("--classifier classes.safetensors", "--labels cat,dog")
    done = run(command, *words.split())
    assert done.code == 1
    line = done.err.splitlines()[-1]
    assert line.startswith(f"clipcli: cannot get {MISSING}: --offline is set and it is not in the local cache (tried ")
    assert "give --model a directory that holds it" in line
    assert tried == []


def test_a_config_file_can_forbid_it(run: Run, photos: Path, tried: list[str]) -> None:
    Path("c.yaml").write_text(f"inputs: [{photos}]\nlabels: [cat, dog]\nmodel: {MISSING}\noffline: yes\n")
    assert "--offline is set" in run("classify", "--config", "c.yaml").err
    assert tried == []


@pytest.mark.parametrize(
    "address", ["https://example.org/photos/", "s3://bucket/photos", "@https://example.org/list.txt"]
)
def test_addresses_are_refused(run: Run, model: str, tried: list[str], address: str) -> None:
    done = run("classify", address, "--labels", "cat,dog", "--model", model, "--offline")
    assert done.code == 2
    assert done.err.endswith("is on another machine, and --offline is set; copy it here, or drop --offline\n")
    assert tried == []
    assert not is_offline()


def test_an_address_in_a_table_costs_its_row(run: Run, photos: Path, model: str, tried: list[str]) -> None:
    Path("t.csv").write_text(f"path\n{photos / 'a.jpg'}\nhttps://example.org/a.jpg\n")
    assert run("classify", "t.csv", "--labels", "cat,dog", "--model", model, "--offline", "-o", "o.csv").code == 3
    assert "https://example.org/a.jpg is on another machine, and --offline is set" in Path("o.csv").read_text()
    assert tried == []


def test_a_program_can_be_offline(photos: Path, model: str, tried: list[str]) -> None:
    with pytest.raises(UsageError, match="is on another machine, and offline=True is set"):
        list(clipcli.classify(["s3://bucket/photos"], labels=["cat", "dog"], model=model, offline=True))
    loaded = clipcli.load(model, offline=True)
    with pytest.raises(UsageError, match="is on another machine"):
        list(loaded.classify(["s3://bucket/photos"], labels=["cat", "dog"]))
    assert len(list(loaded.classify([str(photos / "a.jpg")], labels=["cat", "dog"]))) == 1
    assert tried == []
    assert not is_offline()


def test_runs_side_by_side_are_offline_until_the_last_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    first, second = offline(True), offline(True)
    first.__enter__()
    second.__enter__()
    with offline(False):
        assert constants.HF_HUB_OFFLINE
    first.__exit__(None, None, None)
    assert why_offline() == "--offline"
    second.__exit__(None, None, None)
    assert why_offline() is None
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with offline(True):
        assert why_offline() == "HF_HUB_OFFLINE"
    assert constants.HF_HUB_OFFLINE
