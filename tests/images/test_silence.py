"""What decoders write to standard error does not reach it, from any thread, and what clipcli writes does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcli.images.silence import SILENCE, Silence, silence_for

SPEAK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from clipcli.cli.words import take_standard_error
from clipcli.data.reference import READERS
from clipcli.images.decode import prepare_pillow, read_pixels
from clipcli.records import ImageItem, Reference, Skipped

take_standard_error()
prepare_pillow()
items = [ImageItem(path, Reference("file", path)) for path in sys.argv[1:]] * 20
with ThreadPoolExecutor(4) as pool:
    for done in pool.map(lambda item: read_pixels(item, lambda image: image), items):
        print(done.reason if isinstance(done, Skipped) else done.shape)
        print("our own words", file=sys.stderr)
"""


def broken_tiff(path: Path, compression: str) -> Path:
    """A TIFF about which libtiff has much to say."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 300), dtype=np.uint8)
    whole = io.BytesIO()
    image = Image.fromarray(noise)
    (image.convert("1") if compression == "group4" else image).save(whole, "TIFF", compression=compression)
    data = bytearray(whole.getvalue())
    data[2000:-2000:97] = bytes(byte ^ 0x5A for byte in data[2000:-2000:97])
    path.write_bytes(data)
    return path


def test_libtiff_is_not_heard(tmp_path: Path) -> None:
    files = [broken_tiff(tmp_path / f"{kind}.tif", kind) for kind in ("group4", "tiff_lzw")]
    script = SPEAK
    done = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, timeout=120)
    assert done.stderr == "our own words\n" * 40
    assert done.stdout.splitlines()[:2] == ["(300, 300, 3)", "cannot be decoded: decoder error -2"]
    # Without the silence there are hundreds of lines.
    loud = SPEAK.replace("take_standard_error()\n", "")
    heard = subprocess.run([sys.executable, "-c", loud, *files], capture_output=True, text=True, timeout=120).stderr
    assert heard.count("Fax4Decode") > 100


def test_the_log_of_pillow_has_no_last_resort() -> None:
    script = (
        "import logging; from clipcli.images.decode import prepare_pillow; prepare_pillow(); prepare_pillow();"
        "logging.getLogger('PIL.TiffImagePlugin').error('More samples per pixel than can be decoded');"
        "print(len(logging.getLogger('PIL').handlers))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_last_of_the_threads_ends_the_silence(capfd: pytest.CaptureFixture[str]) -> None:
    silence = Silence()
    with silence:
        os.write(2, b"not allowed, so heard\n")
    silence.allowed = True
    with ThreadPoolExecutor(1) as pool, silence:
        pool.submit(silence.__enter__).result()
        os.write(2, b"lost\n")
        pool.submit(silence.__exit__, None, None, None).result()
        os.write(2, b"lost as well\n")
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "not allowed, so heard\nheard again\n"


def test_only_what_may_speak_is_silenced() -> None:
    assert silence_for(b"II*\0....") is SILENCE
    assert silence_for(b"MM\0*....") is SILENCE
    assert all(silence_for(start) is not SILENCE for start in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"GIF89a"))
