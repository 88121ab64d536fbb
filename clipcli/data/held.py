"""Images that a program gives in place of paths: PIL images, arrays and open files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clipcli.data.reference import NoImage
from clipcli.errors import UsageError
from clipcli.records import Held, ImageItem, Reference
from clipcli.settings import Reads, as_text

if TYPE_CHECKING:
    from typing import BinaryIO

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    Input = str | os.PathLike[str] | Image.Image | NDArray[np.uint8] | BinaryIO
    AsInputs = Reads[Input | Iterable[Input], tuple[str | ImageItem, ...]]

# The type of inputs in Python, as source.
_ONE = "str | Path | Image | NDArray[uint8] | BinaryIO"
ACCEPTS = f"{_ONE} | Iterable[{_ONE}]"
_TAKEN = "give paths, PIL images, numpy arrays or binary file objects, one or a list of them"
_SHAPES = "an image is uint8 [H, W, 3] in RGB, [H, W, 4] with alpha, or [H, W] in grey"
_TEXT_KINDS = "USOT"


def read_inputs(value: Any) -> tuple[str | ImageItem, ...]:
    """One input or several as texts and images, in order; images of generators are copied as they come.

    An image is called by the file that it was opened from, or by its place, as in `inputs[3]`. Raises `UsageError` for
    anything else, with what is taken.
    """
    if isinstance(value, str | os.PathLike | ImageItem) or _is_image(value) or hasattr(value, "read"):
        return (_input(value, "inputs[0]", {}),)
    if isinstance(value, bytes | bytearray):
        raise _refused("inputs are", value)
    if isinstance(value, Mapping) or hasattr(value, "columns"):
        part = "its values" if isinstance(value, Mapping) else "one of its columns, as in table['path']"
        raise UsageError(f"inputs are of type {type(value).__name__}; give {part}")
    if not hasattr(value, "__iter__"):
        raise _refused("inputs are", value)
    # What makes images one after another may use the same memory for each.
    may_change = not hasattr(value, "__len__")
    held: dict[int, Held] = {}
    return tuple(_input(one, f"inputs[{n}]", held, copy=may_change) for n, one in enumerate(value))


def names_of(inputs: tuple[str | ImageItem, ...]) -> list[str]:
    """The inputs as texts, for manifests."""
    return [one.id if isinstance(one, ImageItem) else one for one in inputs]


def copied(held: Held) -> Image.Image:
    """An upright copy of the image, which may be changed; what is said of its colours goes with it.

    Raises what Pillow raises, and `NoImage` for one of no pixels.
    """
    from PIL import Image, ImageOps

    if not held.pixels:
        raise NoImage("an image of no pixels")
    if _is(held.image, "numpy", "ndarray"):
        return Image.fromarray(held.image)
    # An image may be given twice, and its file is read at its first use.
    with held.lock:
        image = ImageOps.exif_transpose(held.image)
    image.format = held.image.format
    if hasattr(held.image, "tag_v2"):
        # The white of a TIFF is read off its tags.
        image.info["tag_v2"] = held.image.tag_v2
    return image


def _input(value: Any, place: str, held: dict[int, Held], *, copy: bool = False) -> str | ImageItem:
    """One input; `held` has the images before it, since one that is given twice has one lock."""
    if isinstance(value, ImageItem):
        return value
    # YAML reads a folder named 2023 as a number.
    if isinstance(value, str | os.PathLike) or type(value) is int:
        return as_text(value)
    if _is_image(value):
        _check_array(value, place)
        image = _own(Held(value)) if copy else held.setdefault(id(value), Held(value))
        return _item(getattr(value, "filename", None), place, Reference("held", member=image))
    if hasattr(value, "read"):
        return _item(getattr(value, "name", None), place, Reference("bytes", member=_content(value, place)))
    raise _refused(f"{place} is", value)


def _refused(what: str, value: Any) -> UsageError:
    is_bytes = isinstance(value, bytes | bytearray)
    return UsageError(
        f"{what} of type {type(value).__name__}; {'give io.BytesIO of the bytes of an image' if is_bytes else _TAKEN}"
    )


def _item(name: object, place: str, reference: Reference) -> ImageItem:
    return ImageItem(name if isinstance(name, str) and name else place, reference)


def _is_image(value: Any) -> bool:
    """True for a PIL image and an array of numbers."""
    is_array = _is(value, "numpy", "ndarray") and value.dtype.kind not in _TEXT_KINDS
    return is_array or _is(value, "PIL.Image", "Image")


def _check_array(value: Any, place: str) -> None:
    """Raise `UsageError` for an array that is no image."""
    if not _is(value, "numpy", "ndarray"):
        return
    has_shape = value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (3, 4))
    if not has_shape or value.dtype.name != "uint8":
        shape = f"[{', '.join(map(str, value.shape))}]"
        advice = _advice(value, has_shape=has_shape)
        raise UsageError(f"{place} is an array {value.dtype.name} {shape}{advice}; {_SHAPES}")


def _advice(array: NDArray[Any], *, has_shape: bool) -> str:
    """What to do with an array that is no image, where that is clear."""
    if array.ndim == 4:
        return "; give a batch as list(images)"
    if array.ndim == 3 and not has_shape and array.shape[0] in (3, 4):
        return "; put its channels last, as image.transpose(1, 2, 0) does"
    if array.dtype.kind == "f":
        return "; make whole numbers of values from 0 to 1 by (255 * image).round().astype('uint8')"
    return ""


def _is(value: Any, module: str, name: str) -> bool:
    """True for an instance of a class of a module, which is not loaded to see that."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _own(held: Held) -> Held:
    """The same image, in memory of its own; as it is where it cannot be read, which is said beside its row."""
    try:
        image = held.image.copy() if _is(held.image, "numpy", "ndarray") else copied(held)
    # Pillow's decoders raise nearly any exception on a broken file, and no image is one of no pixels.
    except Exception:
        return held
    return replace(held, image=image)


def _content(file: Any, place: str) -> bytes:
    """All bytes of an open file, from its beginning if it can go there, as Pillow reads one."""
    if getattr(file, "seekable", lambda: False)():
        file.seek(0)
    content = file.read()
    if not isinstance(content, bytes):
        raise UsageError(f"{place} is a file of text; open it in binary mode, as in open(path, 'rb')")
    return content
