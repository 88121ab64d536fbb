"""XMP is changed in its text alone: what clipcli adds can be taken out again to the byte, and nothing else changes."""

from __future__ import annotations

import codecs
import re

import pytest

from clipcli.actions.keywords import Wanted, as_keyword, tagged, untagged
from clipcli.actions.xml_places import BadXml
from clipcli.actions.xmp import LISTS, own_of, read_packet
from clipcli.actions.xmp_edit import EMPTY

DOG = Wanted(paths=(("animal", "dog"),), scores=("0.9",), model="tiny", date="2026-01-01T00:00:00+00:00")
FLAT = Wanted(paths=(("dog",),), scores=("0.9",), model="tiny", date="2026-01-01T00:00:00+00:00")
OTHER = Wanted(paths=(("cat",),), scores=("0.7",), model="tiny", date="2026-02-02T00:00:00+00:00")
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'


def packet(inside: str, *, more: str = "") -> bytes:
    """A sidecar as programs write it, with attributes, Windows' line ends and a comment."""
    text = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.6-c140">
 <rdf:RDF {RDF}>
  <!-- kept > as it is -->
  <rdf:Description rdf:about='uuid:7'
    xmlns:xmp="http://ns.adobe.com/xap/1.0/" {DC}
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
   xmp:Rating="3"
   xmp:CreatorTool='a > "b" &amp; c'>
{inside}
   <xmp:Nickname><![CDATA[ <a> ]]></xmp:Nickname>
  </rdf:Description>{more}
 </rdf:RDF>
