"""Flags are the settings: the same names as ever, over a file, and shown as a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from clipcli.cli import command_of
from clipcli.cli.flags import Command
from clipcli.settings import described

from .conftest import Run

FLAGS = {
    "classify": "spreadsheet-safe no-spreadsheet-safe offline no-offline "
    "labels classifier prompts model output format top-k score device precision batch-size workers decode "
    "engine cache no-cache cache-size verify no-verify resume no-resume overwrite no-overwrite "
    "keep-columns image-column manifest no-manifest report report-images exclude keep-names no-keep-names "
    "keep-duplicates no-keep-duplicates max-images sample color taxonomy back-off refine no-refine unknown no-unknown "
    "unknown-label unknown-at multi-label no-multi-label multi-label-at wide no-wide update no-update corrections "
    "keep-missing no-keep-missing watch no-watch embeddings shard cluster"
    " max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory "
    "frames also null no-null frame-rows no-frame-rows",
    "merge": "output format overwrite no-overwrite",
    "build-classifier": "offline no-offline "
    "labels prompts model output device precision cache no-cache overwrite no-overwrite "
    "keep-names no-keep-names keep-duplicates no-keep-duplicates taxonomy refine-on vocabulary no-vocabulary"
    " max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory",
    "calibrate": "offline no-offline "
    "labels classifier prompts model output image-column label-column device precision batch-size workers "
    "decode engine cache no-cache cache-size verify no-verify overwrite no-overwrite exclude keep-names no-keep-names "
    "keep-duplicates no-keep-duplicates color taxonomy multi-label no-multi-label unknown-folder"
    " max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory "
    "frames",
    "find": "offline no-offline "
    "like not duplicates top min-score json null html overwrite no-overwrite model image-column exclude device "
    "precision batch-size workers decode color engine cache no-cache cache-size verify no-verify"
    " max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory "
    "frames",
    "embed": "offline no-offline "
    "texts output format overwrite no-overwrite model image-column exclude device precision batch-size "
    "workers decode color engine cache no-cache cache-size verify no-verify"
    " max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory "
    "frames also null no-null",
    "adapt": "offline no-offline "
    "corrections images labels classifier prompts model output device precision batch-size workers decode "
    "engine cache no-cache cache-size verify no-verify overwrite no-overwrite keep-names no-keep-names keep-duplicates "
    "no-keep-duplicates color taxonomy"
    " max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory "
    "frames",
    "evaluate": "spreadsheet-safe no-spreadsheet-safe offline no-offline "
    "data labels classifier prompts model output compare linear-probe shots seeds image-column "
    "label-column caption-column allow-empty no-allow-empty device precision batch-size workers decode engine "
    "cache no-cache cache-size verify no-verify overwrite no-overwrite exclude keep-names no-keep-names "
    "keep-duplicates no-keep-duplicates color taxonomy back-off refine no-refine unknown-folder multi-label "
    "no-multi-label multi-label-at"
    " max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory "
    "frames",
    "convert": "offline no-offline to output overwrite no-overwrite",
    "review": "corrections max-images random output html browser no-browser "
    "max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory",
    "sort": "into apply by folders min-score top-k list",
    "tag": "min-score top-k apply untag embed sidecars under list",
    "undo": "",
    "train": "offline no-offline "
    "output model arch image-size prompts labels image-column caption-column max-skipped epochs steps "
    "batch-size micro-batch seed loss duplicates negatives lr image-lr text-lr warmup weight-decay beta2 "
    "grad-clip-norm crop flip no-flip augment cutmix lock unlock-groups lora average freeze-batch-norm "
    "no-freeze-batch-norm val zero-shot retain val-every wise-ft retain-drop device precision workers "
    "grad-checkpoint no-grad-checkpoint compile no-compile save-every keep-every log-every tensorboard "
    "no-tensorboard resume no-resume exclude keep-names no-keep-names keep-duplicates no-keep-duplicates "
    "stop-on-collapse no-stop-on-collapse distill hold-out patience augment-views "
    "max-pixels truncated isolate no-isolate untrusted no-untrusted decode-timeout decode-memory",
}


@pytest.mark.parametrize("name", FLAGS)
def test_the_flags_of_a_command(run: Run, name: str) -> None:
    done = run(name, "--help")
    assert done.code == 0
    options = re.findall(r"^  (-\S.*?)(?:  |$)", done.out, flags=re.MULTILINE)
    shown = {flag for option in options for flag in re.findall(r"--?[a-z][\w-]*", option)}
    common = {"--config", "--show-config", "--quiet", "-q", "--verbose", "-v", "--help", "-h"}
    short = {"-o"} if "output" in FLAGS[name].split() else set()
    assert shown == {f"--{flag}" for flag in FLAGS[name].split()} | common | short


@pytest.mark.parametrize("name", FLAGS)
def test_help_says_what_the_record_says(run: Run, name: str) -> None:
    command = command_of(name)
    assert isinstance(command, Command)
    # Lines break at hyphens too.
    said = "".join(run(name, "--help").out.split())
    for one in described(*command.records).values():
        assert "".join(one.help.split()) in said


def test_a_file_gives_what_flags_do_not(run: Run, photos: Path, labels: Path, model: str) -> None:
    Path("mine.yaml").write_text(
        f"inputs: [{photos}]\nlabels: {labels}\nmodel: {model}\ntop-k: 2\noutput: mine.csv\ncache: no\nworkers: 2\n"
    )
    assert run("classify", "--config", "mine.yaml", "--quiet").code == 0
    header, *rows = Path("mine.csv").read_text().splitlines()
    assert header == "path,label,score,label_2,score_2,error"
    assert len(rows) == 6
    done = run("classify", photos / "a.jpg", "--config", "mine.yaml", "--top-k", 1, "-o", "other.csv", "-q", "--cache")
    assert done.code == 0
    assert [len(line.split(",")) for line in Path("other.csv").read_text().splitlines()] == [4, 4]
    assert "no" not in run("cache").out.split("at")[0] or "entries" in run("cache").out


def test_what_is_shown_is_a_file(run: Run, photos: Path, labels: Path, model: str) -> None:
    given = (photos, "--labels", labels, "--model", model, "--top-k", 2, "--no-cache", "--workers", 2)
    shown = run("classify", *given, "--show-config")
    assert (shown.code, shown.err) == (0, "")
    assert not Path("predictions.csv").exists()
    settings = yaml.safe_load(shown.out)
    assert (settings["inputs"], settings["top_k"], settings["cache"]) == ([str(photos)], 2, False)
    Path("shown.yaml").write_text(shown.out)
    assert run("classify", "--config", "shown.yaml", "--show-config").out == shown.out
    assert run("classify", *given, "--output", "flags.csv").code == 0
    assert run("classify", "--config", "shown.yaml", "--output", "file.csv").code == 0
    assert Path("file.csv").read_text() == Path("flags.csv").read_text()


def test_every_command_takes_a_file_and_shows_its_settings(run: Run, labels: Path) -> None:
    Path("build.yaml").write_text(f"labels: {labels}\noutput: c.safetensors\nmodel: tiny\n")
    shown = yaml.safe_load(run("build-classifier", "--config", "build.yaml", "--prompts", "plain", "--show-config").out)
    assert shown == {
        "labels": str(labels),
        "prompts": "plain",
        "model": "tiny",
        "output": "c.safetensors",
        "overwrite": False,
        "device": "auto",
        "precision": "auto",
        "cache": True,
        "keep_names": False,
        "keep_duplicates": False,
        "refine_on": [],
        "vocabulary": False,
        "truncated": "error",
        "isolate": False,
        "untrusted": False,
        "offline": False,
    }
    Path("evaluate.yaml").write_text("data: {photos: a, sketches: b}\nprompts: plain,name\nshots: [1, full]\n")
    shown = yaml.safe_load(run("evaluate", "--config", "evaluate.yaml", "--engine", "torch", "--show-config").out)
    assert shown.items() >= {"data": {"photos": "a", "sketches": "b"}, "engine": "torch", "decode": "exact"}.items()
    assert (shown["prompts"], shown["shots"]) == (["plain", "name"], [1, "full"])
    shown = yaml.safe_load(run("evaluate", "c", "--data", "x=d", "--config", "evaluate.yaml", "--show-config").out)
    assert shown["data"] == {"c": "c", "x": "d"}
    Path("train.yaml").write_text("model: tiny\nlr: 1e-3\n")
    shown = yaml.safe_load(run("train", "--config", "train.yaml", "--steps", 3, "--show-config").out)
    assert shown.items() >= {"model": "tiny", "lr": 0.001, "steps": 3}.items()
    assert "resume" not in shown


@pytest.mark.parametrize(
    ("command", "content", "message"),
    [
        (
            "classify",
            "label: x",
            "unknown setting 'label'; did you mean labels or multi_label? (clipcli classify --help lists them)",
        ),
        ("classify", "quiet: true", "unknown setting 'quiet'; "),
        ("classify", "inputs: x\ntop_k: many", "--top-k many is not a whole number; see clipcli classify --help"),
        ("classify", "labels: l.txt", "missing argument 'INPUT'; see clipcli classify --help"),
        ("classify", "- x", "a.yaml: no settings in it; write one a line"),
        (
            "build-classifier",
            "labels: 3",
            "--labels 3 is not a labels file, a list of labels, or labels mapped to their aliases; see",
        ),
        ("build-classifier", "model: tiny", "no labels were given; give --labels FILE"),
        ("evaluate", "model: tiny", "no DATA was given; give a folder per class"),
        ("evaluate", "data: x\nseeds: 0", "--seeds 0 does not fit; give 1 or more"),
        ("evaluate", "data: x\nepochs: 3", "unknown setting 'epochs'; "),
    ],
)
def test_mistakes_in_a_file_are_one_line(run: Run, command: str, content: str, message: str) -> None:
    Path("a.yaml").write_text(content)
    done = run(command, "--config", "a.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"clipcli: {message}")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", FLAGS)
def test_a_file_that_is_not_there_is_named(run: Run, command: str) -> None:
    done = run(command, "--config", "no.yaml")
    assert done.code == 2
    assert done.err == ("clipcli: cannot read no.yaml: No such file or directory; check the path after --config\n")
