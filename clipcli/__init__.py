"""clipcli: label photos with CLIP, without training.

    for row in clipcli.classify("./photos", labels=["beach", "mountain"]):
        print(row.path, row.labels[0], row.scores[0])

Importing this module loads nothing heavy; torch is loaded by the first call that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipcli.classifier import Classifier
    from clipcli.errors import ClipcliError
    from clipcli.pipelines.build_classifier import build_classifier
    from clipcli.pipelines.classify import classify
    from clipcli.pipelines.evaluate import evaluate
    from clipcli.pipelines.train import train
    from clipcli.rows import to_frame
    from clipcli.types import Row

__version__ = "0.1.0"

__all__ = ["Classifier", "ClipcliError", "Row", "build_classifier", "classify", "evaluate", "to_frame", "train"]

_HOMES = {
    "Classifier": "clipcli.classifier",
    "ClipcliError": "clipcli.errors",
    "Row": "clipcli.types",
    "build_classifier": "clipcli.pipelines.build_classifier",
    "classify": "clipcli.pipelines.classify",
    "evaluate": "clipcli.pipelines.evaluate",
    "to_frame": "clipcli.rows",
    "train": "clipcli.pipelines.train",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'clipcli' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
