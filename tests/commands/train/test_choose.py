"""How a model is fine-tuned where nobody says how: what is measured decides, and what was decided is written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from process_groups import in_group
from safetensors.torch import load_file
from small_data import in_memory, photograph

import clipcli
from clipcli.commands.train import choose, distill, range_test
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.data import TrainingData
from clipcli.commands.train.distill import Distillation
from clipcli.commands.train.held_out import hold_out
from clipcli.commands.train.run import run as train
from clipcli.commands.train.run_state import RunState
from clipcli.data.pairs import Pair
from clipcli.errors import UsageError
from clipcli.events import result_of
from clipcli.scoring.adaptation import Accuracy
from clipcli.settings import read_yaml

WEIGHTS = "open_clip_model.safetensors"
HOW = {"device": "cpu", "precision": "fp32", "steps": 4, "val_every": 2, "prompts": "a {}"}


@pytest.fixture
def photos_by_class(tmp_path: Path) -> Path:
    """Folders of a class each, of a colour each."""
    return photograph(tmp_path / "classes", seed=0)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short range test, and few words to hold."""
    monkeypatch.setattr(choose, "STEPS", 4)
    monkeypatch.setattr(range_test, "STEPS", 4)
    monkeypatch.setattr(distill, "vocabulary", lambda: ("tree", "house", "boat"))


def looks(monkeypatch: pytest.MonkeyPatch, *, before: float, after: float) -> None:
    """Let a first look find this."""
    found = Accuracy(before=before, after=after, gain=after - before, low=0.0, high=1.0)
    monkeypatch.setattr(choose, "first_look", lambda *_, **__: found)


def lines(run: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of a kind in the metrics."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def test_where_the_embeddings_hold_it_the_texts_learn(
    models: dict[str, Path], photos_by_class: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, before=0.3, after=0.8)
    run = tmp_path / "run"
    made = clipcli.train(photos_by_class, model=models["vit"], output=run, val=str(photos_by_class), **HOW)
    written = read_yaml(run / "train.yaml")
    assert (written["lock"], written["crop"], written["flip"], written["distill"]) == ("image", 1.0, False, 40.0)
    rates = lines(run, "range_test")
    assert written["lr"] == range_test.rate_from([(line["lr"], line["loss"]) for line in rates])
    assert rates[0]["lr"] == pytest.approx(1e-5)
    assert lines(run, "first_look")[0]["after"] == 0.8
    before, after = load_file(models["vit"] / WEIGHTS), load_file(run / "checkpoints/step-00000004" / WEIGHTS)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any(name.startswith("visual.") for name in changed)
    assert "Range test" in (run / "report.html").read_text()
    assert made.verdict.endswith(".")


def test_where_they_do_not_all_learns_at_the_rate_of_the_field(
    models: dict[str, Path], photos_by_class: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, before=0.30, after=0.34)
    clipcli.train(photos_by_class, model=models["vit"], output=tmp_path / "run", **HOW)
    written = read_yaml(tmp_path / "run/train.yaml")
    assert (written["lr"], written.get("lock"), written["crop"], written["flip"]) == (1e-5, None, 0.9, True)
    after = load_file(tmp_path / "run/checkpoints/step-00000004" / WEIGHTS)
    before = load_file(models["vit"] / WEIGHTS)
    assert not torch.equal(before["visual.conv1.weight"], after["visual.conv1.weight"])


@pytest.mark.parametrize("after", [0.34, 0.80])
def test_texts_are_held_as_told_whatever_the_first_look_finds(
    models: dict[str, Path], photos_by_class: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: float
) -> None:
    looks(monkeypatch, before=0.30, after=after)
    weights: list[float] = []
    monkeypatch.setattr(Distillation, "add_gradient", lambda self, *_, **__: weights.append(self.weight))
    clipcli.train(photos_by_class, model=models["vit"], output=tmp_path / "run", distill=7.0, **HOW)
    assert set(weights) == {7.0}


def test_a_large_model_is_trained_as_the_field_does(
    models: dict[str, Path], photos_by_class: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "_MOST_PARAMETERS", 1000)
    monkeypatch.setattr(choose, "first_look", lambda *_, **__: pytest.fail("nothing is looked at"))
    clipcli.train(photos_by_class, model=models["vit"], output=tmp_path / "run", **HOW)
    assert read_yaml(tmp_path / "run/train.yaml")["lr"] == 1e-5


def test_a_chosen_run_goes_on_as_it_was_chosen(
    models: dict[str, Path], photos_by_class: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, before=0.3, after=0.8)
    run = tmp_path / "run"
    clipcli.train(photos_by_class, model=models["vit"], output=run, **HOW)
    written = (run / "train.yaml").read_text()
    monkeypatch.setattr(choose, "first_look", lambda *_, **__: pytest.fail("it was chosen already"))
    clipcli.train(output=run, resume=True)
    assert (run / "train.yaml").read_text() == written


