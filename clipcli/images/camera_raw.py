"""Tells a camera's RAW file of which Pillow shows only a thumbnail."""

from __future__ import annotations

import io

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from clipcli.notices import Note, Notice

THUMBNAIL = Notice(
    "image is only the thumbnail in its file",
    "images are only the thumbnails in their files",
    "of a camera's RAW no more can be read without rawpy; pip install rawpy, or export JPEGs and give those",
)
# A longer side that is smaller than this is a thumbnail's.
_SMALL = 512
# Tags of TIFF files.
_KIND_OF_FRAME, _OLD_KIND_OF_FRAME, _MAKE, _MORE_FRAMES, _DNG_VERSION = 254, 255, 271, 330, 50706
_REDUCED, _OLD_REDUCED = 1, 2
_PHOTOMETRIC, _SENSOR = 262, 32803
_TIFFS = (b"II*\0", b"MM\0*")


def note_thumbnail(image: Image.Image, *, note: Note) -> None:
    """Count an open image as a thumbnail, where it is a small first frame of a TIFF that says so, or of a RAW."""
    if not isinstance(image, TiffImageFile) or max(image.size) >= _SMALL:
        return
    tags = image.tag_v2
    is_reduced = tags.get(_KIND_OF_FRAME, 0) & _REDUCED or tags.get(_OLD_KIND_OF_FRAME) == _OLD_REDUCED
    if is_reduced or is_thumbnail_of_raw(image):
        note(THUMBNAIL, f"{image.width} × {image.height}")


def is_thumbnail_of_raw(image: Image.Image) -> bool:
    """True for an open TIFF that is a camera's RAW, which Pillow shows a small picture of, or, of a DNG, nothing.

    RAW files are TIFFs: the camera's name and the frames below the first tell them from others.
    """
    if not isinstance(image, TiffImageFile):
        return False
    tags = image.tag_v2
    return _DNG_VERSION in tags or (max(image.size) < _SMALL and _MORE_FRAMES in tags and _MAKE in tags)


def is_tiff_of_raw(data: bytes) -> bool:
    """True for the bytes of a TIFF that a camera, or a converter to DNG, has written."""
    if data[:4] not in _TIFFS:
        return False
    tags = ImageFileDirectory_v2(data[:8])
    try:
        stream = io.BytesIO(data)
        stream.seek(tags.next)
        tags.load(stream)
        return _DNG_VERSION in tags or (_MAKE in tags and tags.get(_PHOTOMETRIC) == _SENSOR)
    # A broken TIFF raises nearly any exception.
    except Exception:
        return False
