"""Runs in several processes: they go on from one checkpoint, see the same data, share work, and end together."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import tarfile
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from process_groups import in_group

from clipcli.commands.train import failures, validation
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.processes import Processes, process_group, sum_over_processes
from clipcli.commands.train.run import run as train
from clipcli.commands.train.session import Session
from clipcli.errors import ClipcliError, UsageError
from clipcli.events import result_of
from clipcli.settings import to_yaml

pytestmark = pytest.mark.usefixtures("no_charts")
WEIGHTS = "open_clip_model.safetensors"


def settings(pairs: Path | str, model: str, output: Path, **more: Any) -> dict[str, Any]:
    """A run of six steps."""
    given = {"data": (str(pairs),), "model": model, "output": str(output), "device": "cpu", "precision": "fp32"}
    return {**given, "steps": 6, "batch_size": 4, "lr": 1e-3, "save_every": 2, "log_every": 1, "workers": 1, **more}


def trained(given: dict[str, Any], *, resume: bool = False) -> Any:
    """The end of a run, in this process of the group."""
    return result_of(train(gather_config(given, resume=resume), resume=resume))


def digest(session: Session) -> str:
    """A hash of all weights that learn."""
    weights = session.trainer.trainee.weights()
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


@pytest.fixture
def digests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes of this process's own weights at the end of its runs: only the leading one writes them."""
    found: list[str] = []
    go = Session.go

    def noted(self: Session) -> Any:
        yield from go(self)
        found.append(digest(self))

    monkeypatch.setattr(Session, "go", noted)
    return found


class TestExchange:
    def test_what_is_gathered_and_its_gradients(self) -> None:
        def work(rank: int) -> Any:
            with process_group(device="cpu") as processes:
                own = torch.full((2, 3), rank + 1.0, requires_grad=True)
                rows = processes.gather(own)
                (rows * torch.arange(4.0)[:, None] * (rank + 1)).sum().backward()
                ids = processes.gather(torch.tensor([rank, 7]))
                total = sum_over_processes(own)
                return rows.tolist(), own.grad.tolist(), ids.tolist(), total.tolist()

        one, two = (ended.result for ended in in_group(work))
        assert one[0] == two[0] == [[1.0] * 3] * 2 + [[2.0] * 3] * 2
        assert one[1] == [[0.0] * 3, [3.0] * 3]
        assert two[1] == [[6.0] * 3, [9.0] * 3]
        assert one[2] == two[2] == [0, 7, 1, 7]
        assert one[3] == [[3.0] * 3] * 2

    def test_the_leading_process_sends_tensors_within_what_it_sends(self) -> None:
        sent = {"a": [torch.arange(3), {"b": torch.tensor(0.5)}], 4: "text", "none": None, "empty": torch.empty(0, 2)}

        def work(rank: int) -> Any:
            with process_group(device="cpu") as processes:
                return processes.from_leading(sent if rank == 0 else None), processes.from_leading(None)

        received, nothing = in_group(work)[1].result
        assert nothing is None
        assert received.keys() == sent.keys()
        assert received["a"][0].tolist() == [0, 1, 2]
        assert received["a"][1]["b"].item() == 0.5
        assert (received[4], received["none"], received["empty"].shape) == ("text", None, (0, 2))

    @pytest.mark.parametrize(("count", "whole"), [(10, 1), (100, 32), (5, 8), (0, 4), (64, 32)])
    def test_parts_are_all_of_it_in_order_and_whole(self, count: int, whole: int) -> None:
        parts = [list(range(count))[Processes(rank, 3).own(count, whole=whole)] for rank in range(3)]
        assert [n for part in parts for n in part] == list(range(count))
        assert all(part[0] % whole == 0 for part in parts if part)

    def test_an_error_of_one_is_raised_in_all_and_says_whose_it_is(self) -> None:
        def work(rank: int) -> Any:
            with process_group(device="cpu") as processes, processes.together():
                if rank == 1:
                    raise UsageError("no such folder; check the path")

        for rank, ended in enumerate(in_group(work)):
            assert isinstance(ended.error, UsageError)
            assert str(ended.error).startswith("process 1 on ")
            assert str(ended.error).endswith(": no such folder; check the path")
            assert ended.error.said_by_another == (rank == 1)


