"""What an image may cost: pixels, what is left of truncated files, and metadata that are merely large."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from clipcli.data.reference import digest_of
from clipcli.images.decode import attempt, decode
from clipcli.images.icc import SRGB, matrix_profile
from clipcli.images.isolate import Isolated
from clipcli.images.large_metadata import without_large_metadata
from clipcli.images.limits import Limits, limits_of
from clipcli.images.wanted import look_with
from clipcli.notices import Notices, unsaid
from clipcli.records import WHOLE, ImageItem, Reference, Skipped

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
ACCEPT = Limits(truncated="accept")
MB = 1 << 20


def saved(format: str, image: Image.Image = NOISE, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def why(data: bytes, limits: Limits) -> str:
    """Why these bytes cannot be decoded."""
    skipped = attempt(ImageItem("x", Reference("bytes", member=data)), lambda content: decode(content, limits=limits))
    assert isinstance(skipped, Skipped)
    return skipped.reason


def test_more_pixels_are_allowed_by_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = saved("PNG")
    assert why(data, Limits()) == "too many pixels: 4,096; --max-pixels allows more"
    assert decode(data, limits=Limits(max_pixels=4096)).size == (64, 64)
    assert why(data, Limits(max_pixels=4095)) == "too many pixels: 4,096; --max-pixels allows more"
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_pillows_own_limit_comes_back_with_the_last_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data, seen = saved("PNG"), list[object]()

    def work() -> None:
        for _ in range(20):
            seen.append(decode(data, limits=Limits(max_pixels=5000)).size)
            seen.append(why(data, Limits()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(map(str, seen)) == {"(64, 64)", "too many pixels: 4,096; --max-pixels allows more"}
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF", "JPEG2000"])
def test_what_there_is_of_a_truncated_image_is_seen_if_asked_for(format: str) -> None:
    whole = saved(format, NOISE.convert("L") if format == "GIF" else NOISE)
    data = whole[: len(whole) * 2 // 3]
    if why(data, Limits()) != "truncated":
        assert format in ("GIF", "JPEG2000")
        return
    notices = Notices()
    shown = np.asarray(decode(data, limits=ACCEPT, note=notices.about("a.jpg")))
    # A BMP begins with its last row.
    rows = slice(-8, None) if format == "BMP" else slice(8)
    np.testing.assert_array_equal(shown[rows], np.asarray(decode(whole))[rows])
    assert [event.message for event in notices.events()] == [
        "1 image is truncated, a.jpg: labelled by what there is of them; copy them anew"
    ]
    assert why(data, Limits()) == "truncated"


def test_of_a_truncated_image_of_which_there_is_nothing_nothing_is_made_up() -> None:
    whole = saved("PNG")
    assert why(whole[:60], ACCEPT) == "truncated"
    assert why(whole[:4], ACCEPT) == "not an image"


def test_a_whole_image_is_the_same_where_truncated_ones_are_accepted() -> None:
    data, notices = saved("JPEG"), Notices()
    np.testing.assert_array_equal(decode(data, limits=ACCEPT, note=notices.about("a")), decode(data))
    assert list(notices.events()) == []


def test_what_there_is_is_not_remembered() -> None:
    whole = saved("JPEG")
    look = look_with([], digests=True, limits=ACCEPT)
    assert look(whole, WHOLE, unsaid)[1] == digest_of(whole)
    assert look(whole[:-900], WHOLE, unsaid)[1] is None


def test_pillows_switch_is_that_of_each_thread() -> None:
    data = saved("PNG")[:4000]
    decode(data, limits=ACCEPT)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(OSError, match="truncated"):
        decode(data)


def test_a_limit_on_time_or_memory_needs_workers() -> None:
    class Given:
        max_pixels, truncated, isolate, untrusted = 9, "accept", False, False
        decode_timeout: float | None = None
        decode_memory: int | None = None

    assert limits_of(Given()) == Limits(max_pixels=9, truncated="accept")
    for name, value in (("untrusted", True), ("isolate", True), ("decode_timeout", 2.0), ("decode_memory", 500 * MB)):
        given = Given()
        setattr(given, name, value)
        assert limits_of(given).isolate
    assert (limits_of(given).seconds, limits_of(given).memory) == (60.0, 500 * MB)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*chunks: bytes, at_end: bool = False) -> bytes:
    data = saved("PNG")
    at = len(data) - 12 if at_end else 33
    return data[:at] + b"".join(chunks) + data[at:]


def jpeg(marker: int, head: bytes, count: int) -> bytes:
    data = saved("JPEG")
    segment = bytes([0xFF, marker]) + struct.pack(">H", 65535) + head + b"x" * (65533 - len(head))
    return data[:2] + segment * count + data[2:]


def bomb() -> bytes:
    """What unpacks to 512 MB."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(16 * MB)) for _ in range(32)) + packer.flush()


