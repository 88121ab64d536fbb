"""Images that a program gives in place of paths: which are taken, what they are called, and what is refused."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageSequence

import clipcli
from clipcli.data.held import copied, names_of, read_inputs
from clipcli.data.images import list_images
from clipcli.errors import InputNotFound, UsageError
from clipcli.records import Held, ImageItem, Reference

RED = Image.new("RGB", (4, 3), "red")
GREY = np.full((3, 4), 7, np.uint8)


def held(one: str | ImageItem) -> Any:
    """The image or the bytes of an input that is no path."""
    assert isinstance(one, ImageItem)
    return one.reference.member.image if isinstance(one.reference.member, Held) else one.reference.member


def png(image: Image.Image = RED) -> io.BytesIO:
    """An open file, at its end, as `save` leaves it."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream


def test_images_and_paths_are_mixed_in_order(tmp_path: Path) -> None:
    file = tmp_path / "b.png"
    RED.save(file)
    with open(file, "rb") as stream, Image.open(file) as opened:
        inputs = read_inputs(["a.jpg", RED, Path("c.jpg"), GREY, opened, stream, png(), np.str_("d.jpg")])
    assert names_of(inputs) == [
        *("a.jpg", "inputs[1]", "c.jpg", "inputs[3]", str(file), str(file), "inputs[6]", "d.jpg"),
    ]
    assert [one for one in inputs if isinstance(one, str)] == ["a.jpg", "c.jpg", "d.jpg"]
    assert held(inputs[1]) is RED
    assert held(inputs[3]) is GREY
    assert held(inputs[5]) == file.read_bytes()
    assert held(inputs[6]) == png().getvalue()


@pytest.mark.parametrize("image", [RED, GREY, np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4, 4), np.uint8), png()])
def test_one_image_needs_no_list(image: Any) -> None:
    assert names_of(read_inputs(image)) == ["inputs[0]"]


def test_paths_come_from_whatever_gives_them(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with os.scandir(tmp_path) as entries:
        assert read_inputs(entries) == (f"{tmp_path}/a.jpg",)
    expected = ("a.jpg", "b.jpg")
    for given in (pd.Series(expected), np.array(expected), pd.Index(expected), dict.fromkeys(expected).keys()):
        assert read_inputs(given) == expected
    assert read_inputs(Path("a.jpg")) == read_inputs("a.jpg") == ("a.jpg",)
    assert read_inputs([2023]) == ("2023",)
    once = read_inputs([RED, "a"])
    assert read_inputs(once) == once


def test_a_series_of_images_is_a_list_of_them() -> None:
    assert names_of(read_inputs(pd.Series([GREY, RED]))) == ["inputs[0]", "inputs[1]"]


def test_images_of_a_generator_are_copied_as_they_come() -> None:
    buffer = np.zeros((2, 2), np.uint8)

    def frames() -> Iterator[np.ndarray]:
        for level in (1, 2, 3):
            buffer[:] = level
            yield buffer

    assert [held(one)[0, 0] for one in read_inputs(frames())] == [1, 2, 3]
    assert all(held(one) is buffer for one in read_inputs([buffer, buffer]))


def test_the_frames_of_an_animation_are_images_of_their_own() -> None:
    stream = io.BytesIO()
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    first, *others = [Image.new("RGB", (4, 4), colour) for colour in colours]
    first.save(stream, "GIF", save_all=True, append_images=others)
    frames = read_inputs(ImageSequence.Iterator(Image.open(stream)))
    assert [held(frame).convert("RGB").getpixel((0, 0)) for frame in frames] == colours


class Answer:
    """The answer of a server: it can be read once, from where it is."""

    def read(self) -> bytes:
        """All that is left."""
        return b"content"


def test_a_file_that_cannot_go_back_is_read_from_where_it_is() -> None:
    [one] = read_inputs(Answer())
    assert one == ImageItem("inputs[0]", Reference("bytes", member=b"content"))


TAKEN = "give paths, PIL images, numpy arrays or binary file objects, one or a list of them"
IMAGE = "an image is uint8 [H, W, 3] in RGB, [H, W, 4] with alpha, or [H, W] in grey"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, f"inputs are of type int; {TAKEN}"),
        (3.5, f"inputs are of type float; {TAKEN}"),
        (b"a.jpg", "inputs are of type bytes; give io.BytesIO of the bytes of an image"),
        ([RED, b"\xff\xd8"], "inputs[1] is of type bytes; give io.BytesIO of the bytes of an image"),
        ([RED, ["a.jpg"]], f"inputs[1] is of type list; {TAKEN}"),
        (["a.jpg", float("nan")], f"inputs[1] is of type float; {TAKEN}"),
        (["a.jpg", None], f"inputs[1] is of type NoneType; {TAKEN}"),
        ([True], f"inputs[0] is of type bool; {TAKEN}"),
        ({"a": RED}, "inputs are of type dict; give its values"),
        (
            pd.DataFrame({"path": ["a.jpg"]}),
            "inputs are of type DataFrame; give one of its columns, as in table['path']",
        ),
        ([io.StringIO("a")], "inputs[0] is a file of text; open it in binary mode, as in open(path, 'rb')"),
        (
            GREY / 255,
            "inputs[0] is an array float64 [3, 4]; make whole numbers of values from 0 to 1 by"
            f" (255 * image).round().astype('uint8'); {IMAGE}",
        ),
        ([GREY, GREY.astype(np.int32)], f"inputs[1] is an array int32 [3, 4]; {IMAGE}"),
        (GREY.astype(bool), f"inputs[0] is an array bool [3, 4]; {IMAGE}"),
        (np.zeros((9, 5, 2), np.uint8), f"inputs[0] is an array uint8 [9, 5, 2]; {IMAGE}"),
        (np.zeros((9, 5, 1), np.uint8), f"inputs[0] is an array uint8 [9, 5, 1]; {IMAGE}"),
        (np.zeros(7, np.uint8), f"inputs[0] is an array uint8 [7]; {IMAGE}"),
        (
            np.zeros((3, 8, 9), np.uint8),
            f"inputs[0] is an array uint8 [3, 8, 9]; put its channels last, as image.transpose(1, 2, 0) does; {IMAGE}",
        ),
        (
            np.zeros((2, 8, 9, 3), np.uint8),
            f"inputs[0] is an array uint8 [2, 8, 9, 3]; give a batch as list(images); {IMAGE}",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_whatever_else_is_refused_with_what_is_taken(given: Any, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        clipcli.classify(given, labels=["cat", "dog"], model="tiny")
    assert str(raised.value) == message


def test_no_image_at_all_is_no_input() -> None:
    with pytest.raises(InputNotFound, match="no inputs were given"):
        clipcli.classify(iter([]), labels=["cat", "dog"], model="tiny")


def test_images_are_listed_beside_what_paths_name(photos: Path) -> None:
    inputs = read_inputs([RED, photos / "more", GREY])
    assert [item.id for item in list_images(inputs)] == ["inputs[0]", f"{photos}/more/f.jpg", "inputs[2]"]


def test_a_copy_may_be_changed_and_the_image_stays() -> None:
    image = Image.new("RGB", (2, 2), "red")
    image.info["icc_profile"] = b"profile"
    image.format = "PNG"
    copy = copied(Held(image))
    assert (copy.info["icc_profile"], copy.format) == (b"profile", "PNG")
    copy.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_neither_library_is_loaded_to_see_that_a_path_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("numpy", "PIL.Image"):
        monkeypatch.delitem(sys.modules, module)
    assert read_inputs(["a.jpg"]) == ("a.jpg",)
    assert not {"numpy", "PIL.Image"} & sys.modules.keys()