@pytest.mark.usefixtures("no_charts")
def test_two_processes_choose_and_learn_as_one_does(models: dict[str, Path], tmp_path: Path) -> None:
    """A first look, a range test, stored embeddings and texts that are held, each process with a part of it."""
    data = photograph(tmp_path / "classes", seed=0, images_per_class=8)

    def work(rank: int, name: str) -> None:
        output = str(tmp_path / f"{name}{rank}")
        given = {"data": (str(data),), "model": str(models["vit"]), "output": output, "batch_size": 8, **HOW}
        result_of(train(gather_config(given, resume=False)))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    work(0, "one")
    torch.set_num_threads(threads)
    assert [ended.error for ended in in_group(lambda rank: work(rank, "two"))] == [None, None]
    for kind in ("first_look", "range_test"):
        one, two = (lines(tmp_path / name, kind) for name in ("one0", "two0"))
        assert one
        assert [pytest.approx(line, abs=1e-5) for line in one] == two
    one, two = (read_yaml(tmp_path / name / "train.yaml") for name in ("one0", "two0"))
    assert one["lock"] == "image"
    assert {**one, "output": ""} == {**two, "output": ""}
    before, expected, weights = (
        load_file(folder / WEIGHTS)
        for folder in (models["vit"], *(tmp_path / n / "checkpoints/step-00000004" for n in ("one0", "two0")))
    )
    assert any((expected[name] - before[name]).abs().max() > 1e-4 for name in expected)
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize(
    ("losses", "rate"),
    [
        ([3.0, 2.9, 2.1, 1.0, 4.0], 1e-2),
        ([3.0, 2.0, 1.9, 1.8, 1.7], 1e-4),
        # Nothing falls, or the first step breaks everything.
        ([3.0, 3.1, 3.2, 3.3, 3.4], 1e-5),
        ([float("nan")], 1e-5),
    ],
)
def test_the_rate_is_that_at_which_half_of_the_fall_is_done(losses: list[float], rate: float) -> None:
    rates = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert range_test.rate_from(list(zip(rates, losses, strict=False))) == rate


def pairs_of(label: str | None, count: int) -> tuple[Pair, ...]:
    """So many pairs of a class."""
    return tuple(Pair(in_memory(f"{label}/{n}"), ("a",), label) for n in range(count))


def data_of(*parts: tuple[Pair, ...]) -> TrainingData:
    """These DATA."""
    pairs = tuple(pair for part in parts for pair in part)
    return TrainingData(pairs, tuple(map(len, parts)), (None,) * len(parts), ("",) * len(parts), ())


def test_a_share_of_each_class_is_held_out() -> None:
    data = data_of(pairs_of("a", 400) + pairs_of("b", 700) + pairs_of("c", 7), pairs_of(None, 200))
    rest, held = hold_out(data, 0.1, seed=0)
    assert [sum(pair.label == label for pair in held) for label in ("a", "b", "c", None)] == [40, 70, 0, 20]
    assert rest.sizes == (1107 - 110, 180)
    assert sorted(p.item.id for p in (*rest.pairs, *held)) == sorted(p.item.id for p in data.pairs)
    assert hold_out(data, 0.1, seed=0)[1] == held
    assert hold_out(data, 0.1, seed=1)[1] != held


def test_of_few_pairs_none_are_held_out() -> None:
    data = data_of(pairs_of("a", 40) + pairs_of("b", 700))
    assert hold_out(data, 0.1, seed=0) == (data, ())


def test_holding_out_beside_validation_data_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^hold_out is for runs without val and zero_shot; leave it out$"):
        clipcli.train("data", model=models["vit"], output=tmp_path / "run", val="v", hold_out=0.1)


def test_texts_are_held_by_a_pull_back_to_where_they_were() -> None:
    class Text(torch.nn.Module):
        """A tower whose embedding of a token is a row of its weights."""

        def __init__(self) -> None:
            super().__init__()
            self.rows = torch.nn.Parameter(torch.zeros(3, 2))

        def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.rows[tokens[:, 0]]

    towers: Any = Text()
    held = Distillation(torch.tensor([[0], [1]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), 3.0)
    towers.rows.grad = torch.ones(3, 2)
    held.add_gradient(towers, seed=0, step=0)
    # 3 times the mean over two texts of twice the way from where they were.
    np.testing.assert_allclose(towers.rows.grad.numpy(), [[1 - 3, 1], [1, 1 - 6], [1, 1]])


def test_validations_that_are_no_better_are_counted() -> None:
    state = RunState(identity={}, roots=(), skipped={})
    counted = []
    for step, top1 in enumerate((0.5, 0.4, 0.6, 0.6, 0.5, 0.7)):
        state.step = step
        state.add_validation({"zero_shot_top1": top1})
        counted.append(state.no_better)
    # The start counts for nothing: whether a step is better than it is asked in the end.
    assert counted == [0, 0, 0, 1, 2, 0]


def test_a_run_that_gets_no_better_ends_early(models: dict[str, Path], photos_by_class: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {**HOW, "steps": 50, "val_every": 1, "patience": 2, "lr": 0.0}
    made = clipcli.train(
        photos_by_class, model=models["vit"], output=tmp_path / "run", val=str(photos_by_class), **settings
    )
    assert (made.step, made.steps) == (3, 3)
    assert lines(tmp_path / "run", "end")
    assert "do not use it" in made.verdict
