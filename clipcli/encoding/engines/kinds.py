"""The table of engines, light enough to import for `--help`."""

from __future__ import annotations

ENGINES = {
    "auto": "OpenVINO where it is installed, on a processor, for long runs or where the model is converted already; "
    "compiled on a card, for very long runs, where that proves faster",
    "torch": "torch as it is",
    "compiled": "torch.compile's code; a model is compiled in every run",
    "openvino": "OpenVINO, for processors; a model is converted once",
}
