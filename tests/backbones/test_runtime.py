"""Device and precision: what is asked for is what is used, and a choice comes with its reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from clipcli.backbones.devices import PRECISIONS
from clipcli.backbones.runtime import choose_runtime
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.commands.train.run import run
from clipcli.commands.train.settings import TrainConfig
from clipcli.errors import UnknownName, UsageError


def test_auto_on_a_processor_with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert str(choose_runtime(device="cpu", workers=2)) == "on cpu in bf16 (the processor has it), 2 decode threads"


def test_auto_on_a_processor_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    runtime = choose_runtime(device="cpu", workers=1)
    assert str(runtime) == "on cpu in fp32 (the processor has no bf16), 1 decode thread"


def test_auto_takes_what_the_model_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    runtime = choose_runtime(device="cpu", workers=1, stated="fp32")
    assert str(runtime) == "on cpu in fp32 (as the model states), 1 decode thread"
    assert choose_runtime(device="cpu", precision="bf16", stated="fp32").precision == "bf16"


def test_auto_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    runtime = choose_runtime()
    assert (runtime.device, runtime.precision) == ("cuda", "fp16")


def test_what_is_asked_for_is_used() -> None:
    runtime = choose_runtime(device="cpu", precision="fp16", batch_size=7, workers=3)
    assert (runtime.dtype, runtime.batch_size, runtime.workers, runtime.reason) == (torch.float16, 7, 3, "as asked")


def test_as_many_threads_as_there_are_cores_for_us() -> None:
    assert choose_runtime().workers == len(os.sched_getaffinity(0))


@pytest.fixture
def tf32() -> Iterator[Callable[[], set[bool]]]:
    """Tells if torch may multiply float32 in TF32; as it was after the test."""
    flags = [(torch.backends.cudnn, "allow_tf32"), (torch.backends.cuda.matmul, "allow_tf32")]
    before = [getattr(*flag) for flag in flags]
    for module, name in flags:
        setattr(module, name, True)
    yield lambda: {getattr(*flag) for flag in flags}
    for (module, name), value in zip(flags, before, strict=True):
        setattr(module, name, value)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_products_of_float32_are_exact(precision: str, tf32: Callable[[], set[bool]]) -> None:
    assert tf32() == {True}
    choose_runtime(device="cpu", precision=precision)
    assert tf32() == {False}


def test_tf32_has_a_name_of_its_own(tf32: Callable[[], set[bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="tf32 is for NVIDIA cards, and not for cpu; give --precision fp32"):
        choose_runtime(device="cpu", precision="tf32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    choose_runtime(device="cuda", precision="fp32")
    assert tf32() == {False}
    runtime = choose_runtime(device="cuda", precision="tf32")
    assert tf32() == {True}
    assert (runtime.dtype, runtime.is_reduced, runtime.precision) == (torch.float32, False, "tf32")


def test_every_precision_has_a_dtype() -> None:
    bytes_of = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}
    assert set(bytes_of) == set(PRECISIONS) - {"auto"}
    runtime = choose_runtime(device="cpu", precision="fp32")
    assert {name: replace(runtime, precision=name).dtype.itemsize for name in bytes_of} == bytes_of


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"no device cuda on this machine; choose .*cpu"):
        choose_runtime(device="cuda")


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"precision": "int8"}])
def test_names_that_do_not_exist(options: dict[str, str]) -> None:
    with pytest.raises(UnknownName, match="choose one of"):
        choose_runtime(**options)


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine with two cards; the list holds the numbers of those that were chosen."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_a_card_by_its_number(two_cards: list[int]) -> None:
    runtime = choose_runtime(device="cuda:1", workers=1)
    assert str(runtime) == "on cuda:1 in bf16 (the card has it), 1 decode thread"
    assert (runtime.kind, runtime.batch_size, two_cards) == ("cuda", 256, [1])
    assert (choose_runtime(device="cuda").device, two_cards) == ("cuda", [1])


def test_a_card_that_is_not_here(two_cards: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^no device cuda:2 on this machine, which has cuda:0, cuda:1; choose one of"):
        choose_runtime(device="cuda:2")
    assert two_cards == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"^no device cuda:0 on this machine; choose .*cpu"):
        choose_runtime(device="cuda:0")


@pytest.mark.parametrize("device", ["cpu:0", "cuda:", "cuda:one", "cuda:-1", "cuda1", "mps:0"])
def test_numbers_that_no_device_has(device: str) -> None:
    with pytest.raises(UnknownName, match="choose one of"):
        choose_runtime(device=device)
    for settings in (ClassifySettings, TrainConfig):
        with pytest.raises(UnknownName, match=f"unknown --device '{device}'; choose one of"):
            settings("photos", device=device)
        assert settings("photos", device="cuda:12").device == "cuda:12"


@pytest.mark.usefixtures("two_cards")
def test_a_card_by_its_number_is_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="--device cuda:1 is for one process; give --device cuda"):
        list(run(TrainConfig("photos", model="tiny", output="run", device="cuda:1")))
