"""A process that runs commands of clipcli in children, with the calls that change files counted by `shim.c`.

Started as a script with the shim loaded first. It reads a line of JSON for each command, and answers with one: how the
child ended, how many calls it made, and what it said. torch, and what children import, is loaded once, in the parent,
which computes nothing.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import sys
import tempfile
import traceback
from contextlib import suppress
from typing import Any

_LOADED = ("torch", "open_clip", "clipcli.cli", "clipcli.cli.classify", "clipcli.cli.train")


def child(command: dict[str, Any], said: int) -> None:
    """Run one command; the number of its calls goes to the pipe that the parent reads."""
    import torch

    from clipcli.cli import main

    torch.set_num_threads(1)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    os.environ.update(command["environment"])
    os.chdir(command["folder"])
    if command["group"]:
        with open(f"{command['group']}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    if command["memory"]:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + command["memory"],) * 2)
    shim = ctypes.CDLL(None)
    keep = command["keep"]
    shim.faults_arm(
        os.fsencode(command["watched"]),
        ctypes.c_long(command["at"]),
        command["action"],
        command["error"],
        os.fsencode(keep) if keep else None,
    )
    code = 1
    try:
        main(command["arguments"])
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    report = {"calls": shim.faults_count(), "modules": sorted(sys.modules)}
    os.write(said, f"\n{json.dumps(report)}".encode())
    os._exit(code)


def _load(modules: list[str]) -> None:
    """Import what a child imported, so that the next ones need not."""
    for module in modules:
        if module not in sys.modules:
            with suppress(ImportError):
                importlib.import_module(module)


def _address_space() -> int:
    """The bytes of memory that this process has mapped."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def serve() -> None:
    """Run each command that comes, and say how it ended: its exit code, or less than 0 for a signal."""
    for module in _LOADED:
        importlib.import_module(module)
    running: dict[int, Any] = {}
    for line in sys.stdin:
        commands = json.loads(line)
        for command in commands:
            # What a child says goes to a file, which takes any length.
            said = tempfile.TemporaryFile()  # noqa: SIM115
            pid = os.fork()
            if pid == 0:
                child(command, said.fileno())
            running[pid] = said
        answers = []
        for pid, said in list(running.items()):
            _, status = os.waitpid(pid, 0)
            said.seek(0)
            text, calls = said.read().decode("utf-8", "replace"), None
            said.close()
            if os.WIFEXITED(status):
                text, _, report = text.rpartition("\n")
                calls = json.loads(report)["calls"]
                _load(json.loads(report)["modules"])
            answers.append({"code": os.waitstatus_to_exitcode(status), "said": text, "calls": calls})
        running.clear()
        sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
