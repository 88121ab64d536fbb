"""The server answers this machine, its token and its own page alone, with the photos of rows and nothing else."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image

from clipcli.commands.review.decisions import Decisions
from clipcli.commands.review.serve import open_decisions, serve
from clipcli.commands.review.server import ReviewServer
from clipcli.errors import ClipcliError
from clipcli.events import PageServed, PhotosReviewed, result_of
from clipcli.images.house import HOUSE, cannot_start
from clipcli.images.limits import Limits
from clipcli.notices import Notices
from clipcli.outputs.corrections import read_corrections
from clipcli.records import Row
from clipcli.scoring.schema import Schema

from .conftest import Written, content_of, labelled, prepared

JSON = {"Content-Type": "application/json"}


class Client:
    """Asks a server on one connection at a time."""

    def __init__(self, server: ReviewServer) -> None:
        self.server = server

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, place: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask("GET", f"/{self.server.token}/{place}", **headers)

    def post(self, place: str, body: Any, **headers: str) -> tuple[int, Any]:
        given = {"Content-Type": "application/json"} | {name.replace("_", "-"): one for name, one in headers.items()}
        status, _, found = self.ask("POST", f"/{self.server.token}/{place}", json.dumps(body), **given)
        return status, json.loads(found) if found else None


@contextmanager
def serving(**settings: Any) -> Iterator[Client]:
    review = prepared(**settings)
    with open_decisions(review, "c.csv") as decisions, ReviewServer(review, decisions) as server:
        yield Client(server)


@pytest.fixture
def client(written: Written) -> Iterator[Client]:
    written(labelled(8))
    with serving() as client:
        yield client


def in_file() -> dict[str, tuple[str, ...]]:
    return {path: one.labels for path, one in read_corrections(["c.csv"], Notices()).by_path.items()}


def test_the_page_has_the_photos_and_a_policy(client: Client) -> None:
    status, headers, page = client.get("")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "text/html; charset=utf-8", "no-store")
    assert headers["content-security-policy"].startswith("frame-ancestors 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    text = page.decode()
    assert "default-src 'none'; script-src 'sha256-" in text
    content = content_of(text)
    assert (content["served"], len(content["photos"]), content["said"]) == (True, 8, {})
    assert client.server.url == f"http://127.0.0.1:{client.server.port}/{client.server.token}/"
    assert len(client.server.token) >= 32


def test_photos_come_small_and_large(client: Client) -> None:
    for place in ("small/0", "large/0"):
        status, headers, data = client.get(place)
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(data)).size == (24, 16)


def test_large_photos_are_made_smaller(written: Written) -> None:
    written(labelled(1))
    Image.new("RGB", (3000, 1500)).save("photos/000.png")
    with serving() as client:
        sizes = [Image.open(io.BytesIO(client.get(f"{size}/0")[2])).size for size in ("small", "large")]
    assert sizes == [(256, 128), (1280, 640)]


@pytest.mark.parametrize(
    "place",
    [
        *("small/8", "small/-1", "small/", "small", "huge/0", "small/0/", "small/../0", "small/%30", "photos/000.png"),
        *("../predictions.csv", "predictions.csv", "decide", "?", "/etc/passwd", "small/%D9%A3", "//"),
    ],
)
def test_nothing_else_is_served(client: Client, place: str) -> None:
    status, _, data = client.get(place)
    assert (status, data) == (404, b"")


@pytest.mark.parametrize("path", ["/", "", "/x/", "/{}x/", "/{}x/small/0", "/small/0", "http://127.0.0.1/{}/"])
def test_another_token_gets_nothing(client: Client, path: str) -> None:
    token = client.server.token
    path = path.format(token[:-1])
    assert client.ask("GET", path)[::2] == (404, b"")
    assert client.ask("POST", f"{path}decide", "{}", Content_Type="application/json")[::2] == (404, b"")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{}", ""])
def test_another_host_gets_nothing(client: Client, host: str) -> None:
    given = host.format(client.server.port)
    assert client.get("", Host=given)[::2] == (404, b"")
    assert client.get("small/0", Host=given)[::2] == (404, b"")
    assert client.post("decide", {"0": [0]}, Host=given) == (404, None)


def test_another_page_cannot_decide(client: Client) -> None:
    assert client.post("decide", {"0": [0]}, Origin="http://evil.example") == (404, None)
    assert client.post("decide", {"0": [0]}, Content_Type="text/plain") == (400, None)
    assert in_file() == {}
    assert client.post("decide", {"0": [0]}, Origin=f"http://127.0.0.1:{client.server.port}") == (200, {})


def test_the_address_ends_with_a_slash_from_which_pictures_are_found(client: Client) -> None:
    assert client.ask("GET", f"/{client.server.token}")[::2] == (404, b"")


def test_the_server_listens_on_this_machine_alone(client: Client) -> None:
    assert client.server._server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "body",
    [{"8": [0]}, {"-1": [0]}, {"0": [3]}, {"0": [-1]}, {"0": [0, 1]}, {"x": [0]}, {"0": 0}, [], 3, {"0": ["cat"]}],
)
def test_a_decision_that_makes_no_sense_changes_nothing(client: Client, body: Any) -> None:
    assert client.post("decide", body) == (400, None)
    assert in_file() == {}


def test_decisions_are_in_the_file_before_the_answer_and_on_the_page_after(client: Client) -> None:
    photos = client.server.review.photos
    assert client.post("decide", {"0": [1], "3": []}) == (200, {})
    assert in_file() == {photos[0].row.path: ("dog",), photos[3].row.path: ()}
    assert content_of(client.get("")[2].decode())["said"] == {"0": [1], "3": []}
    assert client.post("decide", {"0": [2]}) == (200, {})
    assert client.post("undo", {}) == (200, {"back": {"0": [1]}})
    assert client.post("undo", {}) == (200, {"back": {"0": None, "3": None}})
    assert client.post("undo", {}) == (200, {"back": {}})
    assert in_file() == {}


def test_several_labels_are_decided(written: Written) -> None:
    written([Row("a.png", ("cat", "dog"), (0.9, 0.8))], schema=Schema(several=True), multi_label=True)
    with serving() as client:
        assert client.post("decide", {"0": [2, 0]}) == (200, {})
    assert in_file() == {"a.png": ("cow", "cat")}


def test_an_error_of_the_disk_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> int:
        from clipcli.errors import OutputFailed

        raise OutputFailed("cannot write c.csv: No space left on device; free some space")

    monkeypatch.setattr("clipcli.commands.review.decisions.append_corrections", full)
    assert client.post("decide", {"0": [0]}) == (
        500,
        {"error": "cannot write c.csv: No space left on device; free some space"},
    )
    assert client.server.decisions.said == {}


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("labelled_so", [True, False])
def test_a_decoder_that_dies_costs_its_photo_alone(written: Written, labelled_so: bool) -> None:
    """Photos that were labelled in worker processes are shown by such as well."""
    written(labelled(4), **({"untrusted": True} if labelled_so else {}))
    Path("photos/001.png").write_text("SEGFAULT")
    with serving(**({} if labelled_so else {"isolate": True})) as client:
        numbers = {one["path"]: n for n, one in enumerate(content_of(client.get("")[2].decode())["photos"])}
        statuses = [client.get(f"small/{numbers[f'photos/{n:03}.png']}")[0] for n in range(4)]
        assert statuses == [200, 404, 200, 200]


def test_limits_are_those_of_the_labelling(written: Written) -> None:
    limits = {"decode_timeout": 2.5, "decode_memory": 10**9, "max_pixels": 9_000, "truncated": "accept"}
    written(labelled(1), **limits)
    made = Limits(max_pixels=9_000, truncated="accept", isolate=True, seconds=2.5, memory=10**9)
    assert prepared().limits == made
    assert prepared(decode_timeout=7.0).limits == replace(made, seconds=7.0)


def test_where_workers_cannot_start_it_is_said_once(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> int:
        raise cannot_start("no more processes")

    written(labelled(2), untrusted=True)
    said: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(HOUSE, "fork", refused)
        assert not prepared(said).limits.isolate
        assert [line for line in said if "worker" in line] == [
            "the photos were labelled in worker processes, and are decoded in this one: worker processes for decoding"
            " cannot be started: no more processes"
        ]
        with pytest.raises(ClipcliError, match="no more processes; leave out --isolate, --untrusted"):
            prepared(isolate=True)
    with serving() as client:
        monkeypatch.setattr(HOUSE, "fork", refused)
        status, _, answer = client.get("small/0")
        assert (status, b"cannot be started: no more processes" in answer) == (500, True)


def test_a_photo_that_went_is_not_found(client: Client) -> None:
    for path in Path("photos").iterdir():
        path.unlink()
    assert client.get("small/0")[::2] == (404, b"")


def test_names_that_are_no_text_are_escaped(written: Written) -> None:
    odd = "</script><img src=x onerror=alert(1)>\udcff.png"
    written([Row(odd, ("<b>cat",), (0.9,))], labels=["<b>cat", "</script>"])
    with serving() as client:
        page = client.get("")[2].decode()
        assert client.post("decide", {"0": [0]}) == (200, {})
    assert page.count("</script>") == 2
    assert content_of(page)["photos"][0]["path"] == odd
    assert in_file() == {odd: ("<b>cat",)}


def test_serving_ends_when_the_page_says_so(written: Written) -> None:
    written(labelled(8))
    review, events = prepared(), []

    def act(server: ReviewServer) -> None:
        client = Client(server)
        assert client.post("decide", {"0": [0]})[0] == 200
        assert client.post("done", {}) == (200, {})

    def show(event: object) -> None:
        events.append(event)
        if isinstance(event, PageServed):
            Thread(target=act, args=[servers[0]]).start()

    servers: list[ReviewServer] = []
    begin = ReviewServer.__enter__

    def keep(self: ReviewServer) -> ReviewServer:
        servers.append(self)
        return begin(self)

    with pytest.MonkeyPatch.context() as patch, open_decisions(review, "c.csv") as decisions:
        patch.setattr(ReviewServer, "__enter__", keep)
        result_of(serve(review, decisions), show=show)
        assert isinstance(decisions, Decisions)
    assert isinstance(events[0], PageServed)
    assert all(isinstance(event, PhotosReviewed) for event in events[1:])
    assert len(in_file()) == 1
    with pytest.raises(ConnectionError):
        Client(servers[0]).get("")
