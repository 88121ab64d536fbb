"""Reads XMP packets, of sidecars and of photos: their keywords, what clipcli wrote, and where in the text each stands.

The parser is expat, which gives the place of each element: a change is then made to the text itself, and all else stays
as it is, byte for byte. A parser that builds a tree and writes it anew would change prefixes, quotes and line ends.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
OWN = "urn:clipcli:xmp:1.0/"
_CONTAINERS = frozenset(f"{RDF} {kind}" for kind in ("Bag", "Seq", "Alt"))
_ITEM, _DESCRIPTION, _ABOUT = f"{RDF} li", f"{RDF} Description", f"{RDF} about"
_EXTENDED = "http://ns.adobe.com/xmp/note/ HasExtendedXMP"
_START_TAG = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^>"'])*>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")
_BLANK = b" \t\r\n"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class BadXmp(Exception):
    """Something is no XMP, or XMP in a form that is not changed. The message is the reason, in a few words."""


@dataclass(frozen=True, slots=True)
class KeywordList:
    """A list of keywords that photo programs read: its property, as namespace and name, and how it is written.

    `separator` stands between the names of a path; `None` where names stand alone. `added` is the property in which
    clipcli keeps what it added to the list. Lists that are not `made` get keywords only where they are there already.
    """

    namespace: str
    prefix: str
    name: str
    container: str
    separator: str | None
    added: str
    made: bool = True

    @property
    def key(self) -> str:
        """The property as expat names it."""
        return f"{self.namespace} {self.name}"


# The lists, by the name that users know them by. digiKam reads the first of TagsList, LastKeywordXMP,
# hierarchicalSubject and subject that it finds, and darktable the first of hierarchicalSubject and subject.
LISTS = {
    "dc:subject": KeywordList("http://purl.org/dc/elements/1.1/", "dc", "subject", "Bag", None, "AddedSubject"),
    "digiKam:TagsList": KeywordList(
        "http://www.digikam.org/ns/1.0/", "digiKam", "TagsList", "Seq", "/", "AddedTagsList"
    ),
    "lr:hierarchicalSubject": KeywordList(
        "http://ns.adobe.com/lightroom/1.0/", "lr", "hierarchicalSubject", "Bag", "|", "AddedHierarchicalSubject"
    ),
    "MicrosoftPhoto:LastKeywordXMP": KeywordList(
        "http://ns.microsoft.com/photo/1.0/",
        "MicrosoftPhoto",
        "LastKeywordXMP",
        "Bag",
        "/",
        "AddedLastKeywordXMP",
        made=False,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What clipcli says of a photo in its own namespace: its labels with their scores, the model, and the date.

    `added` are the keywords that clipcli added, by the names of the `LISTS`. `made` is true where the whole packet is
    of clipcli's making.
    """

    model: str | None
    date: str | None
    labels: tuple[str, ...]
    scores: tuple[str, ...]
    added: Mapping[str, tuple[str, ...]]
    made: bool


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

    @property
    def container(self) -> Element | None:
        """The list within a property; `None` if there is none."""
        return self.children[0] if len(self.children) == 1 and self.children[0].name in _CONTAINERS else None

    @property
    def items(self) -> list[Element]:
        """The items of a list within a property."""
        return [] if self.container is None else [one for one in self.container.children if one.name == _ITEM]


@dataclass(frozen=True, slots=True)
class Packet:
    """An XMP packet: its text in UTF-8, how it was encoded, and its `rdf:RDF`."""

    text: bytes
    mark: bytes
    encoding: str
    rdf: Element

    @property
    def descriptions(self) -> list[Element]:
        """The blocks of properties."""
        return [child for child in self.rdf.children if child.name == _DESCRIPTION]

    @property
    def properties(self) -> Iterator[Element]:
        """All properties that are elements."""
        return (child for block in self.descriptions for child in block.children)

    @property
    def is_empty(self) -> bool:
        """True if there is no property."""
        return not any(block.children or property_attributes(block) for block in self.descriptions)

    def listed(self, key: str) -> tuple[str, ...] | None:
        """The texts in the lists of a property; `None` if it is not there."""
        found = [child for child in self.properties if child.name == key]
        return tuple(item.text for child in found for item in child.items) if found else None

    def encoded(self, text: bytes) -> bytes:
        """A changed text in the encoding that the packet was in; what that does not have becomes `&#…;`."""
        if self.encoding == "utf-8":
            return self.mark + text
        return self.mark + text.decode("utf-8").encode(self.encoding, "xmlcharrefreplace")


def read_packet(data: bytes) -> Packet:
    """Read a packet. Raises `BadXmp` for what is no XMP, and for XMP whose keywords are not in lists."""
    mark, encoding = _encoding_of(data)
    try:
        text = data[len(mark) :].decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise BadXmp(f"no text in {encoding.upper()}") from None
    return packet_of(text.encode("utf-8"), mark=mark, encoding=encoding)


