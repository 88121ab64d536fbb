"""What is read of this machine: its processor, and the memory that is free."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from clipcli.backbones import devices

MEMINFO = "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8000000 kB\n"


def system(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """Let the system have these files alone."""

    def read(path: Path, **_: object) -> str:
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)]

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize(
    ("limit", "free"),
    [
        (None, 8_192_000_000),
        ("max\n", 8_192_000_000),
        ("2000000000\n", 2_000_000_000),
        ("16000000000\n", 8_192_000_000),
    ],
)
def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, limit: str | None, free: int) -> None:
    files = {"/proc/meminfo": MEMINFO} | ({} if limit is None else {"/sys/fs/cgroup/memory.max": limit})
    system(monkeypatch, files)
    assert devices.free_memory() == free


def test_a_system_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    system(monkeypatch, {})
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert devices.free_memory() is None
    assert devices.processor() == "arm64"


def test_the_processor_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    system(monkeypatch, {"/proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU @ 2.0 GHz\nflags\t\t: fpu\n"})
    assert devices.processor() == "Some CPU @ 2.0 GHz"
