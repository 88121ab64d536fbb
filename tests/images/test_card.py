"""The card's way to decode gives nearly Pillow's pixels, in order, and Pillow's reasons. Here it is the processor's."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_data import in_memory

import clipcli
from clipcli.backbones.preprocessing import Preprocessing
from clipcli.data.reference import digest_of
from clipcli.encoding import encode
from clipcli.errors import UsageError
from clipcli.images import card
from clipcli.images.card import Jpeg, groups, plain_jpeg
from clipcli.images.decode import decode, read_pixels
from clipcli.images.kinds import check_decode
from clipcli.images.limits import Limits
from clipcli.images.resize import resizer
from clipcli.images.threads import DecodeThreads
from clipcli.records import Batch, Frame, ImageItem, Reference, Remembered, Skipped


def preprocessing(
    resize_mode: str = "shortest", size: tuple[int, int] = (32, 32), interpolation: str = "bicubic"
) -> Preprocessing:
    """A checkpoint's."""
    return Preprocessing(size, resize_mode, interpolation, (0.5,) * 3, (0.5,) * 3, fill_color=7)


def smooth(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A picture without detail, whose corners differ."""
    colours = np.random.default_rng(0).integers(60, 200, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """Its bytes."""
    stream = io.BytesIO()
    image.save(stream, format, **({"quality": 95} | options if format == "JPEG" else options))
    return stream.getvalue()


def item(n: int, data: bytes) -> ImageItem:
    """An image of these bytes."""
    return in_memory(f"{n}", data)


def decoded(data: list[bytes], *, as_: Preprocessing | None = None, batch_size: int = 4) -> list[Batch]:
    """All batches of the card's way."""
    return list(
        card.batches(
            [item(n, one) for n, one in enumerate(data)],
            preprocessing=as_ or preprocessing(),
            device="cpu",
            batch_size=batch_size,
            threads=DecodeThreads(2),
        )
    )


@pytest.fixture
def on_card(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many JPEGs were decoded together, each time."""
    log: list[int] = []
    decode_on = card.decode_on

    def logged(device: str, jpegs: list[Jpeg], **more: Any) -> Any:
        log.append(len(jpegs))
        return decode_on(device, jpegs, **more)

    monkeypatch.setattr(card, "decode_on", logged)
    return log


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_pixels_are_nearly_pillows(
    resize_mode: str, interpolation: str, size: tuple[int, int], on_card: list[int]
) -> None:
    way = preprocessing(resize_mode, size, interpolation)
    sizes = [(90, 40), (33, 71), (17, 20), (32, 32), (301, 200), (640, 511)]
    data = [saved(smooth(*each)) for each in sizes]
    (batch,) = decoded(data, as_=way, batch_size=8)
    assert batch.pixels.dtype == np.uint8
    assert batch.pixels.shape == (len(sizes), *size, 3)
    assert batch.pixels.flags.c_contiguous
    for one, pixels in zip(data, batch.pixels, strict=True):
        expected = np.array(resizer(way)(decode(one)), int)
        assert np.abs(pixels - expected).mean() < 1
        assert np.abs(pixels - expected).max() <= 6
    assert on_card == [len(sizes)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(32, 32), (16, 40)])
def test_photos_are_turned_upright(orientation: int, size: tuple[int, int], on_card: list[int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(smooth(120, 70), exif=exif)
    way = preprocessing("squash", size)
    (batch,) = decoded([data], as_=way)
    assert np.abs(batch.pixels[0] - np.array(resizer(way)(decode(data)), int)).max() <= 4
    assert on_card == [1]


def test_grey_is_decoded_there_too(on_card: list[int]) -> None:
    data = saved(smooth(60, 50, "L"))
    (batch,) = decoded([data])
    assert np.abs(batch.pixels[0] - np.array(resizer(preprocessing())(decode(data)), int)).max() <= 3
    assert on_card == [1]


@pytest.mark.parametrize(
    "data",
    [
        saved(smooth(60, 50, "CMYK")),
        saved(smooth(60, 50), progressive=True),
        saved(smooth(60, 50), keep_rgb=True),
        saved(smooth(60, 50)) + b"more",
        saved(smooth(60, 50), "MPO", save_all=True, append_images=[smooth(60, 50)]),
        saved(smooth(60, 50), "PNG"),
        saved(smooth(60, 50), "WEBP"),
    ],
    ids=["cmyk", "progressive", "rgb", "more after it", "two pictures", "png", "webp"],
)
def test_everything_else_goes_pillows_way(data: bytes, on_card: list[int]) -> None:
    (batch,) = decoded([data])
    np.testing.assert_array_equal(batch.pixels[0], np.array(resizer(preprocessing())(decode(data))))
    assert on_card == []


BAD = [
    b"",
    b"Dear diary",
    b"\xff\xd8\xff",
    b"\xff\xd8\xff\xd9",
    saved(smooth(64, 64))[:900],
    saved(smooth(64, 64), "PNG")[:300],
]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 20])
def test_the_order_is_kept_with_bad_images_and_others_among_them(batch_size: int) -> None:
    good = [saved(Image.new("RGB", (40, 30), (20 * n, 0, 0)), "PNG" if n % 3 == 0 else "JPEG") for n in range(10)]
    data = [*good[:3], *BAD[:3], *good[3:7], *BAD[3:], *good[7:]]
    found = decoded(data, batch_size=batch_size)
    entries = [entry for batch in found for entry in batch.entries]
    assert [e.item.id if isinstance(e, Skipped) else e.id for e in entries] == [f"{n}" for n in range(len(data))]
    assert [len(batch.entries) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
    for one, entry in zip(data, entries, strict=True):
        expected = read_pixels(item(0, one), resizer(preprocessing()))
        reason = expected.reason if isinstance(expected, Skipped) else None
        assert (entry.reason if isinstance(entry, Skipped) else None) == reason
    reds = [int(pixels[:, :, 0].mean().round()) for batch in found for pixels in batch.pixels]
    np.testing.assert_allclose(reds, [20 * n for n in range(10)], atol=2)


def test_what_the_card_refuses_goes_pillows_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("nvjpegDecode failed: 2")

    monkeypatch.setattr(card, "decode_on", refuse)
    data = [saved(smooth(60, 50)), saved(smooth(64, 64))[:900], saved(smooth(70, 50))]
    # Nothing but the card could tell that this one is broken.
    broken = bytearray(data[0])
    broken[400:500] = b"\xff" * 100
    first, second = decoded([*data, bytes(broken)], batch_size=2)
    assert [isinstance(entry, Skipped) for entry in first.entries] == [False, True]
    assert first.notes == ("the card cannot decode JPEGs such as 0: nvjpegDecode failed: 2; Pillow decodes them",)
    assert second.notes == ()
    np.testing.assert_array_equal(first.pixels[0], np.array(resizer(preprocessing())(decode(data[0]))))
    expected = read_pixels(item(0, bytes(broken)), resizer(preprocessing()))
    last = second.entries[1]
    assert (last.reason if isinstance(last, Skipped) else None) == getattr(expected, "reason", None)


def test_remembered_images_are_not_read(calling: Callable[[Callable[[], bytes]], Reference]) -> None:
    def never() -> bytes:
        raise AssertionError("it was read")

    known = Remembered(ImageItem("known", calling(never)), np.zeros(4, np.float32))
    (batch,) = card.batches(
        [known, item(1, saved(smooth(60, 50))), known],
        preprocessing=preprocessing(),
        device="cpu",
        batch_size=4,
        threads=DecodeThreads(1),
    )
    assert batch.entries[0] is batch.entries[2] is known
    assert len(batch.pixels) == 1


def test_at_most_two_batches_are_read_ahead() -> None:
    pulled: list[int] = []

    def items() -> Any:
        for n in range(50):
            pulled.append(n)
            yield item(n, saved(Image.new("L", (2, 2), 0)))

    stream = card.batches(
        items(),
        preprocessing=preprocessing(),
        device="cpu",
        batch_size=4,
        threads=DecodeThreads(1),
    )
    for n in range(1, 4):
        next(stream)
        assert len(pulled) == 4 * (n + 2)
    stream.close()
    assert len(pulled) == 20


def test_large_photos_are_decoded_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, on_card: list[int]) -> None:
    monkeypatch.setattr(card, "_MOST_PIXELS", 10_000)
    data = [saved(smooth(*size)) for size in [(60, 80), (60, 80), (60, 80), (100, 100), (10, 10), (101, 100)]]
    (batch,) = decoded(data, batch_size=8)
    assert len(batch.pixels) == 6
    assert on_card == [2, 1, 1, 1]
    assert list(groups([])) == []


def test_a_plain_jpeg_is_known_by_its_header() -> None:
    data = saved(smooth(60, 50))
    assert plain_jpeg(data) == Jpeg(data, 1, 3000)


def test_classify_gives_a_row_for_each_image(photos: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "bad.jpg").write_bytes(saved(smooth(64, 64))[:900])
    options: dict[str, Any] = {"labels": ["cat", "dog"], "model": model, "cache": False, "score": "cosine", "top_k": 2}
    expected = list(clipcli.classify(photos, **options))
    monkeypatch.setattr(encode, "_decoded", on_a_card)
    rows = list(clipcli.classify(photos, decode="exact", batch_size=2, **options))
    assert [(row.path, row.error) for row in rows] == [(row.path, row.error) for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert dict(zip(row.labels, row.scores, strict=True)) == pytest.approx(
            dict(zip(other.labels, other.scores, strict=True)), abs=0.02
        )


@pytest.mark.parametrize("way", ["fast", "exact", "card"])
def test_the_card_decodes_only_where_it_was_asked_to(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(card, "batches", lambda *_, **asked: called.append(asked["device"]) or iter(()))
    backbone: Any = SimpleNamespace(preprocessing=preprocessing(), runtime=SimpleNamespace(device="cuda", batch_size=4))
    assert list(encode._decoded([], [backbone], decode=way, threads=DecodeThreads(1))) == []
    assert called == (["cuda"] if way == "card" else [])


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_without_a_card_there_is_an_error(device: str) -> None:
    check_decode("card", device="cuda")
    with pytest.raises(UsageError, match=f"no NVIDIA card decodes on {device}; give --decode exact or fast"):
        check_decode("card", device=device)


def test_a_card_decodes_nothing_for_workers() -> None:
    with pytest.raises(UsageError, match="--isolate keeps images from this process"):
        check_decode("card", device="cuda", isolate=True)
    check_decode("exact", device="cuda", isolate=True)


def test_on_a_card_a_stream_of_its_own_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, entered, asked = object(), [], []

    @contextmanager
    def using(one: object) -> Iterator[None]:
        entered.append(one)
        yield

    def decode_on(device: str, jpegs: list[Jpeg], **_: Any) -> torch.Tensor:
        asked.append((device, len(entered)))
        return torch.zeros(len(jpegs), 32, 32, 3, dtype=torch.uint8)

    monkeypatch.setattr(torch.cuda, "Stream", lambda _: stream)
    monkeypatch.setattr(torch.cuda, "stream", using)
    monkeypatch.setattr(card, "decode_on", decode_on)
    (batch,) = card.batches(
        [item(0, saved(smooth(60, 50)))],
        preprocessing=preprocessing(),
        device="cuda",
        batch_size=4,
        threads=DecodeThreads(1),
    )
    assert not batch.pixels.any()
    assert (entered, asked) == ([stream], [("cuda", 1)])


def on_a_card(items: Any, backbones: Any, *, threads: DecodeThreads, **_: Any) -> Any:
    """Batches as if the model were on a card, which is the processor."""
    [backbone] = backbones
    way, size = backbone.preprocessing, backbone.runtime.batch_size
    return ((one,) for one in card.batches(items, preprocessing=way, device="cpu", batch_size=size, threads=threads))


def test_images_are_hashed_where_that_is_asked_for(on_card: list[int]) -> None:
    data = [saved(smooth(60, 50)), b"bad", saved(smooth(60, 50), "PNG")]
    items = [item(n, one) for n, one in enumerate(data)]
    settings: dict[str, Any] = {"preprocessing": preprocessing(), "device": "cpu", "batch_size": 4}
    (batch,) = card.batches(items, **settings, threads=DecodeThreads(1), digests=True)
    digests = [digest_of(data[0]), None, digest_of(data[2])]
    assert [getattr(entry, "digest", None) for entry in batch.entries] == digests
    assert on_card == [1]
    (batch,) = card.batches(items, **settings, threads=DecodeThreads(1))
    assert all(getattr(entry, "digest", None) is None for entry in batch.entries)


def test_the_frame_that_is_asked_for_is_decoded() -> None:
    frames = [smooth(60, 50), smooth(60, 50).rotate(180)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    items = [
        replace(one, reference=replace(one.reference, frame=Frame(n, 2)))
        for n, one in enumerate([item(0, data), item(1, data)])
    ]
    settings: dict[str, Any] = {"preprocessing": preprocessing(), "device": "cpu", "batch_size": 4, "digests": True}
    (batch,) = card.batches(items, **settings, threads=DecodeThreads(1))
    for n, (entry, pixels) in enumerate(zip(batch.entries, batch.pixels, strict=True)):
        np.testing.assert_array_equal(pixels, np.array(resizer(preprocessing())(frames[n])))
        assert getattr(entry, "digest", None) == digest_of(data, Frame(n, 2))


def test_what_there_is_of_a_truncated_image_is_not_remembered(on_card: list[int]) -> None:
    whole = saved(smooth(300, 200))
    (batch,) = card.batches(
        [item(0, whole[: len(whole) // 2]), item(1, whole)],
        preprocessing=preprocessing(),
        device="cpu",
        batch_size=4,
        threads=DecodeThreads(1),
        digests=True,
        limits=Limits(truncated="accept"),
    )
    assert [getattr(entry, "digest", None) for entry in batch.entries] == [None, digest_of(whole)]
    assert (len(batch.pixels), on_card) == (2, [1])


def test_torchcodec_decodes_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's decoder warns from version 0.29 on that it will go."""
    asked: list[tuple[int, str, str]] = []

    def decode_jpeg(data: list[torch.Tensor], *, mode: str, device: str) -> list[torch.Tensor]:
        asked.append((len(data), mode, device))
        return [torch.full((3, 40, 60), 7, dtype=torch.uint8) for _ in data]

    monkeypatch.setitem(sys.modules, "torchcodec", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", SimpleNamespace(decode_jpeg=decode_jpeg))
    [batch] = decoded([saved(smooth(60, 40)), saved(smooth(60, 40))])
    assert asked == [(2, "RGB", "cpu")]
    assert (batch.pixels == 7).all()


@pytest.mark.parametrize("module", [None, SimpleNamespace()], ids=["not installed", "older"])
def test_torchvision_decodes_where_torchcodec_is_not(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", module)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    [batch] = decoded([saved(smooth(60, 40))])
    assert batch.pixels.shape == (1, 32, 32, 3)
    assert batch.notes == ()
