"""A memory that does not hold a step or a checkpoint: one line that says what helps, and what was learned is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clipcli.commands.train import checkpoints, trainer
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.run import run as run_of
from clipcli.commands.train.settings import TrainConfig
from clipcli.commands.train.too_large import MemoryTooSmall, smaller_steps
from clipcli.errors import ClipcliError, OutputFailed, why_not_written
from clipcli.events import result_of

pytestmark = pytest.mark.usefixtures("no_charts")
WEIGHTS = "open_clip_model.safetensors"
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def settings(pairs: Path, model: str, output: Path, **more: Any) -> dict[str, Any]:
    """A run of six steps."""
    given: dict[str, Any] = {
        "data": (str(pairs),),
        "model": model,
        "output": str(output),
        "device": "cpu",
        "precision": "fp32",
    }
    return {**given, "steps": 6, "batch_size": 8, "lr": 1e-3, "save_every": 100, "log_every": 1, "workers": 1, **more}


def train(given: dict[str, Any], *, resume: bool = False) -> Any:
    """A run to its end."""
    return result_of(run_of(gather_config(given, resume=resume), resume=resume))


def fail(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, at: int, error: Exception = OUT_OF_MEMORY) -> None:
    """Let the call of this number, from 1, raise the error in the middle of its work."""
    call, calls = getattr(module, name), iter(range(1, 1000))

    def failing(*arguments: Any, **more: Any) -> Any:
        number = next(calls)
        result = call(*arguments, **more)
        if number == at:
            raise error
        return result

    monkeypatch.setattr(module, name, failing)


@pytest.mark.parametrize(
    ("error", "micro_batch"),
    [
        (OUT_OF_MEMORY, None),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), 4),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), None),
    ],
    ids=["card", "processor", "library"],
)
def test_what_was_learned_before_a_step_that_is_too_large_is_saved(
    pairs: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, micro_batch: int | None
) -> None:
    more = {"micro_batch": micro_batch}
    train(settings(pairs, model, tmp_path / "whole", **more))
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        fail(patch, trainer, "backward", at=4, error=error)
        with pytest.raises(MemoryTooSmall) as raised:
            train(settings(pairs, model, run, **more))
    at_once = micro_batch or 8
    assert str(raised.value) == (
        f"the memory does not hold a step with {at_once} pairs at once; step 3 is saved; "
        f"go on with --resume --micro-batch {at_once // 2}"
    )
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000003"]
    train({"output": str(run)}, resume=True)
    whole, resumed = load_file(tmp_path / "whole" / WEIGHTS), load_file(run / WEIGHTS)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step"] == [1, 2, 3, 4, 5, 6]


def test_the_first_step(pairs: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was learned, and --resume begins again."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        fail(patch, trainer, "backward", at=1)
        with pytest.raises(MemoryTooSmall, match=r"8 pairs at once; go on with --resume --micro-batch 4$"):
            train(settings(pairs, model, run))
    assert train({"output": str(run), "micro_batch": 4}, resume=True).step == 6


def test_weights_that_have_half_changed_are_not_saved(
    pairs: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, trainer, "step_optimizer", at=4)
    with pytest.raises(MemoryTooSmall, match="8 pairs at once; go on with --resume"):
        train(settings(pairs, model, tmp_path / "run", save_every=2))
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]


def test_another_error_stays_what_it_is(
    pairs: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, trainer, "backward", at=1, error=RuntimeError("device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        train(settings(pairs, model, tmp_path / "run"))


def test_a_save_that_is_too_large_says_nothing_of_disks(
    pairs: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, checkpoints, "write_model", at=2)
    run = tmp_path / "run"
    with pytest.raises(ClipcliError) as raised:
        train(settings(pairs, model, run, save_every=2))
    assert not isinstance(raised.value, OutputFailed)
    assert str(raised.value) == (
        f"the memory does not hold what checkpoint {run}/checkpoints/step-00000004 needs; "
        f"{run}/checkpoints/step-00000002 is kept; go on with --resume --micro-batch 4"
    )
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000002"]


@pytest.mark.parametrize(
    ("micro_batch", "grad_checkpoint", "advice"),
    [
        (None, False, "--micro-batch 32"),
        (16, False, "--micro-batch 8"),
        (100, False, "--micro-batch 32"),
        (1, False, "--micro-batch 1 --grad-checkpoint"),
        (1, True, "--micro-batch 1"),
    ],
)
def test_what_helps(micro_batch: int | None, grad_checkpoint: bool, advice: str) -> None:
    config = TrainConfig("photos", micro_batch=micro_batch, grad_checkpoint=grad_checkpoint)
    assert smaller_steps(config, pairs=64) == advice


def test_a_checkpoint_that_is_cut_short_is_told_in_words() -> None:
    """As torch says it of a disk that gets full."""
    errors = ("[enforce fail at inline_container.cc:672] . unexpected pos 538048 vs 537936", "No space left on device")
    said = [why_not_written(RuntimeError(error)) for error in errors]
    assert said == ["not all of it was written, as on a full disk", None]
