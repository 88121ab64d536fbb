"""Prints every figure of docs/scores.md, and of groups in docs/labels-and-prompts.md; --pictures draws the pictures.

Run: python benchmarks/scores [PART …] [--pictures DIR]. The data are as `beds.py` names them. All take half an hour
on two cores; the photos are encoded once, and then come from clipcli's cache.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

PARTS = ("refine", "unknown", "calibration", "several", "hierarchy")


def main() -> None:
    """Print the figures of the parts, all of them by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--pictures", type=Path, metavar="DIR")
    given = parser.parse_args()
    for part in given.parts or PARTS:
        module = importlib.import_module(part)
        print(f"## {part}\n", flush=True)
        module.main()
        if given.pictures is not None and hasattr(module, "picture"):
            module.picture(given.pictures)


if __name__ == "__main__":
    main()
