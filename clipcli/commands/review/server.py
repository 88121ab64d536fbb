"""The server of a review: for this machine alone, at a free port, below an address that nobody guesses.

It answers with the page, the photos of the rows and nothing else, and takes decisions. A decision is on disk before it
is answered.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any

from clipcli.commands.review.decisions import Decisions, Said
from clipcli.commands.review.page import LARGE, SMALL, page_of
from clipcli.commands.review.run import Review
from clipcli.errors import ClipcliError
from clipcli.images.isolate import attempting
from clipcli.images.thumbnail import small_jpeg
from clipcli.parsed import json_of
from clipcli.report.review import POLICY_OF_SERVER

_HOST = "127.0.0.1"
# Bytes of a request: a decision about all photos of a large collection is smaller.
_LONGEST = 10_000_000
# Pictures that are kept, so that to go back and forth is quick.
_KEPT = 2_000
_HTML, _JSON, _JPEG = "text/html; charset=utf-8", "application/json", "image/jpeg"


class ReviewServer:
    """Serves a review from `__enter__` on until `__exit__`; `done` is set once the page says so."""

    def __init__(self, review: Review, decisions: Decisions) -> None:
        self.review, self.decisions, self.done = review, decisions, Event()
        self.token = secrets.token_urlsafe(24)
        self.picture = lru_cache(_KEPT)(self._picture)
        self._server = ThreadingHTTPServer((_HOST, 0), lambda *given: _Handler(self, *given))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._ending = ExitStack()
        self._attempt = self._ending.enter_context(attempting(review.limits))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{_HOST}:{self.port}/{self.token}/"

    def __enter__(self) -> ReviewServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._ending.close()

    def _picture(self, number: int, side: int) -> bytes | None:
        review = self.review
        return small_jpeg(review.photos[number].item, side=side, limits=review.limits, try_=self._attempt)


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "clipcli", ""

    def __init__(self, review_server: ReviewServer, *given: Any) -> None:
        self._is_of = review_server
        # A browser that is closed in the middle of a picture is no error.
        with suppress(ConnectionError):
            super().__init__(*given)

    def log_message(self, *_: Any) -> None:
        """Say nothing of requests."""

    def do_GET(self) -> None:
        """Answer with the page or a picture."""
        place = self._place()
        if place == "":
            of = self._is_of
            page = page_of(of.review, of.decisions.said, output=of.decisions.file)
            self._answer(page.encode("utf-8", "backslashreplace"), kind=_HTML)
            return
        sides = {"small": SMALL, "large": LARGE}
        size, _, number = (place or "").partition("/")
        if size not in sides or not _is_number(number) or int(number) >= len(self._is_of.review.photos):
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            picture = self._is_of.picture(int(number), sides[size])
        except ClipcliError as e:
            # No worker can be started any more.
            self._answer(str(e).encode(), kind="text/plain", status=HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        if picture is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._answer(picture, kind=_JPEG, cached=True)

    def do_POST(self) -> None:
        """Take a decision, take one back, or end."""
        steps: dict[str, Callable[[Any], Any]] = {"decide": self._decide, "undo": self._undo, "done": self._end}
        step = steps.get(self._place() or "")
        size = self.headers.get("Content-Length", "")
        if step is None or self.headers.get("Origin", self._origin) != self._origin:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        if self.headers.get("Content-Type") != _JSON or not _is_number(size) or int(size) > _LONGEST:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        try:
            answer = step(json_of(self.rfile.read(int(size))))
        except (ValueError, TypeError, KeyError):
            self._refuse(HTTPStatus.BAD_REQUEST)
        except ClipcliError as e:
            self._answer(json.dumps({"error": str(e)}).encode(), kind=_JSON, status=HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            self._answer(json.dumps(answer).encode(), kind=_JSON)
            if step == self._end:
                self._is_of.done.set()

    @property
    def _origin(self) -> str:
        return f"http://{_HOST}:{self._is_of.port}"

    def _place(self) -> str | None:
        """What is asked for below the token; `None` if the token or the host is another."""
        # A page of elsewhere whose name leads to this machine has another host (DNS rebinding).
        if self.headers.get("Host") != f"{_HOST}:{self._is_of.port}":
            return None
        _, token, place = self.path.split("/", 2) if self.path.count("/") > 1 else ("", "", "")
        is_right = secrets.compare_digest(token.encode("utf-8", "replace"), self._is_of.token.encode())
        return place if is_right else None

    def _decide(self, said: Any) -> dict[str, Any]:
        review = self._is_of.review
        labels, photos = dict(enumerate(review.labels)), dict(enumerate(review.photos))
        if not isinstance(said, dict):
            raise TypeError(said)
        found: dict[int, Said] = {}
        for number, chosen in said.items():
            if int(number) not in photos or not isinstance(chosen, list) or (len(chosen) > 1 and not review.several):
                raise ValueError(number)
            found[int(number)] = tuple(labels[n] for n in dict.fromkeys(chosen))
        self._is_of.decisions.add(found)
        return {}

    def _undo(self, _: object) -> dict[str, Any]:
        labels = list(self._is_of.review.labels)
        back = self._is_of.decisions.take_back()
        return {
            "back": {
                number: None if chosen is None else [labels.index(label) for label in chosen]
                for number, chosen in back.items()
            }
        }

    def _end(self, _: object) -> dict[str, Any]:
        return {}

    def _refuse(self, status: HTTPStatus) -> None:
        # What was not read of a request must not be taken for the next one.
        self.close_connection = True
        self._answer(b"", kind="text/plain", status=status)

    def _answer(self, content: bytes, *, kind: str, status: HTTPStatus = HTTPStatus.OK, cached: bool = False) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "private, max-age=3600" if cached else "no-store",
            "Content-Security-Policy": POLICY_OF_SERVER,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