class TestEnd:
    """A process that fails says so at once, and the others end soon."""

    def test_the_group_is_taken_apart_at_a_normal_end_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[int] = []
        destroy = dist.destroy_process_group
        monkeypatch.setattr(dist, "destroy_process_group", lambda: (calls.append(1), destroy()))

        def fails(_: int) -> Any:
            try:
                with process_group(device="cpu"):
                    raise ValueError("broken")
            except ValueError:
                return len(calls)

        def ends(_: int) -> Any:
            with process_group(device="cpu"):
                pass
            return len(calls)

        assert [ended.result for ended in in_group(fails)] == [0, 0]
        assert [ended.result for ended in in_group(ends)] == [1, 1]

    def test_a_process_in_a_collective_ends_soon_after_another_failed(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The one that failed is still there, as a process is that waits for cards: no connection breaks."""
        monkeypatch.setattr(failures, "_EVERY", 0.05)
        monkeypatch.setattr(failures, "_GRACE", 0.2)

        def work(rank: int) -> Any:
            try:
                with process_group(device="cpu"):
                    if rank == 1:
                        raise ClipcliError("the card has burnt")
                    dist.monitored_barrier(timeout=timedelta(seconds=60))
            finally:
                if rank == 1:
                    time.sleep(3)

        waiting, failed = in_group(work, timeout=30)
        assert (waiting.code, waiting.result) == (1, None)
        assert waiting.seconds < 3
        assert str(failed.error) == "the card has burnt"
        said = capfd.readouterr().err.strip()
        assert said.startswith("clipcli: stopped, as process 1 on ")
        assert said.endswith(" failed: the card has burnt")

    def test_a_broken_connection_is_told_as_what_the_other_said(self) -> None:
        def work(rank: int) -> Any:
            with process_group(device="cpu") as processes:
                if rank == 1:
                    raise ClipcliError("the disk is full")
                processes.gather_objects(rank)

        waiting, failed = in_group(work)
        assert str(failed.error) == "the disk is full"
        assert isinstance(waiting.error, ClipcliError)
        assert str(waiting.error).startswith("stopped, as process 1 on ")
        assert str(waiting.error).endswith(" failed: the disk is full; go on with --resume")

    def test_a_process_that_is_killed_is_told_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(failures, "_WORD", 0.2)

        def work(rank: int) -> Any:
            with process_group(device="cpu") as processes:
                if rank == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                processes.gather_objects(rank)

        waiting, killed = in_group(work)
        assert killed.code == -signal.SIGKILL
        assert isinstance(waiting.error, ClipcliError)
        assert str(waiting.error) == "stopped, as another process of the run is gone; go on with --resume"

    def test_a_full_disk_of_the_leading_process_ends_all(
        self, pairs: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from clipcli.backbones import open_clip_folder

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(open_clip_folder, "save_file", full)
        for ended in in_group(lambda rank: trained(settings(pairs, model, tmp_path / f"run{rank}"))):
            assert "cannot write checkpoint" in str(ended.error)
            assert "No space left on device" in str(ended.error)


class TestFoldersOfTheirOwn:
    """Two machines without a shared disk: each process has a folder of its own, and only the leading one writes."""

    def test_a_run_goes_on_from_the_checkpoint_of_the_leading_process(
        self, pairs: Path, model: str, tmp_path: Path, digests: list[str]
    ) -> None:
        runs = [tmp_path / f"run{rank}" for rank in range(2)]
        in_group(lambda rank: trained(settings(pairs, model, runs[rank], steps=4)))
        # The other has one of an earlier step, as where it led an earlier run.
        shutil.copytree(runs[0] / "checkpoints" / "step-00000002", runs[1] / "checkpoints" / "step-00000002")
        shutil.copy(runs[0] / "train.yaml", runs[1])
        for rank in range(2):
            config = gather_config({"output": str(runs[rank])}, resume=True)
            (runs[rank] / "train.yaml").write_text(to_yaml(config))
        ended = in_group(lambda rank: (trained({"output": str(runs[rank]), "steps": 6}, resume=True), digests[-1])[1])
        assert [one.error for one in ended] == [None, None]
        assert ended[0].result == ended[1].result
        assert ended[0].result is not None
        lines = [json.loads(line) for line in (runs[0] / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if line["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
        assert not (runs[1] / "metrics.jsonl").exists()

    def test_a_shard_that_one_lacks_is_named(self, model: str, tmp_path: Path, pairs: Path) -> None:
        for rank in range(2):
            for shard in range(3):
                write_shard(tmp_path / f"data{rank}" / f"shard-{shard:03}.tar", pairs, first=4 * shard)
        (tmp_path / "data1" / "shard-001.tar").unlink()
        for rank, ended in enumerate(
            in_group(lambda rank: trained(settings(tmp_path / f"data{rank}", model, tmp_path / f"run{rank}")))
        ):
            assert isinstance(ended.error, UsageError)
            assert "process 1 on " in str(ended.error)
            assert " lacks shard-001.tar of DATA, which process 0 on " in str(ended.error)
            assert ended.error.said_by_another == (rank == 1)
        assert not (tmp_path / "run0" / "metrics.jsonl").exists()

    def test_a_shard_that_is_asked_for_by_its_number_is_named(self, model: str, tmp_path: Path, pairs: Path) -> None:
        for rank in range(2):
            for shard in range(3):
                write_shard(tmp_path / f"data{rank}" / f"shard-{shard:03}.tar", pairs, first=4 * shard)
        (tmp_path / "data1" / "shard-001.tar").unlink()

        def work(rank: int) -> Any:
            return trained(settings(f"{tmp_path}/data{rank}/shard-{{000..002}}.tar", model, tmp_path / f"run{rank}"))

        for ended in in_group(work):
            assert str(ended.error).startswith("process 1 on ")
            assert "data1/shard-001.tar" in str(ended.error)

    def test_a_shard_with_fewer_pairs_is_named(self, model: str, tmp_path: Path, pairs: Path) -> None:
        for rank in range(2):
            write_shard(tmp_path / f"data{rank}" / "shard-000.tar", pairs, first=0, count=8 - rank)
        for ended in in_group(lambda rank: trained(settings(tmp_path / f"data{rank}", model, tmp_path / f"run{rank}"))):
            assert " has 7 pairs of shard-000.tar, and process 0 on " in str(ended.error)

    def test_other_settings_are_named(self, pairs: Path, model: str, tmp_path: Path) -> None:
        def work(rank: int) -> Any:
            return trained(settings(pairs, model, tmp_path / f"run{rank}", lr=1e-3 + rank, val_every=rank + 1))

        for ended in in_group(work):
            assert " has another --lr, --val-every than process 0 on " in str(ended.error)

    def test_another_model_is_named(self, pairs: Path, models: dict[str, Path], tmp_path: Path) -> None:
        names = ["vit", "resnet"]

        def work(rank: int) -> Any:
            return trained(settings(pairs, str(models[names[rank]]), tmp_path / f"run{rank}"))

        for ended in in_group(work):
            assert "--model is another model than on process 0" in str(ended.error)


def write_shard(path: Path, pairs: Path, *, first: int, count: int = 4) -> None:
    """A tar file of some of the pairs."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for n in range(first, first + count):
            for name in (f"{n}.png", f"{n}.txt"):
                tar.add(pairs / name, arcname=name)


def test_a_worker_that_is_killed_and_started_again_goes_on(
    pairs: Path, model: str, tmp_path: Path, digests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torchrun --max-restarts` starts all processes again, with the same command and a count of restarts."""
    whole = in_group(lambda _: (trained(settings(pairs, model, tmp_path / "whole")), digests[-1])[1])

    def killed(rank: int) -> Any:
        account = Session._account

        def until(self: Session, step: Any) -> Any:
            yield from account(self, step)
            if rank == 1 and step.number == 5:
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(Session, "_account", until)
        return trained(settings(pairs, model, tmp_path / "run"))

    first, second = in_group(killed)
    assert second.code == -signal.SIGKILL
    assert first.code in (0, 1)
    assert (tmp_path / "run" / "checkpoints" / "step-00000004").exists()

    def again(rank: int) -> Any:
        # Only the machine of the one that failed counts.
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(rank)
        return trained(settings(pairs, model, tmp_path / "run")), digests[-1]

    ended = in_group(again)
    assert [one.error for one in ended] == [None, None]
    assert [one.result[1] for one in ended] == [one.result for one in whole]


def test_validation_is_shared_and_its_figures_are_those_of_one(
    pairs: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipcli.commands.train import encoded_together

    encoded: list[int] = []
    encode = encoded_together.encode

    def counted(items: Any, **more: Any) -> Any:
        encoded.append(len(items))
        yield from encode(items, **more)

    monkeypatch.setattr(encoded_together, "encode", counted)
    monkeypatch.setattr("clipcli.backbones.runtime.BATCH_SIZES", {"cpu": 4})
    given = settings(pairs, model, tmp_path / "one", steps=1, val=str(pairs), retain=str(pairs))
    trained(given)
    assert encoded == [12] * 4
    encoded.clear()

    def work(_: int) -> Any:
        return trained({**given, "output": str(tmp_path / "two")}).metrics, list(encoded)

    one, two = (ended.result for ended in in_group(work))
    assert one[0] == two[0]
    assert one[1] == [4] * 4
    assert two[1] == [8] * 4
    lines = [json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[1]) for name in ("one", "two")]
    assert lines[0] == pytest.approx(lines[1], abs=1e-6)
    assert lines[0]["kind"] == "validation"
    assert validation.headline(one[0]) is not None


def test_nothing_is_used_that_torch_gives_up(pairs: Path, model: str, tmp_path: Path) -> None:
    def work(rank: int) -> Any:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            trained(settings(pairs, model, tmp_path / f"run{rank}", steps=1))
        return [str(one.message) for one in said if "deprecated" in str(one.message) and "torch" in one.filename]

    assert [one.result for one in in_group(work)] == [[], []]


def test_a_step_copies_no_number_to_a_card(
    pairs: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tensor made of numbers on a device is copied there, and waited for."""
    from clipcli.backbones import backbone

    backbone._per_channel.cache_clear()
    make, made = torch.tensor, []

    def noted(*arguments: Any, **more: Any) -> torch.Tensor:
        if "device" in more:
            made.append(arguments[0])
        return make(*arguments, **more)

    monkeypatch.setattr(torch, "tensor", noted)
    trained(settings(pairs, model, tmp_path / "run", steps=4))
    # The mean and the standard deviation, once for the whole run.
    assert len(made) == 2


def test_captions_that_are_cut_count_in_all_processes(pairs: Path, model: str, tmp_path: Path) -> None:
    data = tmp_path / "long"
    shutil.copytree(pairs, data)
    for text in data.glob("*.txt"):
        text.write_text("word " * 60)
    ended = in_group(lambda rank: trained(settings(data, model, tmp_path / f"run{rank}", steps=3)).cut_captions)
    assert [one.result for one in ended] == [12, 12]
