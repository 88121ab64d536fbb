"""Ctrl-C and its like at any moment, readers that have had enough, and a standard error that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clipcli.cli import signals

from .conftest import Run

# Sends itself Ctrl-C when a module of the given name begins to be imported.
AT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv[1:] = ["prompts", "pets"]
from clipcli.__main__ import program
program()
"""


def program(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    words = [sys.executable, "-m", "clipcli", *map(str, arguments)]
    return subprocess.run(words, text=True, timeout=120, **{"stderr": subprocess.PIPE, **options})  # type: ignore[call-overload]


@pytest.mark.parametrize("module", ["typer", "clipcli.settings", "clipcli.cli.prompts", "pydantic", "yaml"])
def test_ctrl_c_while_modules_are_imported_is_one_line(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", AT.format(module=module)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "clipcli: stopped; nothing was written\n")


def test_a_signal_that_was_ignored_stays_so() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signals.expect_stops()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        # The first was swallowed, as Python does it in a callback: the next event ends the command.
        with pytest.raises(KeyboardInterrupt):
            signals.check_stops()
        signals.expect_stops()
        signals.check_stops()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("arguments", [["models"], ["prompts", "imagenet"], ["classify", "--help"], ["--version"]])
def test_a_reader_that_has_had_enough_is_no_error_for_any_command(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = program(*arguments, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = program("prompts", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "clipcli: the system refused: [Errno 28] No space left on device; mend that and start again\n"


@pytest.mark.slow
def test_the_work_goes_on_when_nobody_reads_the_words(photos: Path, labels: Path, model: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    output = tmp_path / "out.csv"
    done = program("classify", photos, "--labels", labels, "--model", model, "--output", output, stderr=write)
    os.close(write)
    assert (done.returncode, len(output.read_text().splitlines())) == (0, 7)


def test_words_do_not_go_to_standard_output_where_standard_error_is_closed() -> None:
    command = f"{sys.executable} -m clipcli prompts nowhere 2>&-"
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")


def test_ctrl_c_in_a_command_says_that_nothing_was_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clipcli.cli.prompts.print_columns", stop)
    done = run("prompts")
    assert (done.code, done.err) == (130, "clipcli: stopped; nothing was written\n")
