"""Chooses the device and the precision that a model runs in, and says why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipcli.backbones.devices import BATCH_SIZES, DEVICES, MOST_WORKERS, NUMBERED, PRECISIONS, cores
from clipcli.errors import UsageError, unknown

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Runtime:
    """The device and precision a model runs in, why they were chosen, images per batch, and decode threads.

    `device` may name a card by its number, as `cuda:1`, and `kind` is the kind of device, as `cuda`.
    `workers` is the number of decode threads at the start, `most_workers` the number that they may grow to.
    """

    device: str
    precision: str
    reason: str
    batch_size: int
    workers: int
    most_workers: int

    @property
    def kind(self) -> str:
        """The kind of device."""
        return self.device.partition(":")[0]

    @property
    def dtype(self) -> torch.dtype:
        """The torch dtype of the precision."""
        import torch

        half = {"bf16": torch.bfloat16, "fp16": torch.float16}
        return half.get(self.precision, torch.float32)

    @property
    def is_reduced(self) -> bool:
        """True where numbers have fewer bytes than float32."""
        return self.precision in ("bf16", "fp16")

    def __str__(self) -> str:
        threads = "thread" if self.workers == 1 else "threads"
        return f"on {self.device} in {self.precision} ({self.reason}), {self.workers} decode {threads}"


def choose_runtime(
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    stated: str | None = None,
) -> Runtime:
    """Resolve the user's settings for this machine: `auto` and `None` become what suits its hardware.

    `stated` is the precision that the model states, which `auto` takes. From here on products of float32 are exact in
    the whole process, unless the precision is `tf32`.

    Raises `UnknownName` for an unknown device or precision, and `UsageError` for a device that this machine does not
    have, a number below 1, and `tf32` without an NVIDIA card.
    """
    for name, number in (("batch size", batch_size), ("number of workers", workers)):
        if number is not None and number < 1:
            raise UsageError(f"a {name} of {number} is too small; give 1 or more, or leave it out")
    import torch

    device = _device(device)
    kind, _, card = device.partition(":")
    if card:
        # Streams and memory of "cuda" are then those of this card.
        torch.cuda.set_device(int(card))
    precision, reason = _precision(precision, kind, stated or "auto")
    if precision == "tf32" and kind != "cuda":
        raise UsageError(f"tf32 is for NVIDIA cards, and not for {kind}; give --precision fp32")
    _allow_tf32(precision == "tf32")
    return Runtime(
        device=device,
        precision=precision,
        reason=reason,
        batch_size=batch_size or BATCH_SIZES[kind],
        workers=workers or cores(),
        most_workers=workers or MOST_WORKERS,
    )


def _device(requested: str) -> str:
    import torch

    kind, _, number = requested.partition(":")
    if requested not in DEVICES and not re.fullmatch(NUMBERED, requested):
        raise unknown("device", requested, DEVICES)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if requested == "auto":
        return next(name for name, is_available in available.items() if is_available)
    if not available[kind]:
        choices = ", ".join(name for name, is_available in available.items() if is_available)
        raise UsageError(f"no device {requested} on this machine; choose {choices} or auto")
    if number and int(number) >= (count := torch.cuda.device_count()):
        cards = ", ".join(f"cuda:{n}" for n in range(count))
        raise UsageError(f"no device {requested} on this machine, which has {cards}; choose one of them or auto")
    return requested


def _precision(requested: str, device: str, stated: str) -> tuple[str, str]:
    if requested not in PRECISIONS:
        raise unknown("precision", requested, PRECISIONS)
    if requested != "auto":
        return requested, "as asked"
    if stated != "auto":
        return stated, "as the model states"
    import torch

    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "the card has it") if native else ("fp16", "the card has no bf16")
    if device == "cpu":
        native = _cpu_has_bf16()
        return ("bf16", "the processor has it") if native else ("fp32", "the processor has no bf16")
    return "fp32", "the safe choice there"


def _allow_tf32(allowed: bool) -> None:
    """Let cards multiply float32 with the 10 bits of TF32 or not; torch lets convolutions do so on its own."""
    import torch

    # Newer versions of torch have other names for these as well; the old ones work in all.
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


def _cpu_has_bf16() -> bool:
    import torch

    # Only native bf16 multiplication counts; emulated bf16 is slower than fp32.
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
