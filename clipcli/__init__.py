"""clipcli: label photos with CLIP, without training.

    for row in clipcli.classify("./photos", labels=["beach", "mountain"]):
        print(row.path, row.labels[0], row.scores[0])

`clipcli.load` loads a model once for many calls. Importing this module loads nothing heavy; torch is loaded by the
first call that needs it.
"""

from __future__ import annotations

import importlib

from clipcli.version import __version__ as __version__

# As typing has it, which takes longer to import than all the rest here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from clipcli.commands.adapt.run import adapt
    from clipcli.commands.adapt.settings import AdaptSettings
    from clipcli.commands.build_classifier.run import build_classifier
    from clipcli.commands.build_classifier.settings import BuildClassifierSettings
    from clipcli.commands.calibrate.run import calibrate
    from clipcli.commands.calibrate.settings import CalibrateSettings
    from clipcli.commands.classify.run import classify
    from clipcli.commands.classify.settings import ClassifySettings
    from clipcli.commands.convert.run import Converted, convert
    from clipcli.commands.convert.settings import ConvertSettings
    from clipcli.commands.embed.run import embed
    from clipcli.commands.embed.settings import EmbedSettings
    from clipcli.commands.evaluate.results import Evaluation
    from clipcli.commands.evaluate.run import evaluate
    from clipcli.commands.evaluate.settings import EvaluateSettings
    from clipcli.commands.find.run import find
    from clipcli.commands.find.settings import FindSettings
    from clipcli.commands.labels.findings import Finding, LabelReport, Suggested
    from clipcli.commands.labels.run import labels
    from clipcli.commands.labels.settings import LabelsSettings
    from clipcli.commands.sort.run import Sorted, sort
    from clipcli.commands.sort.settings import SortSettings
    from clipcli.commands.tag.run import Tagged, tag
    from clipcli.commands.tag.settings import TagSettings
    from clipcli.commands.train.run import Trained, train
    from clipcli.commands.train.settings import TrainConfig
    from clipcli.commands.undo.run import UndoResult, undo
    from clipcli.commands.undo.settings import UndoSettings
    from clipcli.errors import ClipcliError
    from clipcli.loaded import LoadedModel, load
    from clipcli.outputs.embeddings import Embeddings
    from clipcli.records import Row, Rows
    from clipcli.scoring.adaptation import Adaptation
    from clipcli.scoring.calibration import Calibration
    from clipcli.scoring.classifier import Classifier
    from clipcli.scoring.rows import to_frame
    from clipcli.scoring.schema import Schema

__all__ = [
    "AdaptSettings",
    "Adaptation",
    "BuildClassifierSettings",
    "CalibrateSettings",
    "Calibration",
    "Classifier",
    "ClassifySettings",
    "ClipcliError",
    "ConvertSettings",
    "Converted",
    "EmbedSettings",
    "Embeddings",
    "EvaluateSettings",
    "Evaluation",
    "FindSettings",
    "Finding",
    "LabelReport",
    "LabelsSettings",
    "LoadedModel",
    "Row",
    "Rows",
    "Schema",
    "SortSettings",
    "Sorted",
    "Suggested",
    "TagSettings",
    "Tagged",
    "TrainConfig",
    "Trained",
    "UndoResult",
    "UndoSettings",
    "adapt",
    "build_classifier",
    "calibrate",
    "classify",
    "convert",
    "embed",
    "evaluate",
    "find",
    "labels",
    "load",
    "sort",
    "tag",
    "to_frame",
    "train",
    "undo",
]

_MODULES = {
    "AdaptSettings": "clipcli.commands.adapt.settings",
    "Adaptation": "clipcli.scoring.adaptation",
    "BuildClassifierSettings": "clipcli.commands.build_classifier.settings",
    "CalibrateSettings": "clipcli.commands.calibrate.settings",
    "Calibration": "clipcli.scoring.calibration",
    "Classifier": "clipcli.scoring.classifier",
    "ClassifySettings": "clipcli.commands.classify.settings",
    "ClipcliError": "clipcli.errors",
    "ConvertSettings": "clipcli.commands.convert.settings",
    "Converted": "clipcli.commands.convert.run",
    "Embeddings": "clipcli.outputs.embeddings",
    "EmbedSettings": "clipcli.commands.embed.settings",
    "EvaluateSettings": "clipcli.commands.evaluate.settings",
    "Evaluation": "clipcli.commands.evaluate.results",
    "FindSettings": "clipcli.commands.find.settings",
    "Finding": "clipcli.commands.labels.findings",
    "LabelReport": "clipcli.commands.labels.findings",
    "LabelsSettings": "clipcli.commands.labels.settings",
    "LoadedModel": "clipcli.loaded",
    "Row": "clipcli.records",
    "Rows": "clipcli.records",
    "Schema": "clipcli.scoring.schema",
    "SortSettings": "clipcli.commands.sort.settings",
    "Sorted": "clipcli.commands.sort.run",
    "Suggested": "clipcli.commands.labels.findings",
    "TagSettings": "clipcli.commands.tag.settings",
    "Tagged": "clipcli.commands.tag.run",
    "TrainConfig": "clipcli.commands.train.settings",
    "Trained": "clipcli.commands.train.run",
    "UndoResult": "clipcli.commands.undo.run",
    "UndoSettings": "clipcli.commands.undo.settings",
    "adapt": "clipcli.commands.adapt.run",
    "build_classifier": "clipcli.commands.build_classifier.run",
    "calibrate": "clipcli.commands.calibrate.run",
    "classify": "clipcli.commands.classify.run",
    "convert": "clipcli.commands.convert.run",
    "embed": "clipcli.commands.embed.run",
    "evaluate": "clipcli.commands.evaluate.run",
    "find": "clipcli.commands.find.run",
    "labels": "clipcli.commands.labels.run",
    "load": "clipcli.loaded",
    "sort": "clipcli.commands.sort.run",
    "tag": "clipcli.commands.tag.run",
    "to_frame": "clipcli.scoring.rows",
    "train": "clipcli.commands.train.run",
    "undo": "clipcli.commands.undo.run",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'clipcli' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
