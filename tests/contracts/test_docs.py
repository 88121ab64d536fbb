"""README and examples are true: their tables are the code's, their commands run."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from clipcli.backbones import DEFAULT_MODEL
from clipcli.classes.prompts import load_prompts, prompt_set_names
from clipcli.cli import COMMANDS, main
from clipcli.encoding.engines.kinds import ENGINES
from clipcli.images.kinds import COLORS, DECODES
from clipcli.scoring.kinds import SCORES

MAKE = runpy.run_path(str(ROOT / "docs" / "make.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `--help` prints."""
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("page", MAKE["MADE"])
def test_what_is_made_from_the_code_is_as_the_code_is(page: str) -> None:
    assert MAKE["made"](page) == (ROOT / "docs" / page).read_text(encoding="utf-8"), "run make docs"


def test_the_prompt_sets_are_the_files() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| (.+) \|$", README, flags=re.MULTILINE)
    sets = [load_prompts(name) for name in prompt_set_names()]
    assert rows == [(s.name, str(len(s.templates)), s.about) for s in sets]


def test_the_scores_are_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", README.split("| `--score` | |")[1].split("##")[0], flags=re.MULTILINE)
    assert dict(rows) == SCORES


@pytest.mark.parametrize(("flag", "table"), [("engine", ENGINES), ("decode", DECODES), ("color", COLORS)])
def test_engines_and_decodes_are_the_tables(flag: str, table: dict[str, str]) -> None:
    [block] = re.findall(rf"\| `--{flag}` \| \|\n\|---\|---\|\n((?:\|.*\n)+)", README)
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", block, flags=re.MULTILINE)) == table


def test_every_command_is_described() -> None:
    rows = re.findall(r"^\| `clipcli ([\w-]+)", README, flags=re.MULTILINE)
    assert rows == list(COMMANDS)


def test_every_flag_in_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    helps = "".join(help_of(command, capsys) for command in ["", *COMMANDS])
    flags = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", README)) - {
        "--nproc-per-node",
        "--strict",
    }  # of torchrun and mypy
    assert {flag for flag in flags if flag not in helps} == set()


def test_the_default_model_is_stated(capsys: pytest.CaptureFixture[str]) -> None:
    assert DEFAULT_MODEL in README
    assert DEFAULT_MODEL in help_of("classify", capsys)


def test_the_readme_opens_with_the_two_commands() -> None:
    [first, *_] = re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)
    assert [line.split("  ")[0] for line in first.splitlines()] == ["make demo", "make test"]


@pytest.fixture
def walk(tmp_path: Path, photos: Path) -> Path:
    """A folder with the examples and photos, as the walk expects it."""
    for example in (ROOT / "examples").iterdir():
        if example.is_file():
            shutil.copy(example, tmp_path)
    shutil.copy(photos / "b.png", photos / "cat.png")
    for label in ("cat", "dog"):
        shutil.copytree(photos, tmp_path / "tree" / label)
    return tmp_path


@pytest.mark.slow
def test_the_walk_through_the_examples_runs(walk: Path) -> None:
    command = walk / "bin" / "clipcli"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m clipcli "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "walk.sh"], cwd=walk, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    written = ["predictions.csv", "best-two.jsonl", "mine.csv", "snapshot.csv", "by-classifier.csv", "globbed.csv"]
    assert all((walk / name).read_text().strip() for name in written)
    assert "path,label,score,error\nphotos/b.png," in done.stdout
    assert "a photo of a {}, a type of pet." in done.stdout


@pytest.mark.slow
def test_the_python_in_the_readme_runs(walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    monkeypatch.chdir(walk)
    scope: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), scope)
    assert len(scope["table"]) == 7  # type: ignore[arg-type]
    assert (walk / "classes.safetensors").exists()
