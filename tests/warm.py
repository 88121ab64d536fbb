"""Commands for shells, each a fork of one process that has imported torch already: three seconds are paid once.

    with warm(folder) as clipcli:       # a program in `folder`, to be put on the PATH of a shell
        subprocess.run([clipcli, "models"])

A fork has the arguments, environment, working folder, standard streams and exit code that a process of its own would
have. What is about imports, signals or how a process ends needs `python -m clipcli`.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Asks for a command. Without site-packages it starts in 15 ms.
CLIENT = """#!{python} -SE
import json, os, socket, sys
arguments = sys.argv[1:]
if "CLIPCLI_CHANGE" in os.environ:
    exec(os.environ["CLIPCLI_CHANGE"])
asked = json.dumps([arguments, dict(os.environ), os.getcwd()]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(asked).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(asked)
    sys.exit(int(server.makefile().read() or 255))
"""
STREAMS = (("stdin", "r", "strict"), ("stdout", "w", "strict"), ("stderr", "w", "backslashreplace"))
LOADED = ("torch", "open_clip", "timm", "pandas", "sklearn.linear_model", "matplotlib.pyplot", "clipcli.cli.train")


@contextmanager
def warm(folder: Path, *, imports: Sequence[str] = LOADED) -> Iterator[Path]:
    """The program `clipcli` in `folder`; Python in the environment's CLIPCLI_CHANGE may change its list `arguments`."""
    # In Linux's name space for sockets that are no files: a test's folder can have too long a name for one.
    address = f"\0clipcli-{secrets.token_hex(8)}"
    client = folder / "clipcli"
    client.write_text(CLIENT.format(python=sys.executable, address=address))
    client.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        command = [sys.executable, __file__, str(listening.fileno()), *imports]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        server = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()])
    try:
        yield client
    finally:
        server.kill()
        server.wait()


def serve(listening: socket.socket, imports: Sequence[str]) -> None:
    """Fork for each command that is asked for."""
    for module in imports:
        importlib.import_module(module)
    # Nobody waits for the children; each waits for its own.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            run(connection)
        connection.close()


def run(connection: socket.socket) -> None:
    """Run the command in a child, and answer with its exit code."""
    length, streams, _, _ = socket.recv_fds(connection, 4, 3)
    asked = connection.makefile("rb").read(int.from_bytes(length, "big"))
    arguments, environment, folder = json.loads(asked)
    pid = os.fork()
    if pid == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        # Streams know what kind of file is theirs, and these are others now.
        for number, (name, mode, errors) in enumerate(STREAMS):
            setattr(sys, name, os.fdopen(number, mode, errors=errors))
        sys.argv[1:] = arguments
        from clipcli.__main__ import program

        program()
    _, status = os.waitpid(pid, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status) % 256).encode())
    os._exit(0)


if __name__ == "__main__":
    # The folders of the tests are no packages of anybody's.
    del sys.path[0]
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