</x:xmpmeta>
"""
    return text.replace("\n", "\r\n").encode()


def listed(name: str, *keywords: str, container: str = "Bag") -> str:
    items = "".join(f"\n     <rdf:li>{keyword}</rdf:li>" for keyword in keywords)
    return f"   <{name}>\n    <rdf:{container}>{items}\n    </rdf:{container}>\n   </{name}>"


def keywords(data: bytes | None, name: str = "dc:subject") -> tuple[str, ...] | None:
    assert data is not None
    return read_packet(data).listed(LISTS[name].key)


MINE = packet(listed("dc:subject", "mine", "Tree"))
SOMEBODY_ELSES = {
    "with keywords": MINE,
    "without keywords": packet(""),
    "in a Seq": packet(listed("dc:subject", "mine", container="Seq")),
    "on one line": re.sub(rb"\s*\r\n\s*(?=<)", b"", MINE),
    "in several blocks": packet("", more=f"<rdf:Description rdf:about='uuid:7' {DC}>{listed('dc:subject', 'x')}"
    "</rdf:Description>"),
    "with a hierarchy": packet(listed("lr:hierarchicalSubject", "a|b") + listed("digiKam:TagsList", "a/b")),
    "with a wrapper": b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + MINE + b"\n" * 9
    + b'<?xpacket end="w"?>',
    "with a declaration": b'<?xml version="1.0" encoding="UTF-8"?>\n' + MINE,
    "with a mark": codecs.BOM_UTF8 + MINE,
    "in UTF-16": MINE.decode().encode("utf-16"),
    "in UTF-16 without a mark": MINE.decode().encode("utf-16-be"),
    "in Latin-1": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + MINE.replace(b"mine", "größe".encode("latin-1")),
    "with another prefix": MINE.replace(b"rdf:", b"r:").replace(b":rdf", b":r").replace(b"dc:", b"d:").replace(
        b":dc", b":d"
    ),
    "with rdf:RDF alone": re.sub(rb"</?x:xmpmeta[^>]*>\r\n", b"", MINE),
}  # fmt: skip


@pytest.mark.parametrize("before", SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES)
@pytest.mark.parametrize("wanted", [DOG, FLAT], ids=["hierarchy", "flat"])
def test_untagged_is_what_it_was_to_the_byte(before: bytes, wanted: Wanted) -> None:
    after = tagged(before, wanted)
    assert {"dog", *(keywords(before) or ())} <= set(keywords(after) or ())
    assert untagged(after) == before
    assert tagged(after, wanted) is after
    assert untagged(before) is before


@pytest.mark.parametrize("before", SOMEBODY_ELSES.values(), ids=SOMEBODY_ELSES)
def test_text_is_only_added(before: bytes) -> None:
    after = iter(tagged(before, DOG))
    assert all(byte in after for byte in before)


def test_other_labels_replace_those_of_before_alone() -> None:
    first = tagged(MINE, DOG)
    assert keywords(first) == ("mine", "Tree", "dog", "animal")
    second = tagged(first, OTHER)
    assert keywords(second) == ("mine", "Tree", "cat")
    assert keywords(second, "lr:hierarchicalSubject") is None
    own = own_of(read_packet(second))
    assert own is not None
    assert (own.labels, own.scores, own.model, own.date) == (("cat",), ("0.7",), "tiny", OTHER.date)
    assert untagged(second) == MINE


def test_a_new_date_alone_is_no_change() -> None:
    first = tagged(MINE, FLAT)
    later = Wanted(paths=FLAT.paths, scores=FLAT.scores, model=FLAT.model, date=OTHER.date)
    assert tagged(first, later) is first
    assert tagged(first, Wanted(paths=FLAT.paths, scores=("0.8",), model="tiny", date=OTHER.date)) != first


def test_a_keyword_that_a_person_wrote_is_not_taken_out() -> None:
    before = packet(listed("dc:subject", "Dog", "cafe\u0301"))
    for name in ("dog", "caf\xe9"):
        after = tagged(before, Wanted(paths=((name,),), scores=("1",), model=None, date=None))
        assert keywords(after) == ("Dog", "cafe\u0301")
        assert untagged(after) == before
    # One that was added again by hand is there twice.
    twice = tagged(MINE, FLAT).replace(b"<rdf:li>Tree", b"<rdf:li>dog</rdf:li><rdf:li>Tree")
    assert keywords(twice) == ("mine", "dog", "Tree", "dog")
    assert keywords(untagged(twice)) == ("mine", "dog", "Tree")


def test_a_keyword_that_a_person_took_out_stays_out() -> None:
    first = tagged(MINE, DOG)
    without = first.replace(b"\r\n     <rdf:li>animal</rdf:li>", b"", 1)
    assert keywords(without) == ("mine", "Tree", "dog")
    assert tagged(without, DOG) is without
    both = Wanted(paths=(("animal", "dog"), ("animal", "cat")), scores=("0.9", "0.1"), model="tiny", date=None)
    assert keywords(tagged(without, both)) == ("mine", "Tree", "dog", "cat")
    assert untagged(without) == MINE


def test_hierarchies_as_each_program_parts_them() -> None:
    wanted = Wanted(paths=(("animal", "dog", "beagle"), ("a/c", "x|y")), scores=("0.9", "0.1"), model=None, date=None)
    new = tagged(None, wanted)
    assert keywords(new) == ("beagle", "dog", "animal", "x|y", "a/c")
    assert keywords(new, "lr:hierarchicalSubject") == ("animal|dog|beagle", "a/c|x-y")
    assert keywords(new, "digiKam:TagsList") == ("animal/dog/beagle", "a-c/x|y")
    assert keywords(new, "MicrosoftPhoto:LastKeywordXMP") is None


def test_a_new_list_has_the_keywords_that_are_there() -> None:
    """darktable reads `dc:subject` only where there is no `lr:hierarchicalSubject`, and digiKam no list but the first:
    https://github.com/darktable-org/darktable/blob/master/src/common/exif.cc"""
    assert keywords(tagged(MINE, DOG), "lr:hierarchicalSubject") == ("animal|dog", "mine", "Tree")
    one = packet(listed("lr:hierarchicalSubject", "place|Rome") + "\n" + listed("dc:subject", "rome", "me"))
    after = tagged(one, DOG)
    assert keywords(after, "lr:hierarchicalSubject") == ("place|Rome", "animal|dog")
    assert keywords(after, "digiKam:TagsList") == ("animal/dog", "place/Rome", "me")
    assert untagged(after) == one


def test_a_flat_label_goes_into_the_lists_that_are_there() -> None:
    assert keywords(tagged(MINE, FLAT), "digiKam:TagsList") is None
    one = packet(listed("digiKam:TagsList", "x/y", container="Seq") + listed("MicrosoftPhoto:LastKeywordXMP", "x/y"))
    after = tagged(one, FLAT)
    assert keywords(after, "digiKam:TagsList") == ("x/y", "dog")
    assert keywords(after, "MicrosoftPhoto:LastKeywordXMP") == ("x/y", "dog")
    assert keywords(after, "lr:hierarchicalSubject") is None
    assert untagged(after) == one


