"""The table of file formats that a package beside Pillow reads: their suffixes, how they begin, and the package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A file format that needs a package, called so for pip, with the `module` that it brings.

    Files begin with one of `begins`, or have one of `brands` where files of the ISO media family say what they are.
    `in_folders` is true if files of these suffixes count as images of a folder, and not only with `--also`.
    """

    package: str
    module: str
    suffixes: tuple[str, ...]
    begins: tuple[bytes, ...] = ()
    brands: tuple[bytes, ...] = ()
    in_folders: bool = False


FORMATS: dict[str, Format] = {
    "HEIC": Format(
        "pillow-heif",
        "pillow_heif",
        (".heic", ".heif", ".heics", ".heifs", ".hif"),
        brands=(b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"),
        in_folders=True,
    ),
    # Pillow brings its own decoder of AVIF, from version 11.3 on.
    "AVIF": Format(
        "'pillow>=11.3'",
        "PIL.AvifImagePlugin",
        (".avif", ".avifs"),
        brands=(b"avif", b"avis"),
        in_folders=True,
    ),
    "JPEG XL": Format(
        "pillow-jxl-plugin", "pillow_jxl", (".jxl",), begins=(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), in_folders=True
    ),
    # Many others are TIFFs, and are known by their tags.
    "RAW": Format(
        "rawpy",
        "rawpy",
        (
            *(".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".dng", ".raf", ".orf", ".rw2", ".pef"),
            *(".srw", ".x3f", ".3fr", ".fff", ".iiq", ".erf", ".mef", ".mrw", ".kdc", ".dcr", ".gpr", ".rwl", ".raw"),
        ),
        begins=(b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR"),
        brands=(b"crx ",),
    ),
    "PDF": Format("pypdfium2", "pypdfium2", (".pdf",), begins=(b"%PDF-",)),
    "video": Format(
        "av",
        "av",
        (
            *(".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg", ".3gp", ".wmv"),
            *(".insv", ".lrv", ".flv", ".ogv"),
        ),
        begins=(b"\x1aE\xdf\xa3", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"FLV\x01", b"OggS", b"0&\xb2u\x8ef\xcf\x11"),
        brands=(
            *(b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ", b"M4VH"),
            *(b"M4VP", b"3gp4", b"3gp5", b"3gp6", b"3g2a", b"MSNV", b"dash", b"mmp4", b"f4v ", b"XAVC", b"niko"),
        ),
    ),
}
# What `--also` has read in folders, with what it is.
ALSO = {"raw": "photos as cameras record them", "pdf": "the first pages of PDFs", "video": "films"}
# Files of these suffixes may hold several frames or pages, beside videos and PDFs.
_SEVERAL = (".gif", ".webp", ".tif", ".tiff", ".apng", ".avif", ".avifs", ".heics", ".heifs", ".mpo", ".fli", ".flc")
FRAMES = frozenset((*_SEVERAL, *FORMATS["video"].suffixes, *FORMATS["PDF"].suffixes))
_TS_PACKET = 188


def suffixes_of(also: Iterable[str]) -> frozenset[str]:
    """The suffixes of the kinds that `--also` names, keys of `ALSO`."""
    by_name = {name.lower(): form for name, form in FORMATS.items()}
    return frozenset(suffix for name in also for suffix in by_name[name].suffixes)


def format_of(data: bytes) -> str | None:
    """The format of these bytes, by how they begin; `None` if it is none of the table."""
    start = data[:16]
    is_iso, brand = start[4:8] == b"ftyp", start[8:12]
    for name, form in FORMATS.items():
        if start.startswith(form.begins):
            return name
        if is_iso and brand in form.brands:
            return name
    is_stream = data[:1] == b"G" == data[_TS_PACKET : _TS_PACKET + 1]
    is_avi = start.startswith(b"RIFF") and start[8:12] == b"AVI "
    # A .mov of old cameras begins with its data, and a .m2ts has four bytes before each packet.
    blu_ray = _TS_PACKET + 4
    is_old = start[4:8] in (b"moov", b"mdat", b"wide") or data[4:5] == b"G" == data[4 + blu_ray : 5 + blu_ray]
    return "video" if is_stream or is_avi or is_old else None
