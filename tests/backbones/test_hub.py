"""Downloads from a hub of our own on this machine, and what happens without one.

Each test runs a process of its own: huggingface_hub reads its environment when it is imported.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPOSITORY = "someone/vit"


@dataclass
class Hub:
    """A hub with one repository, and what was asked of it."""

    address: str
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def hub(models: dict[str, Path]) -> Iterator[Hub]:
    """A hub on localhost that holds the tiny ViT."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            found.requests.append(f"{self.command} {self.path}")
            path = models["vit"] / self.path.rsplit("/", 1)[-1]
            if not self.path.startswith(f"/{REPOSITORY}/resolve/main/") or not path.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if REPOSITORY in self.path else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = path.read_bytes()
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Hub(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def clipcli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "clipcli", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_model_is_downloaded_once_and_then_used_without_the_network(
    hub: Hub, photos: Path, labels: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ["classify", str(photos), "--labels", str(labels), "--prompts", "plain", "--output"]
    from_hub = clipcli(*arguments, str(tmp_path / "1.csv"), "--model", f"hf-hub:{REPOSITORY}", HF_ENDPOINT=hub.address)
    assert from_hub.returncode == 0, from_hub.stderr
    assert from_hub.stderr.startswith(f"hf-hub:{REPOSITORY} on ")
    assert sum(request.startswith("GET /someone") for request in hub.requests) == 2
    asked = len(hub.requests)
    for name, environment in (("2.csv", {}), ("3.csv", {"HF_HUB_OFFLINE": "1"})):
        again = clipcli(
            *arguments, str(tmp_path / name), "--model", f"hf-hub:{REPOSITORY}", HF_ENDPOINT=hub.address, **environment
        )
        assert again.returncode == 0, again.stderr
    assert len(hub.requests) == asked
    local = clipcli(*arguments, str(tmp_path / "4.csv"), "--model", str(models["vit"]))
    assert local.returncode == 0, local.stderr
    assert len({(tmp_path / f"{n}.csv").read_text() for n in (1, 2, 3, 4)}) == 1


@pytest.mark.slow
def test_a_download_says_how_far_it_is(hub: Hub) -> None:
    script = (
        "from clipcli.backbones.hub import download\n"
        f"for event in download({REPOSITORY!r}, ('open_clip_model.safetensors',), model='m'):\n"
        "    print(event.name, event.done, event.total)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"HF_ENDPOINT": hub.address},
        capture_output=True,
        text=True,
        timeout=60,
    )
    events = [line.split() for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert {name for name, _, _ in events} == {"open_clip_model.safetensors"}
    assert [int(n) for _, n, _ in events] == sorted(int(n) for _, n, _ in events)
    assert events[-1][1] == events[-1][2]


def test_a_repository_that_the_hub_does_not_have(hub: Hub, photos: Path, labels: Path) -> None:
    arguments = ["classify", str(photos), "--labels", str(labels), "--output", "-"]
    done = clipcli(*arguments, "--model", "hf-hub:no/body", HF_ENDPOINT=hub.address)
    assert done.returncode == 1
    assert "the hub has no such repository" in done.stderr


def test_a_repository_without_a_model(hub: Hub, photos: Path, labels: Path, models: dict[str, Path]) -> None:
    arguments = ["classify", str(photos), "--labels", str(labels), "--output", "-"]
    config = models["vit"] / "open_clip_config.json"
    content = config.read_bytes()
    config.unlink()
    try:
        done = clipcli(*arguments, "--model", f"hf-hub:{REPOSITORY}", HF_ENDPOINT=hub.address)
    finally:
        config.write_bytes(content)
    assert done.returncode == 1
    assert "the repository has no such file (tried someone/vit/open_clip_config.json)" in done.stderr


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ],
)
@pytest.mark.parametrize("model", [[], ["--model", "hf-hub:some/body"]])
def test_without_a_network_the_error_names_the_ways_out(
    photos: Path, labels: Path, model: list[str], environment: dict[str, str], why: str
) -> None:
    done = clipcli("classify", str(photos), "--labels", str(labels), "--output", "-", *model, **environment)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert done.stdout == ""
    assert line.startswith(f"clipcli: cannot get {model[1] if model else 'ViT-B-32-256/datacomp_s34b_b86k'}: {why}")
    for words in ("tried ", "--model a directory", "another model that is here already", "copy the hub cache"):
        assert words in line


def test_a_filled_cache_is_listed() -> None:
    """A published model whose weights lie in the hub's cache is shown."""
    repository = "models--laion--CLIP-ViT-B-32-256x256-DataComp-s34B-b86K"
    folder = Path(os.environ["HF_HOME"]) / "hub" / repository
    snapshot = folder / "snapshots" / ("1" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("1" * 40)
    (snapshot / "open_clip_model.safetensors").write_bytes(b"x" * 1_234_567)
    listed = clipcli("models", "--cached").stdout
    assert "ViT-B-32-256/datacomp_s34b_b86k  151.3 M     256×256  1.2 MB" in listed
    assert len(listed.splitlines()) == 3
