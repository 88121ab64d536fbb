"""Changes XMP packets: takes out what clipcli wrote, and puts keywords in. All else stays as it is, byte for byte."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from xml.sax.saxutils import escape, quoteattr

from clipcli.actions.xml_places import Element, attribute_places, before_blank, is_closed, name_in
from clipcli.actions.xmp import (
    LISTS,
    OWN,
    Own,
    Packet,
    about,
    container_in,
    items_in,
    own_of,
    packet_of,
    property_attributes,
)

# A packet without properties, as clipcli begins one. Adobe's XMP specification, part 1, 7.3.2, has the wrapper.
EMPTY = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="clipcli">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()
# A place from where to where, and what stands there from now on.
Edit = tuple[int, int, bytes]


def without_own(packet: Packet) -> Packet:
    """The packet without what clipcli wrote: its namespace, and the keywords that it added.

    A list, or a block of properties, of which nothing is left goes as well. Of a keyword that is in a list twice, one
    is left, which is somebody else's.
    """
    own = own_of(packet)
    if own is None:
        return packet
    edits: list[Edit] = []
    added = {LISTS[name].key: keywords for name, keywords in own.added.items()}
    for block in packet.descriptions:
        edits += _without(packet.text, block, added)
    return _edited(packet, edits)


def with_own(packet: Packet, own: Own, *, left_out: Mapping[str, Collection[str]]) -> Packet:
    """The packet, of which `without_own` is to be taken first, with what clipcli writes.

    Keywords that are `left_out`, by list, are noted as added and do not go into it.
    """
    edits: list[Edit] = []
    missing: dict[str, tuple[str, ...]] = {}
    for name, noted in own.added.items():
        keywords = tuple(keyword for keyword in noted if keyword not in left_out.get(name, ()))
        found = [child for child in packet.properties if child.name == LISTS[name].key]
        if not keywords:
            continue
        if found:
            edits.append(_into(packet.text, found[0], keywords))
        else:
            missing[name] = keywords
    edits.append(_new_block(packet, own, missing))
    return _edited(packet, edits)


def _edited(packet: Packet, edits: list[Edit]) -> Packet:
    text = packet.text
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    # Read anew for the places, and to see that it is XMP still.
    return packet_of(text, mark=packet.mark, encoding=packet.encoding)


def _without(text: bytes, block: Element, added: dict[str, tuple[str, ...]]) -> Iterator[Edit]:
    """The edits that take clipcli's properties and these keywords out of a block, or the block itself."""
    inside: list[Edit] = []
    whole: list[Element] = []
    for child in block.children:
        if child.name.startswith(f"{OWN} "):
            whole.append(child)
        elif child.name in added:
            gone = _last_of_each(items_in(child), added[child.name])
            if len(gone) == len(items_in(child)):
                whole.append(child)
            else:
                inside += [_without_element(text, item) for item in gone]
    attributes = [place for place in attribute_places(text, block) if place[0].startswith(f"{OWN} ")]
    declared = [
        place
        for place in attribute_places(text, block)
        if place[0][:6] == "xmlns " and OWN.encode() in text[place[1] : place[2]]
    ]
    left = len(block.children) - len(whole) + len(property_attributes(block)) - len(attributes)
    if not left and (whole or attributes):
        yield _without_element(text, block)
        return
    yield from inside
    yield from (_without_element(text, child) for child in whole)
    yield from ((start, end, b"") for _, start, end in (*attributes, *declared))


def _last_of_each(items: list[Element], keywords: tuple[str, ...]) -> list[Element]:
    """The last item of each keyword that is among them."""
    last = {item.text: item for item in items}
    return [last[keyword] for keyword in keywords if keyword in last]


def _without_element(text: bytes, element: Element) -> Edit:
    """The edit that takes an element out, with the blank before it."""
    return before_blank(text, element.start), element.end, b""


def _into(text: bytes, element: Element, keywords: tuple[str, ...]) -> Edit:
    """The edit that adds keywords to a list that is there, each set off as its last item is."""
    container = container_in(element)
    assert container is not None, "read_packet takes no other"
    prefix = name_in(text, container).partition(b":")[0].decode("utf-8")
    items = items_in(element)
    at = items[-1].end if items else container.inner
    blank = text[before_blank(text, items[-1].start) : items[-1].start] if items else b""
    new = b"".join(blank + f"<{prefix}:li>{escape(keyword)}</{prefix}:li>".encode() for keyword in keywords)
    return _opened(text, container, new) if is_closed(text, container) else (at, at, new)


def _opened(text: bytes, element: Element, content: bytes) -> Edit:
    """The edit that gives content to an element like `<rdf:Bag/>`."""
    end = b"</" + name_in(text, element) + b">"
    return element.inner - 2, element.inner, b">" + content + end


def _new_block(packet: Packet, own: Own, lists: dict[str, tuple[str, ...]]) -> Edit:
    """The edit that adds a block with what clipcli says, and with lists of keywords that are not there yet."""
    text, last = packet.text, next(reversed(packet.rdf.children), None)
    line = b"\r\n" if b"\r\n" in text else b"\n"
    blank = text[before_blank(text, last.start) : last.start] if last else line + b"  "
    block = blank + line.join(part.encode() for part in _lines(packet, own, lists))
    if is_closed(text, packet.rdf):
        return _opened(text, packet.rdf, block)
    at = last.end if last else packet.rdf.inner
    return at, at, block


def _lines(packet: Packet, own: Own, lists: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """The lines of the block."""
    rdf = name_in(packet.text, packet.rdf).partition(b":")[0].decode("utf-8")
    spaces = {LISTS[name].prefix: LISTS[name].namespace for name in lists} | {"clipcli": OWN}
    yield f"<{rdf}:Description {rdf}:about={quoteattr(about(packet))}"
    *others, (prefix, uri) = spaces.items()
    yield from (f'    xmlns:{prefix}="{uri}"' for prefix, uri in others)
    yield f'    xmlns:{prefix}="{uri}">'
    for name, keywords in lists.items():
        yield from _list_lines(name, LISTS[name].container, keywords, rdf=rdf)
    for name, value in (("Model", own.model), ("Date", own.date), ("Made", "True" if own.made else None)):
        if value is not None:
            yield f"   <clipcli:{name}>{escape(value)}</clipcli:{name}>"
    yield from _list_lines("clipcli:Labels", "Seq", own.labels, rdf=rdf)
    yield from _list_lines("clipcli:Scores", "Seq", own.scores, rdf=rdf)
    for name, keywords in own.added.items():
        yield from _list_lines(f"clipcli:{LISTS[name].added}", LISTS[name].container, keywords, rdf=rdf)
    yield f"  </{rdf}:Description>"


def _list_lines(name: str, container: str, values: tuple[str, ...], *, rdf: str) -> Iterator[str]:
    if values:
        yield f"   <{name}>"
        yield f"    <{rdf}:{container}>"
        yield from (f"     <{rdf}:li>{escape(value)}</{rdf}:li>" for value in values)
        yield f"    </{rdf}:{container}>"
        yield f"   </{name}>"
