"""A plug-in for Pillow whose images hang, take all memory or end the process: imported by workers in tests alone."""

from __future__ import annotations

import ctypes
import os
import time

from PIL import Image, ImageFile

KINDS = (b"HANGHANG", b"EATMEMRY", b"SEGFAULT", b"EXITEXIT", b"ABORTING", b"POISONED", b"GOESDEAF")
state = {"poisoned": False}


class OddImage(ImageFile.ImageFile):
    format = "ODD"

    def _open(self) -> None:
        assert self.fp is not None
        self._size, self._mode = (8, 8), "RGB"
        self.kind = self.fp.read(8)

    def load(self) -> None:  # type: ignore[override]
        if self._im is not None:
            return
        if self.kind == b"HANGHANG":
            time.sleep(1000)
        if self.kind == b"EATMEMRY":
            kept = []
            while True:
                kept.append(bytearray(50 << 20))
        if self.kind == b"SEGFAULT" or state["poisoned"]:
            ctypes.string_at(0)
        if self.kind == b"EXITEXIT":
            os._exit(3)
        if self.kind == b"ABORTING":
            os.abort()
        if self.kind == b"GOESDEAF":
            os.closerange(3, 100)
            time.sleep(1000)
        state["poisoned"] = self.kind == b"POISONED"
        self._im = Image.core.fill("RGB", (8, 8), (9, 9, 9))


Image.register_open("ODD", OddImage, lambda prefix: prefix[:8] in KINDS)
