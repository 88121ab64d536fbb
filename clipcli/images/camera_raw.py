"""Tells a camera's RAW file of which Pillow shows only a thumbnail."""

from __future__ import annotations

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from clipcli.notices import Note, Notice

THUMBNAIL = Notice(
    "image is only the thumbnail in its file",
    "images are only the thumbnails in their files",
    "of a camera's RAW no more can be read; export JPEGs and give those",
)
# A longer side that is smaller than this is a thumbnail's.
_SMALL = 512
# Tags of TIFF files.
_KIND_OF_FRAME, _OLD_KIND_OF_FRAME, _MAKE, _MORE_FRAMES, _DNG_VERSION = 254, 255, 271, 330, 50706
_REDUCED, _OLD_REDUCED = 1, 2


def note_thumbnail(image: Image.Image, *, note: Note) -> None:
    """Count an open image as a thumbnail, where it is a small first frame of a TIFF that says so, or of a RAW."""
    if not isinstance(image, TiffImageFile) or max(image.size) >= _SMALL:
        return
    tags = image.tag_v2
    is_reduced = tags.get(_KIND_OF_FRAME, 0) & _REDUCED or tags.get(_OLD_KIND_OF_FRAME) == _OLD_REDUCED
    # RAW files are TIFFs: the camera's name and the frames below the first tell them from others.
    is_raw = _DNG_VERSION in tags or (_MORE_FRAMES in tags and _MAKE in tags)
    if is_reduced or is_raw:
        note(THUMBNAIL, f"{image.width} × {image.height}")
