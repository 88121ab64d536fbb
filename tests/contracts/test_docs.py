"""README and examples are true: their tables are the code's, their commands run."""

from __future__ import annotations

import itertools
import os
import re
import runpy
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from places import ROOT
from small_data import noisy_pairs, photograph
from warm import warm

from clipcli.backbones import DEFAULT_MODEL, bundled
from clipcli.classes.prompts import load_prompts, prompt_set_names
from clipcli.cli import COMMANDS, main
from clipcli.encoding.engines.kinds import ENGINES
from clipcli.images.kinds import COLORS, DECODES
from clipcli.scoring.kinds import SCORES

MAKE = runpy.run_path(str(ROOT / "docs" / "make.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `--help` prints."""
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("page", MAKE["MADE"])
def test_what_is_made_from_the_code_is_as_the_code_is(page: str) -> None:
    assert MAKE["made"](page) == (ROOT / "docs" / page).read_text(encoding="utf-8"), "run make docs"


def test_the_prompt_sets_are_the_files() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| (.+) \|$", PAGES["labels-and-prompts.md"], flags=re.MULTILINE)
    sets = [load_prompts(name) for name in prompt_set_names()]
    assert rows == [(s.name, str(len(s.templates)), s.about) for s in sets]


def test_the_scores_are_the_table() -> None:
    [table] = PAGES["scores.md"].split("| `--score` | |")[1:]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", table, flags=re.MULTILINE)
    assert dict(rows) == SCORES


@pytest.mark.parametrize(("flag", "table"), [("engine", ENGINES), ("decode", DECODES), ("color", COLORS)])
def test_engines_and_decodes_are_the_tables(flag: str, table: dict[str, str]) -> None:
    [block] = re.findall(rf"\| `--{flag}` \| \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGES["speed.md"])
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", block, flags=re.MULTILINE)) == table


def test_every_command_is_described() -> None:
    rows = re.findall(r"^\| `clipcli ([\w-]+)", README, flags=re.MULTILINE)
    assert rows == list(COMMANDS)


# Flags of torchrun, mypy, pip, uv, split, pytest here and this repository's own scripts.
OTHERS = {"nproc-per-node", "nnodes", "max-restarts", "rdzv-backend", "rdzv-id", "rdzv-endpoint"}
OTHERS |= {"strict", "extra-index-url", "torch-backend", "all", "only", "index", "photos", "rate", "array", "rounds"}


@pytest.mark.parametrize("page", ["README.md", *sorted(PAGES.keys() - MAKE["MADE"].keys())])
def test_every_flag_that_is_named_exists(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    helps = "".join(help_of(command, capsys) for command in ["", *COMMANDS])
    flags = set(re.findall(r"(?<![\w-])--([a-z][\w-]+)", PAGES.get(page, README)))
    assert {flag for flag in flags if f"--{flag}" not in helps} <= OTHERS


@pytest.mark.parametrize("page", ["README.md", *sorted(PAGES)])
def test_every_link_leads_somewhere(page: str) -> None:
    folder = ROOT if page == "README.md" else ROOT / "docs"
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES.get(page, README))
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(README.splitlines()) <= 120
    named = set(re.findall(r"\(docs/([\w-]+\.md)\)", README))
    # These are reached from the pages that they belong to.
    assert PAGES.keys() - named == {"evaluation.md", "tiny.md"}


def test_the_default_model_is_stated(capsys: pytest.CaptureFixture[str]) -> None:
    assert DEFAULT_MODEL in README
    assert DEFAULT_MODEL in help_of("classify", capsys)


def test_the_readme_names_the_two_commands_that_need_no_installation() -> None:
    [block] = [block for block in re.findall(r"```\n(.*?)```", README, flags=re.DOTALL) if "make" in block]
    assert [line.split("  ")[0] for line in block.splitlines()] == ["make demo", "make test"]


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


Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Runs scripts that call clipcli, all with one cache, as somebody does who reads page after page."""
    place = tmp_path_factory.mktemp("shell")

    def run(script: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        environment |= {"PATH": f"{place}:{os.environ['PATH']}", "CLIPCLI_CACHE": str(place / "cache")}
        variables = os.environ | environment
        return subprocess.run(script, cwd=folder, env=variables, capture_output=True, text=True, timeout=600)

    with warm(place):
        yield run


@pytest.mark.slow
def test_the_walk_through_the_examples_runs(walk: Path, shell: Shell) -> None:
    done = shell(["bash", "walk.sh"], walk)
    assert done.returncode == 0, done.stderr
    written = ["predictions.csv", "best-two.jsonl", "mine.csv", "snapshot.csv", "by-classifier.csv", "globbed.csv"]
    assert all((walk / name).read_text().strip() for name in written)
    assert "path,label,score,error\nphotos/b.png," in done.stdout
    assert "a photo of a {}, a type of pet." in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", *sorted(page for page, text in PAGES.items() if "```sh" in text)])
def test_the_commands_of_a_page_run(page: str, tmp_path: Path, shell: Shell) -> None:
    """All blocks of commands, one after the other, on a few images; `tiny` stands for the default model."""
    commands = re.findall(r"```sh\n(.*?)```", PAGES.get(page, README), flags=re.DOTALL)
    pytest.importorskip("skimage", reason="the photos are scikit-image's: pip install 'scikit-image>=0.22'")
    pytest.importorskip("sklearn", reason="two of the photos are scikit-learn's: pip install scikit-learn")
    runpy.run_path(str(ROOT / "examples" / "demo_photos.py"))["main"](tmp_path / "photos")
    shutil.copy(ROOT / "examples" / "demo-labels.txt", tmp_path / "labels.txt")
    decisions = [f"photos/{name}.png,{label},2026-01-01T12:00:00+00:00" for name, label in CORRECTIONS.items()]
    (tmp_path / "corrections.csv").write_text("\n".join(["path,label,reviewed_at", *decisions, ""]))
    put_data(tmp_path)
    done = shell(["bash", "-euo", "pipefail", "-c", "".join(commands)], tmp_path, CLIPCLI_CHANGE=CHANGE)
    assert done.returncode == 0, done.stderr


# What a person says of the photos on the way through a page.
CORRECTIONS = {"chelsea": "cat", "dahlia": "flower", "espresso": "cup of coffee", "china": "palace", "page": ""}


def put_data(folder: Path) -> None:
    """What the pages about evaluation and training name: folders per class, zip files, and a model."""
    (folder / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "small-resnet.json", folder / "examples")
    shutil.copytree(bundled.folder("tiny"), folder / "RUN")
    for n, name in enumerate(("tree", "sketches", "val", "train")):
        photograph(folder / name, seed=n, images_per_class=6)
    pairs = noisy_pairs(folder / "pairs", 12)
    contents = {"tiny-imagenet": ("train", "val"), "clothing": ("train", "validation"), "flickr8k": ("train", "dev")}
    contents["caltech101"] = ("val",)
    for name, parts in contents.items():
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            tree = pairs if name == "flickr8k" else folder / "train"
            for part, file in itertools.product(parts, sorted(path for path in tree.rglob("*.*"))):
                archive.write(file, f"{part}/{file.relative_to(tree)}")


# The bundled model where the default would be downloaded, and two steps of training.
CHANGE = """
NEED_A_MODEL = ("classify", "build-classifier", "calibrate", "evaluate", "adapt", "find", "embed")
command, *flags = arguments
if command == "train":
    long = [n for n, flag in enumerate(flags) if flag in ("--epochs", "--steps")]
    flags = [flag for n, flag in enumerate(flags) if n not in long and n - 1 not in long]
    flags += ["--steps", "2", "--batch-size", "8"]
elif command in NEED_A_MODEL and not {"--classifier", "--model"} & set(flags):
    flags += ["--model", "tiny"]
arguments = [command, *flags]
"""
