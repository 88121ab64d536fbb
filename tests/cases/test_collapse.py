"""Runs whose embeddings all become alike are noticed; healthy ones are not called collapsed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import noisy_pairs, photograph

from clipcli.cli import main
from clipcli.commands.train.collapse import collapse_message, leaves_collapsed, notice_collapse
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.loss import LOSS_FUNCTIONS, ContrastiveLoss, Features, Groups, Targets, chance, positives
from clipcli.commands.train.processes import Processes
from clipcli.commands.train.run import Trained, run
from clipcli.commands.train.run_state import RunState
from clipcli.commands.train.settings import TrainConfig
from clipcli.commands.train.trainer import StepNumbers
from clipcli.errors import ClipcliError
from clipcli.events import Event, StepDone, Warned, result_of

LOSSES = ("clip", "siglip")
HOT: dict[str, Any] = {"lr": 0.3, "warmup": 0, "device": "cpu", "precision": "fp32", "save_every": 1000}


def groups(count: int, *, captions: list[int] | None = None) -> Groups:
    slots = torch.arange(count)
    return Groups(slots, slots, torch.tensor(captions or range(count)), -1 - slots, torch.zeros_like(slots))


def features(images: torch.Tensor, texts: torch.Tensor) -> Features:
    norm = torch.nn.functional.normalize
    return Features(norm(images, dim=-1), norm(texts, dim=-1), torch.tensor(10.0), torch.tensor(-3.0))


def trained(data: Path, output: Path, **settings: Any) -> tuple[Trained, list[Event]]:
    events: list[Event] = []
    config = gather_config({"data": [str(data)], "output": str(output), **settings})
    return result_of(run(config), show=events.append), events


def warnings(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Warned) and "collapsed" in event.message]


@pytest.mark.parametrize("count", [2, 8, 64])
def test_chance_is_the_logarithm_of_the_number_of_answers(count: int) -> None:
    """open_clip#17: with 256 pairs the loss stays at ln(256) = 5.545."""
    targets = Targets(torch.eye(count), torch.eye(count))
    assert float(chance("clip", targets)) == pytest.approx(math.log(count))
    entropy = -count * (math.log(1 / count) / count + (1 - 1 / count) * math.log(1 - 1 / count))
    assert float(chance("siglip", targets)) == pytest.approx(entropy, rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_no_answer_that_is_the_same_for_all_is_better_than_chance(name: str) -> None:
    same = positives(
        groups(6, captions=[0, 0, 1, 2, 3, 3]), groups(6, captions=[0, 0, 1, 2, 3, 3]), duplicates="positive"
    )
    targets = Targets(same, same, torch.arange(6)[:, None] // 3 != torch.arange(6)[None, :] // 3)
    best = float(chance(name, targets))
    for bias in (-8.0, -2.0, -1.0, -0.5, 0.0, 1.0):
        alike = features(torch.ones(6, 4), torch.ones(6, 4))
        alike = Features(alike.images, alike.texts, alike.logit_scale, torch.tensor(bias) - alike.logit_scale)
        assert float(LOSS_FUNCTIONS[name](alike, alike, targets)) >= best - 1e-5


@pytest.mark.parametrize("name", LOSSES)
def test_the_spread_is_that_of_the_tower_whose_embeddings_are_more_alike(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    wide, narrow = torch.randn(8, 16, generator=generator), torch.ones(8, 16) + 1e-3 * torch.randn(8, 16)
    loss = ContrastiveLoss(name, "positive", "all", Processes())
    assert float(loss(features(wide, wide), groups(8)).spread) > 0.5
    assert float(loss(features(wide, narrow), groups(8)).spread) < 1e-4
    assert float(loss(features(narrow, wide), groups(8)).spread) < 1e-4


def test_one_caption_for_a_whole_batch_is_no_sign() -> None:
    """Of a small batch from class folders all captions may be equal, and then so must their embeddings be."""
    wide = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    loss = ContrastiveLoss("clip", "positive", "all", Processes())
    assert float(loss(features(wide, torch.ones(4, 16)), groups(4, captions=[7] * 4)).spread) > 0.3


def numbers(*, spread: float, loss: float = math.log(8)) -> StepNumbers:
    return StepNumbers(loss, 1.0, 10.0, False, chance=math.log(8), spread=spread)


def new_state() -> RunState:
    return RunState(identity={}, roots=(), skipped={})


def test_twenty_steps_alike_are_a_collapse_and_twenty_others_end_it() -> None:
    state = new_state()
    noticed = [notice_collapse(state, step, numbers(spread=1e-5)) for step in range(1, 41)]
    assert [step for step, found in enumerate(noticed, 1) if found] == [20]
    assert (state.collapsed_step, leaves_collapsed(state)) == (20, True)
    assert not notice_collapse(state, 41, numbers(spread=0.1))
    assert state.collapsed_step == 20
    noticed = [notice_collapse(state, step, numbers(spread=0.1)) for step in range(42, 70)]
    assert [step for step, found in enumerate(noticed, 42) if found] == [60]
    assert not leaves_collapsed(state)


@pytest.mark.parametrize(("spread", "loss"), [(0.01, math.log(8)), (1e-5, 1.5), (math.nan, math.nan)])
def test_a_spread_or_a_loss_that_is_not_of_a_collapse_is_none(spread: float, loss: float) -> None:
    state = new_state()
    assert not any(notice_collapse(state, step, numbers(spread=spread, loss=loss)) for step in range(60))


@pytest.mark.parametrize(("best", "leaves"), [(None, True), (3, False), (25, True)])
def test_the_best_model_may_be_of_the_time_before(best: int | None, leaves: bool) -> None:
    state = new_state()
    state.collapsed_step, state.best_step = 30, best
    assert leaves_collapsed(state) is leaves


def test_the_message_says_what_helps_and_nothing_that_would_not() -> None:
    hot = TrainConfig(lr=0.1, warmup=0, steps=100, grad_clip_norm=0.0, batch_size=16)
    said = collapse_message(20, numbers(spread=0), hot)
    assert said.endswith(
        "start anew with a lower --lr (it was 0.1), a longer --warmup (it was 0), --grad-clip-norm 1 or a larger "
        "--batch-size (it was 16)"
    )
    mild = TrainConfig(lr=0.1, warmup=50, steps=100, batch_size=512)
    assert collapse_message(20, numbers(spread=0), mild).endswith("start anew with a lower --lr (it was 0.1)")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("micro_batch", [None, 4])
def test_a_collapsed_run_is_said_once_and_stands_in_its_report(
    models: dict[str, Path], tmp_path: Path, loss: str, micro_batch: int | None
) -> None:
    """open_clip#17: the loss stays at ln(batch), and nothing says that the run has failed."""
    data, output = noisy_pairs(tmp_path / "data", 12), tmp_path / "run"
    settings = {**HOT, "model": str(models["vit"]), "steps": 50, "batch_size": 8, "loss": loss}
    result, events = trained(data, output, micro_batch=micro_batch, **settings)
    [said] = warnings(events)
    assert "a lower --lr (it was 0.3)" in said
    assert result.collapsed
    step = next(n for n, event in enumerate(events) if isinstance(event, Warned) and event.message == said)
    assert sum(isinstance(event, StepDone) for event in events[:step]) < 50
    assert "it had collapsed" in (output / "report.html").read_text()


def test_a_collapsed_run_does_not_say_use_it(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = noisy_pairs(tmp_path / "data", 12)
    given = ["train", str(data), "--model", str(models["vit"]), "--steps", "40", "--batch-size", "8", "--lr", "0.3"]
    given += ["--warmup", "0", "--device", "cpu", "--precision", "fp32", "--output", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(given)
    said = capsys.readouterr().err
    assert "The run has collapsed" in said
    assert "Use it" not in said


def test_a_run_stops_at_a_collapse_where_it_should(models: dict[str, Path], tmp_path: Path) -> None:
    data, output = noisy_pairs(tmp_path / "data", 12), tmp_path / "run"
    settings = {**HOT, "model": str(models["vit"]), "steps": 100, "batch_size": 8, "stop_on_collapse": True}
    with pytest.raises(ClipcliError, match=r"^the run has collapsed: .* start anew with a lower --lr") as raised:
        trained(data, output, **settings)
    assert raised.value.exit_code == 1
    steps = [json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()[1:]]
    assert max(steps) < 50
    assert "it had collapsed" in (output / "report.html").read_text()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_size", [2, 24])
def test_pretraining_from_nothing_is_healthy(tmp_path: Path, loss: str, batch_size: int) -> None:
    """Its loss begins near ln(batch), and stays there for a while."""
    data = photograph(tmp_path / "data", seed=0)
    arch = Path(__file__).parents[2] / "examples" / "small-resnet.json"
    settings = {"arch": str(arch), "loss": loss, "steps": 50, "batch_size": batch_size, "warmup": 40, "device": "cpu"}
    result, events = trained(data, tmp_path / "run", **settings, save_every=1000)
    assert warnings(events) == []
    assert not result.collapsed


def test_fine_tuning_with_the_smallest_batch_is_healthy(models: dict[str, Path], tmp_path: Path) -> None:
    data = photograph(tmp_path / "data", seed=0)
    settings = {"model": str(models["vit"]), "steps": 60, "batch_size": 2, "device": "cpu", "save_every": 1000}
    result, events = trained(data, tmp_path / "run", **settings)
    assert warnings(events) == []
    assert not result.collapsed
