"""The day on which a photo was taken."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import date

from clipcli.notices import Notice, Notices
from clipcli.records import ImageItem

NO_DATE = Notice(
    "image does not say when it was taken",
    "images do not say when they were taken",
    "the day of the file's last change stands in for it",
)
_DAY = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)")


def date_reader(notices: Notices) -> Callable[[ImageItem, str], date]:
    """A function that gives the day of an image, whose file is at the path; `notices` counts days that stand in."""
    from clipcli.images.decode import prepare_pillow

    prepare_pillow()

    def day_of(item: ImageItem, path: str) -> date:
        day = _taken(item, path)
        if day is None:
            notices.add(NO_DATE, item.id)
            day = date.fromtimestamp(os.stat(path).st_mtime)
        return day

    return day_of


def _taken(item: ImageItem, path: str) -> date | None:
    """The day in EXIF: that of the original, or else of its digital form (tags 36867 and 36868 of EXIF 2.32)."""
    import io

    from PIL import ExifTags, Image

    from clipcli.data.reference import read
    from clipcli.images.silence import SILENCE

    try:
        with SILENCE, Image.open(path if item.reference.kind == "file" else io.BytesIO(read(item.reference))) as image:
            exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
    # Pillow's readers raise nearly any exception on a broken file.
    except Exception:
        return None
    for tag in (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized):
        if match := _DAY.match(str(exif.get(tag, ""))):
            try:
                return date(int(match[1]), int(match[2]), int(match[3]))
            except ValueError:
                continue
    return None
