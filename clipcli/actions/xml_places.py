"""Parses XML into elements with their places in the text, so that a change can be made to the text itself.

The parser is expat, which gives the place of each element: all else stays as it is, byte for byte. A parser that builds
a tree and writes it anew would change prefixes, quotes and line ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

_START_TAG = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^>"'])*>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_BLANK = b" \t\r\n"


class BadXml(Exception):
    """Something is no XML, or XML that is not changed. The message is the reason, in a few words."""


@dataclass(slots=True, eq=False)
class Element:
    """An element and its place: the start tag is from `start` to `inner`, and the end tag from `close` to `end`."""

    name: str
    start: int
    inner: int
    attributes: Mapping[str, str]
    prefixes: Mapping[str, str]
    close: int = 0
    end: int = 0
    text: str = ""
    children: list[Element] = field(default_factory=list)


def parse(text: bytes) -> Element:
    """The root of a text in UTF-8, whatever encoding it states. Raises `BadXml`, also for any DOCTYPE: XMP has none,
    and without one no entity can be defined, neither one that grows without end nor one that is another file."""
    reader = _Reader(text)
    try:
        reader.parser.Parse(text, True)
    except expat.ExpatError as e:
        raise BadXml(f"broken XML: {expat.ErrorString(e.code)}, line {e.lineno}") from None
    return reader.root.children[0]


def attribute_places(text: bytes, element: Element) -> Iterator[tuple[str, int, int]]:
    """The names of an element's attributes with their places, blanks before them too; `xmlns a` declares a prefix."""
    for found in _ATTRIBUTE.finditer(text, element.start, element.inner):
        prefix, _, name = found[1].decode("utf-8").rpartition(":")
        space = prefix if prefix == "xmlns" else element.prefixes.get(prefix, "")
        yield f"{space} {name}", found.start(), found.end()


def before_blank(text: bytes, start: int) -> int:
    """Where the blank before a place begins."""
    return len(text[:start].rstrip(_BLANK))


def name_in(text: bytes, element: Element) -> bytes:
    """The name of an element as it stands in the text, with its prefix."""
    return re.split(rb"[\s/>]", text[element.start + 1 : element.inner], maxsplit=1)[0]


def is_closed(text: bytes, element: Element) -> bool:
    """True for an element without an end tag of its own, as in `<rdf:Bag/>`."""
    return text[element.inner - 2 : element.inner] == b"/>"


class _Reader:
    """Builds the elements of a text with their places."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.root = Element("", 0, 0, {}, {})
        self._open = [self.root]
        self._declared: dict[str, str] = {}
        self.parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartNamespaceDeclHandler = self._namespace
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data

    def _doctype(self, *_: Any) -> None:
        raise BadXml("a DOCTYPE in it, which XMP does not have")

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self._declared[prefix or ""] = uri or ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        around, start = self._open[-1], self.parser.CurrentByteIndex
        tag = _START_TAG.match(self.text, start)
        if tag is None:
            raise BadXml("an element that does not begin with a tag")
        prefixes = {**around.prefixes, **self._declared} if self._declared else around.prefixes
        self._declared = {}
        element = Element(name, start, tag.end(), attributes, prefixes)
        around.children.append(element)
        self._open.append(element)

    def _end(self, _: str) -> None:
        element = self._open.pop()
        if is_closed(self.text, element):
            element.close = element.end = element.inner
        else:
            element.close = self.parser.CurrentByteIndex
            element.end = self.text.index(b">", element.close) + 1

    def _data(self, data: str) -> None:
        self._open[-1].text += data
