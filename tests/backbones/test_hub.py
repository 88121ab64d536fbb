"""Downloads from a hub of our own on this machine, and what happens without one.

Each test runs a process of its own: huggingface_hub reads its environment when it is imported.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from warm import warm

from clipcli.backbones import tags
from clipcli.backbones.hub_names import repository_of

REPOSITORY = "someone/vit"


@dataclass
class Hub:
    """A hub with some repositories, by name with the folder of each, and what was asked of it."""

    address: str
    repositories: dict[str, Path]
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
            repository, _, name = self.path[1:].partition("/resolve/main/")
            folder = found.repositories.get(repository)
            path = (folder or Path("nowhere")) / name
            if not path.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if folder else "RepoNotFound")
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
    found = Hub(f"http://127.0.0.1:{server.server_port}", {REPOSITORY: models["vit"]})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def clipcli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command in a process of its own, which has torch already and nothing that knows of the hub."""
    with warm(tmp_path_factory.mktemp("program"), imports=("torch", "torchvision")) as program:

        def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
            variables = os.environ | environment
            return subprocess.run([program, *arguments], env=variables, capture_output=True, text=True, timeout=120)

        yield run


@pytest.mark.slow
def test_a_model_is_downloaded_once_and_then_used_without_the_network(
    hub: Hub, photos: Path, labels: Path, models: dict[str, Path], tmp_path: Path, clipcli: Command
) -> None:
    arguments = ["classify", str(photos), "--labels", str(labels), "--prompts", "plain", "--output"]
    from_hub = clipcli(*arguments, str(tmp_path / "1.csv"), "--model", f"hf-hub:{REPOSITORY}", HF_ENDPOINT=hub.address)
    assert from_hub.returncode == 0, from_hub.stderr
    assert f"\nhf-hub:{REPOSITORY} on " in from_hub.stderr
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


def test_a_repository_that_the_hub_does_not_have(hub: Hub, photos: Path, labels: Path, clipcli: Command) -> None:
    arguments = ["classify", str(photos), "--labels", str(labels), "--output", "-"]
    done = clipcli(*arguments, "--model", "hf-hub:no/body", HF_ENDPOINT=hub.address)
    assert done.returncode == 1
    assert "the hub has no such repository" in done.stderr


def test_a_repository_without_a_model(
    hub: Hub, photos: Path, labels: Path, models: dict[str, Path], clipcli: Command
) -> None:
    arguments = ["classify", str(photos), "--labels", str(labels), "--output", "-"]
    config = models["vit"] / "open_clip_config.json"
    content = config.read_bytes()
    config.unlink()
    try:
        done = clipcli(*arguments, "--model", f"hf-hub:{REPOSITORY}", HF_ENDPOINT=hub.address)
    finally:
        config.write_bytes(content)
    assert done.returncode == 1
    assert "the repository has no such file (tried someone/vit/open_clip_config.json or config.json)" in done.stderr


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ],
)
@pytest.mark.parametrize("model", [[], ["--model", "hf-hub:some/body"]])
def test_without_a_network_the_error_names_the_ways_out(
    photos: Path, labels: Path, model: list[str], environment: dict[str, str], why: str, clipcli: Command
) -> None:
    done = clipcli("classify", str(photos), "--labels", str(labels), "--output", "-", *model, **environment)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert done.stdout == ""
    assert line.startswith(f"clipcli: cannot get {model[1] if model else 'ViT-B-32-256/datacomp_s34b_b86k'}: {why}")
    for words in (
        "tried ",
        "--model a directory",
        "another model that is here already: tiny, or",
        "copy the hub cache",
    ):
        assert words in line


