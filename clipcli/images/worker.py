"""A worker process that decodes images for another: what hangs, fails or dies in it costs one image.

`keep_house` runs in a process of its own, which imports what workers need and forks each of them. Answers are JSON and
bytes, never a pickle: a worker has read files that nobody vouches for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import pickle
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from clipcli.offline import follow
from clipcli.parsed import json_of

LENGTH = struct.Struct("<Q")
FORK, WAIT, KILL = b"f", b"w", b"k"
_LENGTHS = struct.Struct("<QQ")
_MOST_HEAD = 1 << 20
# What a worker may take to end once its socket is closed, and again once it is killed.
_END_SECONDS = 1.0


def send(to: socket.socket, head: bytes, *body: Any) -> None:
    """Send a head and the parts of a body, after their lengths. Raises `OSError`."""
    views = [memoryview(part).cast("B") for part in body]
    left = [memoryview(_LENGTHS.pack(len(head), sum(map(len, views))) + head), *views]
    while left:
        sent = to.sendmsg(left)
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]


def receive(
    stream: socket.socket, *, most: int, remaining: Callable[[], float] | None = None
) -> tuple[memoryview, memoryview]:
    """Receive a head and a body of at most so many bytes, within the seconds that are `remaining`.

    Raises `EOFError` where the other side has ended, `OSError`, which is `TimeoutError` after the seconds, and
    `ValueError` for more bytes.
    """
    head, body = _LENGTHS.unpack(receive_exactly(stream, _LENGTHS.size, remaining))
    if head > _MOST_HEAD or body > most:
        raise ValueError(f"an answer of {head} and {body} bytes")
    both = memoryview(receive_exactly(stream, head + body, remaining))
    return both[:head], both[head:]


def receive_exactly(stream: socket.socket, size: int, remaining: Callable[[], float] | None = None) -> bytearray:
    """So many bytes, within the seconds that are `remaining`.

    Raises `EOFError` where the other side has ended, and `OSError`, which is `TimeoutError` after the seconds.
    """
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        if remaining is not None:
            stream.settimeout(max(remaining(), 1e-3))
        count = stream.recv_into(view[done:])
        if not count:
            raise EOFError
        done += count
    return data


def receive_answer(
    stream: socket.socket, *, most: int, remaining: Callable[[], float]
) -> tuple[dict[str, Any], memoryview]:
    """The head and the body of a worker's answer. Raises as `receive`, and `ValueError` for what is none."""
    start, body = receive(stream, most=most, remaining=remaining)
    head = json_of(bytes(start))
    if not isinstance(head, dict):
        raise ValueError("an answer without a head")
    return head, body


def keep_house(descriptor: int, plugins: Sequence[str]) -> None:
    """Fork workers on demand, until the other side of the socket is closed; then end all of them."""
    import importlib

    from clipcli.images import passes
    from clipcli.images.decode import prepare_pillow

    prepare_pillow()
    passes.prepare()
    from PIL import Image

    Image.init()
    # No torch, unless large images need it: it takes seconds to start, and makes each fork slower.
    for name in ("clipcli.images.wanted", "clipcli.backbones.preprocessing", *plugins):
        importlib.import_module(name)
    # What is there now is shared by all workers, as long as none of them looks through it for garbage.
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=descriptor))
    os._exit(0)


def _serve(control: socket.socket) -> None:
    """Do what is asked: fork a worker, say how one ended, or kill one. At the end all are killed."""
    ended: dict[int, int | None] = {}
    while True:
        asked, descriptors, _, _ = socket.recv_fds(control, LENGTH.size + 1, 1)
        _reap(ended)
        if not asked:
            break
        worker = LENGTH.unpack(asked[1:])[0] if asked[1:] else 0
        answer = 0
        if asked[:1] == FORK:
            answer = os.fork()
            if answer == 0:
                control.close()
                _work(socket.socket(fileno=descriptors[0]))
            ended[answer] = None
            os.close(descriptors[0])
        elif asked[:1] == WAIT and worker in ended:
            last = _status(worker, ended)
            answer = os.WTERMSIG(last) if os.WIFSIGNALED(last) else 0
        elif asked[:1] == KILL and ended.get(worker, 0) is None:
            os.kill(worker, signal.SIGKILL)
        control.sendall(LENGTH.pack(answer))
    for worker, status in ended.items():
        if status is None:
            os.kill(worker, signal.SIGKILL)


def _reap(ended: dict[int, int | None]) -> None:
    """Note how workers ended that have ended by now. The status of one that lives is `None`."""
    for worker in [worker for worker, status in ended.items() if status is None]:
        found, status = os.waitpid(worker, os.WNOHANG)
        if found:
            ended[worker] = status


def _status(worker: int, ended: dict[int, int | None]) -> int:
    """How a worker ended. One that lives on is killed: whoever asks for it must not wait for ever."""
    for _ in range(2):
        until = time.monotonic() + _END_SECONDS
        while (status := ended[worker]) is None and time.monotonic() < until:
            time.sleep(0.005)
            _reap(ended)
        if status is not None:
            del ended[worker]
            return status
        os.kill(worker, signal.SIGKILL)
    return signal.SIGKILL


def _work(stream: socket.socket) -> None:
    """Answer what is asked, one image after another; never returns."""
    try:
        from clipcli.images.wanted import Wanted

        wanted: Wanted = pickle.loads(receive(stream, most=1 << 30)[1])
        look = wanted.look()
        set_limits(wanted.limits.memory)
        send(stream, b"{}")
        while True:
            reference, frame, offline = pickle.loads(receive(stream, most=1 << 62)[1])
            follow(offline)
            answer(stream, look, wanted.limits, reference, frame)
    except BaseException:
        os._exit(1)


def answer(stream: socket.socket, look: Any, limits: Any, reference: Any, frame: Any) -> None:
    """Send what is found in an image, or why nothing is. Without a `frame`, the frames are counted."""
    import numpy as np

    from clipcli.data.reference import read
    from clipcli.images.decode import reason_of
    from clipcli.images.opening import count_frames
    from clipcli.notices import Notice

    notes: list[tuple[dict[str, Any], str]] = []

    def note(notice: Notice, detail: str = "") -> None:
        notes.append((dataclasses.asdict(notice), detail))

    data, head, body = b"", dict[str, Any](), list[Any]()
    try:
        data = read(reference)
        if frame is None:
            head = {"count": count_frames(data, limits=limits)}
        else:
            pixels, digest = look(data, frame, note)
            head = {"shapes": [one.shape for one in pixels], "digest": digest.hex() if digest else None, "notes": notes}
            body = [np.ascontiguousarray(one) for one in pixels]
    except Exception as e:
        kind = "memory" if isinstance(e, MemoryError) else "error"
        head = {kind: reason_of(e, data)[:10_000]}
    send(stream, json.dumps(head).encode(), *body)


def set_limits(memory: int) -> None:
    """Bound what this process may take beyond what it has: so much memory, and no file that it writes.

    If memory of the whole machine gets short, the system ends this process before others.
    """
    import resource

    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    limits = {kind: _data_size() + memory, resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    for limited, most in limits.items():
        with contextlib.suppress(OSError, ValueError):
            hard = resource.getrlimit(limited)[1]
            resource.setrlimit(limited, (most if hard < 0 else min(most, hard), hard))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _data_size() -> int:
    """The bytes that the process has as data now."""
    try:
        with open("/proc/self/status") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
        return int(lines["VmData"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return 0