BOMB = bomb()
LARGE = os.urandom(MB) * 8
EXIF = b"Exif\0\0MM\0*\0\0\0\x08"
MADE: dict[str, Callable[[], bytes]] = {
    "JPEG, comments": lambda: jpeg(0xFE, b"", 200),
    "JPEG, extended XMP": lambda: jpeg(0xE1, b"http://ns.adobe.com/xmp/extension/\0", 200),
    "JPEG, EXIF in many parts": lambda: jpeg(0xE1, EXIF, 600),
    "JPEG, profile": lambda: jpeg(0xE2, b"ICC_PROFILE\0\1\1", 200),
    "JPEG, Photoshop": lambda: jpeg(0xED, b"Photoshop 3.0\0", 200),
    "JPEG, several pictures": lambda: jpeg(0xE2, b"MPF\0", 200),
    "PNG, workflow": lambda: png(chunk(b"tEXt", b"workflow\0" + b"a" * (70 * MB))),
    "PNG, packed text": lambda: png(chunk(b"zTXt", b"c\0\0" + BOMB)),
    "PNG, packed text at the end": lambda: png(chunk(b"zTXt", b"c\0\0" + BOMB), at_end=True),
    "PNG, packed international text": lambda: png(chunk(b"iTXt", b"c\0\1\0\0\0" + BOMB)),
    "PNG, packed profile": lambda: png(chunk(b"iCCP", b"c\0\0" + BOMB)),
    "PNG, many packed texts": lambda: png(*[chunk(b"zTXt", b"c\0\0" + zlib.compress(bytes(MB - 5)))] * 80),
    "PNG, EXIF": lambda: png(chunk(b"eXIf", EXIF[6:] + LARGE)),
    "WebP, EXIF": lambda: saved("WEBP", lossless=True, exif=EXIF + LARGE),
    "WebP, XMP": lambda: saved("WEBP", lossless=True, xmp=LARGE),
    "WebP, profile": lambda: saved("WEBP", lossless=True, icc_profile=LARGE),
    "TIFF, description": lambda: saved("TIFF", tiffinfo={270: "a" * len(LARGE)}),
    "TIFF, numbers": lambda: saved("TIFF", tiffinfo={65000: (1,) * MB}),
    "TIFF, XMP": lambda: saved("TIFF", tiffinfo={700: LARGE}),
    "GIF, comments": lambda: saved("GIF", comment=b"c" * MB),
}


@pytest.fixture(scope="module")
def within() -> Iterator[Isolated]:
    """Decodes in 250 MB of memory and ten seconds: four times the largest of these files, and no more."""
    from clipcli.images.wanted import Wanted

    isolated = Isolated(Wanted(limits=Limits(isolate=True, memory=320 * MB, seconds=30)))
    yield isolated
    isolated.close()


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("name", MADE)
def test_large_metadata_cost_no_label_and_little_memory(name: str, within: Isolated) -> None:
    plain = saved(name.partition(",")[0], **({"lossless": True} if "WebP" in name else {}))
    found = within.pixels(ImageItem(name, Reference("bytes", member=MADE[name]())))
    assert not isinstance(found, Skipped), found.reason
    np.testing.assert_array_equal(found[0][0], np.asarray(decode(plain)))


def test_a_large_profile_of_a_png_is_used() -> None:
    red, green, blue, white = SRGB
    swapped = matrix_profile((blue, green, red, white), gamma=2.2)
    large = struct.pack(">I", len(swapped) + 3 * MB) + swapped[4:] + os.urandom(3 * MB)
    image = Image.new("RGB", (4, 4), (200, 20, 30))
    data = saved("PNG", image)
    small, profile = without_large_metadata(data[:33] + chunk(b"iCCP", b"c\0\0" + zlib.compress(large)) + data[33:])
    assert (small, profile) == (data, large)


def test_metadata_that_are_small_stay() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for data in (saved("PNG", exif=exif), saved("JPEG", exif=exif), png(chunk(b"tEXt", b"a\0b")), b"GIF8", b""):
        assert without_large_metadata(data) == (data, None)
        assert without_large_metadata(data)[0] is data
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>')
    many = [chunk(b"zTXt", b"c\0\0" + BOMB), xmp]
    tall = Image.new("RGB", (20, 10))
    data = saved("PNG", tall)
    assert decode(data[:33] + b"".join(many) + data[33:]).size == (10, 20)
