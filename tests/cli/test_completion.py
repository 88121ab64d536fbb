"""The shell completes commands, flags and their values; --help is told in groups, with examples that run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from small_data import jpeg

from clipcli.cli import COMMANDS, EXAMPLES, command_of
from clipcli.cli.completion import SHELLS
from clipcli.settings import GROUPS

from .conftest import Run


def examples_of(name: str) -> tuple[str, ...]:
    """The examples of a command."""
    command_of(name)
    examples: tuple[str, ...] = sys.modules[COMMANDS[name]].EXAMPLES
    return examples


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("shell", "file", "profile"),
    [
        ("bash", ".bash_completions/clipcli.sh", ".bashrc"),
        ("zsh", ".zfunc/_clipcli", ".zshrc"),
        ("fish", ".config/fish/completions/clipcli.fish", None),
    ],
)
def test_completion_is_installed_for_each_shell(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, shell: str, file: str, profile: str | None
) -> None:
    done = run("--install-completion", shell)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"; see {home / file}\n")
    script = run("--show-completion", shell).out
    assert (home / file).read_text().strip() == script.strip()
    assert "_CLIPCLI_COMPLETE" in script
    assert profile is None or (home / profile).is_file()
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    assert run("--show-completion").out == script == run(f"--show-completion={shell}").out


@pytest.mark.parametrize(
    ("arguments", "login", "said"),
    [
        (["--install-completion", "tcsh"], "/bin/bash", "unknown shell 'tcsh'; choose one of: bash, zsh, fish"),
        (["--show-completion"], "/bin/tcsh", "unknown shell 'tcsh'; choose one of: bash, zsh, fish"),
        (["--show-completion"], "", "the shell cannot be told; name it, as in clipcli --install-completion bash"),
        (["--show-completion", "bash", "zsh"], "/bin/bash", "--show-completion takes one shell: bash, zsh, fish"),
    ],
)
def test_a_shell_that_is_not_known(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], login: str, said: str
) -> None:
    monkeypatch.setenv("SHELL", login)
    done = run(*arguments)
    assert (done.code, done.out, done.err) == (2, "", f"clipcli: {said}\n")
    assert not home.exists()


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["cla"], ["classify"]),
        (["classify", "--max"], ["--max-images", "--max-pixels"]),
        (["classify", "--device", "c"], ["cpu", "cuda"]),
        (["train", "--loss", ""], ["clip", "siglip"]),
    ],
)
def test_what_is_completed(run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], completions: list[str]) -> None:
    monkeypatch.setenv("COMP_WORDS", " ".join(["clipcli", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    monkeypatch.setenv("_CLIPCLI_COMPLETE", "complete_bash")
    assert run("").out.split() == completions


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_ends_with_two_examples(run: Run, name: str) -> None:
    done = run(*name.split(), "-h")
    assert done.code == 0
    assert done.out == run(*name.split(), "--help").out
    shown = done.out.split("\nExamples:\n")[1].splitlines()
    examples = examples_of(name) if name else EXAMPLES
    assert shown == [f"  {example}" for example in examples]
    assert len(shown) == 2


@pytest.mark.parametrize("example", [*EXAMPLES, *(e for name in COMMANDS for e in examples_of(name))])
def test_examples_are_commands_that_are_understood(run: Run, example: str) -> None:
    for path in ("photos-by-class/cat/0.jpg", "photos-by-class/dog/1.jpg"):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_bytes(jpeg())
    for table in ("captions.csv", "held-out.csv"):
        Path(table).write_text("image,caption\nphotos-by-class/cat/0.jpg,a cat\nphotos-by-class/dog/1.jpg,a dog\n")
    program, name, *arguments = shlex.split(example)
    assert program == "clipcli"
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]
    shown = () if name in ("models", "prompts", "cache") else ("--show-config",)
    done = run(name, *arguments, *shown)
    assert done.code == 0, done.err


def test_flags_are_in_groups_with_rare_ones_last(run: Run) -> None:
    said = run("classify", "--help").out
    titles = re.findall(r"^(\S.*):$", said, flags=re.MULTILINE)
    groups = [title for name, title in GROUPS.items() if name != "checks"]
    assert titles == ["Arguments", *groups, "Rarely needed", "Examples"]
    sections = dict(zip(titles, re.split(r"^\S.*:$", said, flags=re.MULTILINE)[1:], strict=True))
    assert "--labels" in sections["What to work on"]
    assert "--score" in sections["How it is done"]
    assert "--top-k" in sections["Output"]
    assert "--device" in sections["Speed and memory"]
    assert "--help" in sections["The command line"]
    assert "--verify" in sections["Rarely needed"]
    assert set(SHELLS) <= set(re.findall(r"\w+", run("--help").out))