def test_a_filled_cache_is_listed(clipcli: Command) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [REPOSITORY, f"https://huggingface.co/{REPOSITORY}"])
def test_a_name_of_the_hub_needs_no_prefix(
    hub: Hub, photos: Path, labels: Path, tmp_path: Path, name: str, clipcli: Command
) -> None:
    arguments = ["classify", str(photos), "--labels", str(labels), "--prompts", "plain", "--model"]
    plain = clipcli(*arguments, name, "--output", str(tmp_path / "1.csv"), HF_ENDPOINT=hub.address)
    assert (plain.returncode, f"\nhf-hub:{REPOSITORY} on " in plain.stderr) == (0, True), plain.stderr
    whole = clipcli(*arguments, f"hf-hub:{REPOSITORY}", "--output", str(tmp_path / "2.csv"), HF_HUB_OFFLINE="1")
    assert whole.returncode == 0, whole.stderr
    assert (tmp_path / "1.csv").read_text() == (tmp_path / "2.csv").read_text()
    other = clipcli(*arguments, "no/body", HF_ENDPOINT=hub.address)
    assert other.returncode == 1
    assert other.stderr.startswith(
        "clipcli: no folder and no architecture is called no/body, and from the hub: cannot get hf-hub:no/body: the hub"
        " has no such repository, or it is private"
    )
    assert f"another model that is here already: tiny, hf-hub:{REPOSITORY}, or copy" in other.stderr
    assert f"hf-hub:{REPOSITORY} " in clipcli("models", "--cached").stdout
    assert clipcli("models", name).stdout.startswith(f"model       hf-hub:{REPOSITORY}\n")
    assert "hf-hub:no/body is not on this machine; a command with --model" in clipcli("models", "no/body").stderr


@pytest.mark.slow
def test_a_model_that_transformers_saved_comes_from_the_hub(
    hub: Hub, photos: Path, labels: Path, tmp_path: Path, clipcli: Command
) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48, "hidden_size": 32}
    text = {**sizes, "bos_token_id": 49406, "eos_token_id": 49407}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    folder = hub.repositories["openai/clip-vit-small"] = tmp_path / "clip"
    transformers.CLIPModel(config).save_pretrained(folder)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    arguments = ["classify", str(photos), "--labels", str(labels), "--prompts", "plain", "--model"]
    done = clipcli(*arguments, "openai/clip-vit-small", "--output", str(tmp_path / "1.csv"), HF_ENDPOINT=hub.address)
    assert done.returncode == 0, done.stderr
    local = clipcli(*arguments, str(folder), "--output", str(tmp_path / "2.csv"))
    assert local.returncode == 0, local.stderr
    assert (tmp_path / "1.csv").read_text() == (tmp_path / "2.csv").read_text()
    assert any("preprocessor_config.json" in request for request in hub.requests)


@pytest.mark.parametrize(
    ("text", "repository"),
    [
        ("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32"),
        ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("https://huggingface.co/apple/MobileCLIP-S1/", "apple/MobileCLIP-S1"),
        ("hf-hub:ViT-B-32/x", "ViT-B-32/x"),
        ("ViT-B-32/openai", None),
        ("ViT-B-32/no-such-tag", None),
        ("ViT-B-33/openai", None),
        ("ViT-B/33", None),
        ("RN51/openai", None),
        ("runs/best", None),
        ("a/b/c", None),
        ("tiny", None),
    ],
)
def test_which_names_are_names_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, repository: str | None
) -> None:
    """What begins with a folder that is here, or nearly with an architecture, is a slip in another name."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    assert repository_of(text) == repository


def test_a_file_that_open_clip_downloaded_is_used_if_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"weights"
    sha = hashlib.sha256(content).hexdigest()
    urls = {
        "openai": f"https://openaipublic.azureedge.net/clip/models/{sha}/ViT-B-32.pt",
        "laion": f"https://github.com/mlfoundations/open_clip/releases/download/v0.2/vit_b_32-laion-{sha[:8]}.pt",
    }
    monkeypatch.setattr(tags, "OPEN_CLIP_CACHE", tmp_path)
    monkeypatch.setattr(tags, "tag_config", lambda _, tag: {"hf_hub": "no/body", "url": urls[tag]})
    for tag, url in urls.items():
        assert tags.weights_here("ViT-B-32", tag) is None
        path = tmp_path / url.rsplit("/", 1)[-1]
        path.write_bytes(content)
        assert tags.weights_here("ViT-B-32", tag) == path
        path.write_bytes(content[:-1])
        assert tags.weights_here("ViT-B-32", tag) is None