def test_what_clipcli_made_goes_whole_unless_somebody_added_to_it() -> None:
    new = tagged(None, DOG)
    assert untagged(new) is None
    rated = new.replace(b" xmlns:clipcli=", b' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3" xmlns:clipcli=')
    rest = untagged(rated)
    assert rest is not None
    assert b'xmp:Rating="3"' in rest
    assert own_of(read_packet(rest)) is None
    # An empty one that is there already is not of clipcli's making.
    assert untagged(tagged(EMPTY, DOG)) == EMPTY


def test_properties_that_became_attributes_are_read_and_taken_out() -> None:
    """As exiv2 and Adobe's toolkit write a packet anew."""
    new = tagged(None, FLAT).decode()
    for name in ("Model", "Date", "Made"):
        value = re.search(rf"\s*<clipcli:{name}>(.*)</clipcli:{name}>", new)
        assert value is not None
        new = new.replace(value[0], "").replace("<rdf:Description", f'<rdf:Description\n   clipcli:{name}="{value[1]}"')
    assert tagged(new.encode(), FLAT) == new.encode()
    assert untagged(new.encode()) is None
    rated = new.replace("<rdf:Description", '<rdf:Description xmp:Rating="3" xmlns:xmp="http://ns.adobe.com/xap/1.0/"')
    rest = untagged(rated.encode())
    assert rest is not None
    assert b"clipcli:" not in rest
    assert b'xmp:Rating="3"' in rest


def test_an_empty_list_is_filled() -> None:
    for empty in ("<rdf:Bag/>", "<rdf:Bag></rdf:Bag>", "<rdf:Bag>\n    </rdf:Bag>"):
        after = tagged(packet(f"<dc:subject>{empty}</dc:subject>"), FLAT)
        assert keywords(after) == ("dog",)
        assert after.count(b"dc:subject") == 2


def test_what_xml_escapes_comes_back() -> None:
    name = "R&D <new> \"x\" 'y' 猫 🐕"
    after = tagged(MINE, Wanted(paths=((name,),), scores=("1",), model="a&b", date=None))
    assert keywords(after) == ("mine", "Tree", name)
    assert untagged(after) == MINE
    latin = SOMEBODY_ELSES["in Latin-1"]
    after = tagged(latin, Wanted(paths=((name,),), scores=("1",), model=None, date=None))
    assert b"&#29483;" in after
    assert keywords(after) == ("größe", "Tree", name)
    assert untagged(after) == latin


@pytest.mark.parametrize(
    ("name", "keyword"), [("a\nb\tc", "a b c"), (" x  y ", "x y"), ("a\x00b\ud800", "a b"), ("\x01", ""), ("é", "é")]
)
def test_a_name_as_a_keyword(name: str, keyword: str) -> None:
    assert as_keyword(name) == keyword


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "broken XML: no element found, line 1"),
        (b"\xff\xd8\xff", "no text in UTF-8"),
        (MINE[:300], "broken XML: unclosed token, line 4"),
        (b"<html/>", "no rdf:RDF in it"),
        (b'<?xml version="1.0" encoding="x-none"?>' + MINE, "no text in X-NONE"),
        (BOMB.encode() + MINE, "a DOCTYPE in it, which XMP does not have"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + MINE, "a DOCTYPE in it, which XMP does not have"),
        (MINE.replace(b"mine", b"&b;"), "broken XML: undefined entity, line 12"),
        (packet("   <dc:subject>x</dc:subject>"), "dc:subject that is no list"),
        (MINE.replace(b"xmp:Rating", b"dc:subject"), "dc:subject that is no list"),
        (
            MINE.replace(b"xmp:Rating", b'xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP'),
            "XMP that goes on in other parts of the file",
        ),
    ],
)
def test_what_is_no_such_xmp_is_not_changed(data: bytes, reason: str) -> None:
    for change in (lambda: tagged(data, DOG), lambda: untagged(data)):
        with pytest.raises(BadXml) as error:
            change()
        assert str(error.value) == reason