def packet_of(text: bytes, *, mark: bytes, encoding: str) -> Packet:
    """The packet with this text, which is in UTF-8 whatever it states. Raises as `read_packet`."""
    rdf = _first_rdf(_parsed(text))
    if rdf is None:
        raise BadXmp("no rdf:RDF in it")
    packet = Packet(text, mark, encoding, rdf)
    if b":" not in name_in(text, rdf):
        raise BadXmp("rdf:RDF without a prefix")
    lists = {one.key: name for name, one in LISTS.items()}
    for block in packet.descriptions:
        if _EXTENDED in block.attributes or any(child.name == _EXTENDED for child in block.children):
            raise BadXmp("XMP that goes on in other parts of the file")
        odd = {child.name for child in block.children if child.container is None} | set(property_attributes(block))
        if odd & lists.keys():
            raise BadXmp(f"{lists[min(odd & lists.keys())]} that is no list")
    return packet


def own_of(packet: Packet) -> Own | None:
    """What clipcli wrote into a packet; `None` if it wrote nothing."""
    # Programs that write a packet anew make attributes of properties that are no lists.
    values = {name: value for block in packet.descriptions for name, value in property_attributes(block).items()}
    values |= {child.name: child.text for child in packet.properties if child.container is None}
    names = [*values, *(child.name for child in packet.properties)]
    if not any(name.startswith(f"{OWN} ") for name in names):
        return None
    added = {name: packet.listed(f"{OWN} {one.added}") for name, one in LISTS.items()}
    return Own(
        model=values.get(f"{OWN} Model"),
        date=values.get(f"{OWN} Date"),
        labels=packet.listed(f"{OWN} Labels") or (),
        scores=packet.listed(f"{OWN} Scores") or (),
        added={name: keywords for name, keywords in added.items() if keywords},
        made=f"{OWN} Made" in values,
    )


def property_attributes(block: Element) -> dict[str, str]:
    """The properties of a block that are attributes."""
    return {name: value for name, value in block.attributes.items() if " " in name and not name.startswith(f"{RDF} ")}


def attribute_places(text: bytes, element: Element) -> Iterator[tuple[str, int, int]]:
    """The names of an element's attributes, with the places of each and of the blank before it."""
    for found in _ATTRIBUTE.finditer(text, element.start, element.inner):
        prefix, _, name = found[1].decode("utf-8").rpartition(":")
        yield f"{element.prefixes.get(prefix, '')} {name}", found.start(), found.end()


def before_blank(text: bytes, start: int) -> int:
    """Where the blank before a place begins."""
    return len(text[:start].rstrip(_BLANK))


def name_in(text: bytes, element: Element) -> bytes:
    """The name of an element as it stands in the text, with its prefix."""
    return re.split(rb"[\s/>]", text[element.start + 1 : element.inner], maxsplit=1)[0]


def is_closed(text: bytes, element: Element) -> bool:
    """True for an element without an end tag of its own, as in `<rdf:Bag/>`."""
    return text[element.inner - 2 : element.inner] == b"/>"


def about(packet: Packet) -> str:
    """What the blocks are about: the same for all, mostly nothing."""
    return next((block.attributes[_ABOUT] for block in packet.descriptions if _ABOUT in block.attributes), "")


def _encoding_of(data: bytes) -> tuple[bytes, str]:
    """The mark at the beginning, and the encoding of what comes behind it."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return mark, encoding
    if data[:2] in (b"<\0", b"\0<"):
        return b"", "utf-16-le" if data[:2] == b"<\0" else "utf-16-be"
    declared = _DECLARED.match(data)
    return b"", declared[1].decode("ascii").lower() if declared else "utf-8"


def _first_rdf(root: Element) -> Element | None:
    waiting = [root]
    while waiting:
        element = waiting.pop(0)
        if element.name == f"{RDF} RDF":
            return element
        waiting += element.children
    return None


def _parsed(text: bytes) -> Element:
    """The root of a text in UTF-8, whatever encoding it states. Raises `BadXmp`, also for any DOCTYPE: XMP has none,
    and without one no entity can be defined, neither one that grows without end nor one that is another file."""
    reader = _Reader(text)
    try:
        reader.parser.Parse(text, True)
    except expat.ExpatError as e:
        raise BadXmp(f"broken XML: {expat.ErrorString(e.code)}, line {e.lineno}") from None
    return reader.root.children[0]


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
        raise BadXmp("a DOCTYPE in it, which XMP does not have")

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        self._declared[prefix or ""] = uri or ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        around, start = self._open[-1], self.parser.CurrentByteIndex
        tag = _START_TAG.match(self.text, start)
        if tag is None:
            raise BadXmp("an element that does not begin with a tag")
        prefixes = {**around.prefixes, **self._declared} if self._declared else around.prefixes
        self._declared = {}
        element = Element(name, start, tag.end(), attributes, prefixes)
        around.children.append(element)
        self._open.append(element)

    def _end(self, name: str) -> None:
        element = self._open.pop()
        if is_closed(self.text, element):
            element.close = element.end = element.inner
        else:
            element.close = self.parser.CurrentByteIndex
            element.end = self.text.index(b">", element.close) + 1

    def _data(self, data: str) -> None:
        self._open[-1].text += data
