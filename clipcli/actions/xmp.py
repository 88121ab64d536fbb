"""Reads XMP packets, of sidecars and of photos: their keywords, and what clipcli wrote."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clipcli.actions.xml_places import BadXml, Element, name_in, parse

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
OWN = "urn:clipcli:xmp:1.0/"
_CONTAINERS = frozenset(f"{RDF} {kind}" for kind in ("Bag", "Seq", "Alt"))
_ITEM, _DESCRIPTION, _ABOUT = f"{RDF} li", f"{RDF} Description", f"{RDF} about"
_EXTENDED = "http://ns.adobe.com/xmp/note/ HasExtendedXMP"
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


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
        return tuple(item.text for child in found for item in items_in(child)) if found else None

    def encoded(self, text: bytes) -> bytes:
        """A changed text in the encoding that the packet was in; what that does not have becomes `&#…;`."""
        if self.encoding == "utf-8":
            return self.mark + text
        return self.mark + text.decode("utf-8").encode(self.encoding, "xmlcharrefreplace")


def read_packet(data: bytes) -> Packet:
    """Read a packet. Raises `BadXml` for what is no XMP, and for XMP whose keywords are not in lists."""
    mark, encoding = _encoding_of(data)
    try:
        text = data[len(mark) :].decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise BadXml(f"no text in {encoding.upper()}") from None
    return packet_of(text.encode("utf-8"), mark=mark, encoding=encoding)


def packet_of(text: bytes, *, mark: bytes, encoding: str) -> Packet:
    """The packet with this text, which is in UTF-8 whatever it states. Raises as `read_packet`."""
    rdf = _first_rdf(parse(text))
    if rdf is None:
        raise BadXml("no rdf:RDF in it")
    packet = Packet(text, mark, encoding, rdf)
    if b":" not in name_in(text, rdf):
        raise BadXml("rdf:RDF without a prefix")
    lists = {one.key: name for name, one in LISTS.items()}
    for block in packet.descriptions:
        if _EXTENDED in block.attributes or any(child.name == _EXTENDED for child in block.children):
            raise BadXml("XMP that goes on in other parts of the file")
        odd = {child.name for child in block.children if container_in(child) is None} | set(property_attributes(block))
        if odd & lists.keys():
            raise BadXml(f"{lists[min(odd & lists.keys())]} that is no list")
    return packet


def own_of(packet: Packet) -> Own | None:
    """What clipcli wrote into a packet; `None` if it wrote nothing."""
    # Programs that write a packet anew make attributes of properties that are no lists.
    values = {name: value for block in packet.descriptions for name, value in property_attributes(block).items()}
    values |= {child.name: child.text for child in packet.properties if container_in(child) is None}
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


def container_in(element: Element) -> Element | None:
    """The list within a property; `None` if there is none."""
    children = element.children
    return children[0] if len(children) == 1 and children[0].name in _CONTAINERS else None


def items_in(element: Element) -> list[Element]:
    """The items of the list within a property."""
    container = container_in(element)
    return [] if container is None else [one for one in container.children if one.name == _ITEM]


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
