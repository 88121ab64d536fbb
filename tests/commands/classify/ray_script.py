"""Labels images on a local Ray of two workers that are killed; run by `test_on_ray.py` in a process of its own.

Called with a folder for notes and the arguments of clipcli. The worker that decodes an image called `kill` is killed
once, and one that decodes `poison` always.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import ray

from clipcli.cli import main
from clipcli.commands.classify import on_ray
from clipcli.commands.classify.ray_workers import Columns

NOTES = Path(sys.argv[1])


def decode_or_die(columns: Columns, *, wanted: Any, notes: str = str(NOTES)) -> Columns:
    """As `decode`, noting which images it decodes; it kills its process at some."""
    from clipcli.commands.classify.ray_workers import decode

    names = [pickle.loads(item).id for item in columns["item"]]
    with open(f"{notes}/decoded", "a", errors="surrogateescape") as file:
        file.write("".join(f"{name}\n" for name in names))
    killed = f"{notes}/killed"
    if any("poison" in name for name in names) or (
        any("kill" in name for name in names) and not os.path.exists(killed)
    ):
        with open(killed, "a") as file:
            file.write(f"{os.getpid()}\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(columns, wanted=wanted)


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", object_store_memory=100 << 20)
on_ray.decode, on_ray._IMAGES_A_PART, on_ray._IMAGES_A_BLOCK, on_ray._TRIED_AGAIN = decode_or_die, 6, 4, 1
try:
    main(sys.argv[2:])
finally:
    ray.shutdown()
