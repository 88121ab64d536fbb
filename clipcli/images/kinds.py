"""The tables of ways to decode and to read colours, light enough to import for `--help`."""

from __future__ import annotations

from clipcli.errors import UsageError, unknown

DECODES = {
    "fast": "large JPEGs at a half, a quarter or an eighth, as long as twice the model's input size is left",
    "card": "plain JPEGs whole on an NVIDIA card, nearly as exact",
    "exact": "every image whole, as open_clip does, after its colours are brought to sRGB",
}
COLORS = {
    "managed": "colours of a profile other than sRGB's are brought to sRGB",
    "raw": "profiles are ignored, as open_clip does",
}
TRUNCATED = {
    "error": "a truncated image is skipped",
    "accept": "it is labelled by what there is of it, which is said",
}


def check_decode(decode: str, *, device: str, isolate: bool = False) -> None:
    """Check a way to decode, with `isolate` in workers.

    Raises `UnknownName` if it is not in the table, `UsageError` if the device or a worker cannot.
    """
    if decode not in DECODES:
        raise unknown("way to decode", decode, DECODES)
    if decode == "card" and device != "cuda":
        raise UsageError(f"no NVIDIA card decodes on {device}; give --decode exact or fast")
    if decode == "card" and isolate:
        raise UsageError("--isolate keeps images from this process, and --decode card decodes in it; drop one of them")
