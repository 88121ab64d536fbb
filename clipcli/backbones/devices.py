"""Tables of devices, precisions and batch sizes, light enough to import for `--help`."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

DEVICES = {
    "auto": "the best there is here",
    "cpu": "the processor",
    "cuda": "an NVIDIA or AMD card",
    "mps": "an Apple card",
}
# A card by its number, from 0.
NUMBERED = r"cuda:\d+"

PRECISIONS = {
    "auto": "what the model states, else bf16 where the hardware has it, fp16 on other cards, fp32 on other processors",
    "fp32": "exact",
    "tf32": "as fp32, but products have 10 bits; faster on recent NVIDIA cards",
    "bf16": "half the memory, and much faster where the hardware has it",
    "fp16": "as bf16, with more digits and less range; for cards",
}

# Images per batch, by device, where `encoding/batch_size.py` does not choose. The largest is a multiple of all others.
BATCH_SIZES = {"cpu": 32, "cuda": 256, "mps": 64}

# The most threads that read and decode. Threads that wait for bytes, from a network for example, are cheap.
MOST_WORKERS = 64


def cores() -> int:
    """The cores that this process may use: only some of the machine's, as in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The name of the processor, or at least of its kind, such as `arm64`."""
    with suppress(OSError):
        named = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if named:
            return named[1].strip()
    return platform.processor() or platform.machine()


def free_memory() -> int | None:
    """The bytes of memory that a process may still take, or `None` where the system does not say.

    In a container that limits its memory it is at most the limit.
    """
    sizes: list[int] = []
    # The second file holds `max` where there is no limit.
    with suppress(OSError):
        free = re.search(r"^MemAvailable:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
        sizes += [int(free[1]) * 1024] if free else []
    with suppress(OSError, ValueError):
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(sizes, default=None)
