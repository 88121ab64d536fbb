"""Chooses the device and the precision that a model runs in, and says why."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from clipcli.backbones.devices import BATCH_SIZES, DEVICES, MOST_WORKERS, PRECISIONS, cores
from clipcli.errors import UsageError, unknown

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Runtime:
    """The device and precision a model runs in, why they were chosen, images per batch, and decode threads.

    `workers` is the number of decode threads at the start, `most_workers` the number that they may grow to.
    """

    device: str
    precision: str
    reason: str
    batch_size: int
    workers: int
    most_workers: int

    @property
    def dtype(self) -> torch.dtype:
        """The torch dtype of the precision."""
        return DTYPES[self.precision]

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

    `stated` is the precision that the model states, which `auto` takes.

    Raises `UnknownName` for an unknown device or precision, and `UsageError` for a device that this machine does not
    have or a number below 1.
    """
    for name, number in (("batch size", batch_size), ("number of workers", workers)):
        if number is not None and number < 1:
            raise UsageError(f"a {name} of {number} is too small; give 1 or more, or leave it out")
    device = _device(device)
    precision, reason = _precision(precision, device, stated or "auto")
    return Runtime(
        device=device,
        precision=precision,
        reason=reason,
        batch_size=batch_size or BATCH_SIZES[device],
        workers=workers or cores(),
        most_workers=workers or MOST_WORKERS,
    )


def _device(requested: str) -> str:
    if requested not in DEVICES:
        raise unknown("device", requested, DEVICES)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if requested == "auto":
        return next(name for name, is_available in available.items() if is_available)
    if not available[requested]:
        choices = ", ".join(name for name, is_available in available.items() if is_available)
        raise UsageError(f"no device {requested} on this machine; choose {choices} or auto")
    return requested


def _precision(requested: str, device: str, stated: str) -> tuple[str, str]:
    if requested not in PRECISIONS:
        raise unknown("precision", requested, PRECISIONS)
    if requested != "auto":
        return requested, "as asked"
    if stated != "auto":
        return stated, "as the model states"
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "the card has it") if native else ("fp16", "the card has no bf16")
    if device == "cpu":
        native = _cpu_has_bf16()
        return ("bf16", "the processor has it") if native else ("fp32", "the processor has no bf16")
    return "fp32", "the safe choice there"


def _cpu_has_bf16() -> bool:
    # Only native bf16 multiplication counts; emulated bf16 is slower than fp32.
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
