"""How long the faults are tried, and what runs commands with faults: `--rounds 50` tries 50 times as many."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).parent
COUNT, KILL, FAIL_ONCE, FAIL_FROM = range(4)
KILLED = -9
OUTPUT = "rows/out.csv"


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How many times as many faults are tried as in the plain tests."""
    return int(request.config.getoption("--rounds"))


@dataclass(frozen=True)
class Ended:
    """How a command ended, what it said, and how many calls that change files it made, if it lived to count them."""

    code: int
    said: str
    calls: int | None


@dataclass
class Faulty:
    """Runs commands in a folder with a cache of its own; calls on files below the folder are counted."""

    server: subprocess.Popen[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, **fault: Any) -> Ended:
        [ended] = self.together([arguments], **fault)
        return ended

    def together(
        self,
        commands: Sequence[Sequence[object]],
        *,
        at: int = 0,
        action: int = COUNT,
        error: int = 0,
        keep: Path | None = None,
        memory: int = 0,
        group: Path | None = None,
        watched: str = "",
    ) -> list[Ended]:
        """Run several commands at once, each with the fault at its `at`-th call, in a `group` of the system."""
        how = {"at": at, "action": action, "error": error, "memory": memory, "keep": keep and str(keep)}
        how |= {
            "group": group and str(group),
            "folder": str(self.folder),
            "watched": str(self.folder / watched),
            "environment": self.environment,
        }
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps([{**how, "arguments": list(map(str, one))} for one in commands]) + "\n")
        self.server.stdin.flush()
        answers = json.loads(self.server.stdout.readline())
        return [Ended(**answer) for answer in answers]

    def clear(self) -> None:
        """Remove what runs have made."""
        for name in ("cache", "rows"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "rows").mkdir()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """The process that runs commands, with the shim loaded first."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("the shim of the faults needs Linux and a C compiler")
    shim = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, HERE / "shim.c", "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def faulty(server: subprocess.Popen[str], tmp_path: Path) -> Faulty:
    """Runs commands in a folder with 12 photos, one of them bad, and four labels."""
    folder = tmp_path.resolve() / "work"
    (folder / "photos").mkdir(parents=True)
    (folder / "rows").mkdir()
    (folder / "labels.txt").write_text("cat\ndog\nbeach\nmountain\n")
    rng = np.random.default_rng(0)
    for n in range(12):
        pixels = rng.integers(0, 255, (48, 48 + n, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{n:02}.png")
    (folder / "photos" / "05 bad.png").write_bytes(b"no image")
    return Faulty(server, folder, {"CLIPCLI_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hub")})


@pytest.fixture
def classify(model: str) -> list[object]:
    """A command that writes its rows in seven batches."""
    return ["classify", "photos", "--labels", "labels.txt", "--model", model, "--batch-size", 2, "--output", OUTPUT]


def spread(calls: int, number: int, *, seed: str) -> list[int]:
    """So many calls of a run to strike at, at random but spread evenly over the whole run."""
    draw = random.Random(seed)
    return [1 + int((n + draw.random()) * calls / number) for n in range(number)]
