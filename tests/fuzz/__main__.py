"""Fuzzes the readers for some minutes: `python tests/fuzz MINUTES [TARGET…]`, as `make fuzz` does.

What a reader fails on is written to `tests/fuzz/crashes/`, where every run of the tests tries it again. The same seed
of the random numbers, `CLIPCLI_FUZZ_SEED`, gives the same inputs.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.execute import TooSlow, execute
from fuzz.inputs import FOLDER, SEEDS, edited, random_edits
from fuzz.targets import TARGETS

# Bytes of memory that a reader may take beside what the libraries have.
_MEMORY = 12 << 30
_AT_ONCE = 50


def main() -> int:
    """Fuzz all targets in turn; returns the exit code, 1 if one of them failed."""
    minutes, targets = float(sys.argv[1]), sys.argv[2:] or list(TARGETS)
    random = Random(int(os.environ.get("CLIPCLI_FUZZ_SEED", time.time_ns())))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    count: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    found: dict[str, str] = {}
    end = time.monotonic() + 60 * minutes
    with TemporaryDirectory() as folder:
        os.environ["CLIPCLI_CACHE"] = folder
        while time.monotonic() < end:
            for target in targets:
                for _ in range(_AT_ONCE):
                    taken[target] += _once(target, random, Path(folder), found)
                    count[target] += 1
    for target in targets:
        print(f"{target:12}  {count[target]:9,} executions  {taken[target]:9,} read")
    print(f"{count.total():,} executions, {len(found)} failures")
    print(*found.values(), sep="\n")
    return bool(found)


def _once(target: str, random: Random, folder: Path, found: dict[str, str]) -> bool:
    """One execution; a failure at a place that is new is kept."""
    seed = random.choice(SEEDS[target])
    others = [path.read_bytes() for path in random.choices(SEEDS[target], k=2)]
    data = edited(seed.read_bytes(), random_edits(random, others))
    try:
        return execute(target, data, seed=seed, folder=folder)
    except (Exception, TooSlow) as e:
        place = traceback.extract_tb(e.__traceback__)[-1]
        ours = [one for one in traceback.extract_tb(e.__traceback__) if "/clipcli/" in one.filename]
        key = f"{target} {type(e).__name__} {[(one.name, one.lineno) for one in ours[-1:]]}"
        if key not in found:
            name = f"{target}-{hashlib.sha256(key.encode()).hexdigest()[:8]}{''.join(seed.suffixes)}"
            (FOLDER / "crashes" / name).write_bytes(data)
            found[key] = f"{name}: {type(e).__name__}: {str(e)[:100]} at {place.filename}:{place.lineno}, from {key}"
            print(found[key], file=sys.stderr)
        return False


if __name__ == "__main__":
    sys.exit(main())
