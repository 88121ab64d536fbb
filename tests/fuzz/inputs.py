"""Bytes for the readers: the seeds, and what a few edits make of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from fuzz.targets import TARGETS

FOLDER = Path(__file__).parent
# What readers of text, of archives and of numbers stumble over.
TOKENS = (
    *(
        b"",
        b"\0",
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
        b",",
        b";",
        b":",
        b'"',
        b"'",
        b"''",
        b"#",
        b"-",
        b"- ",
        b"{}",
        b"{",
        b"}",
    ),
    *(b"[", b"]", b"[[", b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"1" * 5000, b"0x", b"~", b"|"),
    *(b"\xff", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\udc80", b"\\u0000", b"\xe2\x80\xa8"),
    *(
        b"&a ",
        b"*a",
        b"!!python/object/apply:os.system [x]",
        b"!!set",
        b"!!binary x",
        b"? ",
        b"<<: ",
        b"%YAML 9",
        b"2001-99-99",
    ),
    *(
        b"[" * 3000,
        b"{a: " * 3000,
        b'{"a":' * 3000,
        b"<a>" * 3000,
        b"../",
        b"/",
        b"@",
        b"*",
        b"{000..999999999}",
        b"\\",
        b"label",
    ),
    *(
        b"path",
        b"image",
        b"error",
        b"score",
        b"PK\x05\x06",
        b"PK\x03\x04",
        b"\x80\x04",
        b"cos\nsystem\n",
        b"\xff\xff\xff\xff",
    ),
    *(b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", b"&b;", b"__class__", b"apostrophe_before"),
)
# A place in the data and a length, both as shares of it, and what goes there.
Edit = tuple[float, float, bytes]


def seeds_of(target: str) -> list[Path]:
    """The seeds of a target, and the inputs that it has failed on."""
    found = [path for name in ("seeds", "crashes") for path in sorted((FOLDER / name).glob(f"{target}*"))]
    return [path for path in found if path.name.partition(".")[0].partition("-")[0] == target]


SEEDS = {target: seeds_of(target) for target in TARGETS}


def edited(data: bytes, edits: Sequence[Edit]) -> bytes:
    """The data after these edits."""
    for at, length, put in edits:
        begin = int(at * len(data))
        end = begin + int(length * length * length * (len(data) - begin))
        data = data[:begin] + put + data[end:]
    return data


def random_edits(random: Random, others: Sequence[bytes]) -> list[Edit]:
    """A few edits: tokens, bytes, and parts of other data."""
    edits = []
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        kind = random.random()
        if kind < 0.5:
            put = random.choice(TOKENS)
        elif kind < 0.8:
            put = random.randbytes(random.choice((1, 1, 2, 4, 8)))
        else:
            other = random.choice(others)
            begin = random.randrange(len(other) + 1)
            put = other[begin : begin + random.choice((4, 40, 400))]
        edits.append((random.random(), random.choice((0.0, 0.0, 0.1, random.random())), put))
    return edits
