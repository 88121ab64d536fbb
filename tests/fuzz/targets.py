"""The readers of files that may come from strangers: each a function of the path of a file with any bytes.

A reader gives a value or raises a `ClipcliError`, or one of the errors in `DOCUMENTED`, which its callers catch. The
seeds of a target are the files of `seeds/` that begin with its name; their suffix is that of the file it reads.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from clipcli.actions.journal import read_journal
from clipcli.actions.xml_places import BadXml
from clipcli.actions.xmp import own_of, read_packet
from clipcli.backbones.checkpoint import read_config
from clipcli.backbones.transformers_config import read_transformers_config
from clipcli.backbones.weights_file import read_state
from clipcli.classes.given import read_classes
from clipcli.classes.prompts import load_prompts
from clipcli.commands.classify.settings import ClassifySettings
from clipcli.commands.evaluate.comparison import read_other_labels
from clipcli.commands.evaluate.settings import EvaluateSettings
from clipcli.commands.train.config_file import gather_config
from clipcli.commands.train.run_lines import read_lines
from clipcli.data.captions import Uncaptioned, captions_beside
from clipcli.data.columns import Columns
from clipcli.data.images import list_images
from clipcli.data.labelled import read_labelled
from clipcli.data.pairs import PairOptions, read_pairs
from clipcli.data.reference import read
from clipcli.data.tars import read_shard
from clipcli.data.tree import Data
from clipcli.errors import ClipcliError
from clipcli.files.manifest import read_manifest
from clipcli.images.decode import attempt, decode
from clipcli.memory import folder_index
from clipcli.notices import Notices
from clipcli.outputs.corrections import read_corrections
from clipcli.outputs.embeddings import Embeddings
from clipcli.outputs.former import find_former
from clipcli.outputs.read import read_begun, read_rows
from clipcli.records import Reference
from clipcli.scoring.classifier import Classifier
from clipcli.settings import build_record, read_yaml

DOCUMENTED = (ClipcliError, BadXml, Uncaptioned)


def _labels(path: Path) -> None:
    read_classes(path, Notices(), keep_names=False, keep_duplicates=False)


def _config(path: Path) -> None:
    """Each command's settings, as `--config` reads them."""
    for record in (ClassifySettings, EvaluateSettings):
        with suppress(ClipcliError):
            build_record(record, read_yaml(path))
    with suppress(ClipcliError):
        gather_config({"output": "run"}, file=str(path))


def _inputs(path: Path) -> None:
    """As the images of `classify`, the labels of `evaluate` and the captions of `train`, each read and decoded."""
    with suppress(ClipcliError):
        for item in list_images([str(path)], stdin=io.StringIO(), notices=Notices(), keep=("all",)):
            attempt(item, decode)
    with suppress(ClipcliError):
        read_labelled(Data(str(path), Notices()), Columns())
    with suppress(ClipcliError):
        read_pairs(Data(str(path), Notices()), options=PairOptions(("a {}",)))


def _list(path: Path) -> None:
    # It must not look through the whole machine.
    if any(line.strip().startswith((b"/", b"\\", b"~", b"..")) for line in path.read_bytes().splitlines()):
        return
    list_images([f"@{path}"], stdin=io.StringIO(), notices=Notices())


def _manifest(path: Path) -> None:
    read_manifest(path.with_name(path.name.removesuffix(".json")))


def _output(path: Path) -> None:
    """As every command reads an output: whole, cut, to compare with, brought up to date, and as corrections."""
    with suppress(ClipcliError):
        list(read_rows(path)[1])
    with suppress(ClipcliError):
        found = read_begun(path)
        list(found[1] if found else ())
    with suppress(ClipcliError):
        read_other_labels(str(path))
    with suppress(ClipcliError):
        find_former(str(path), Notices())
    with suppress(ClipcliError):
        read_corrections([path], Notices())


def _caption(path: Path) -> None:
    captions_beside({path.suffix: Reference("file", str(path))}, read=read)


def _shard(path: Path) -> None:
    read_shard(str(path))
    _inputs(path)


def _xmp(path: Path) -> None:
    own_of(read_packet(path.read_bytes()))


def _index(path: Path) -> None:
    """An index of the cache, with the checksum that it would have."""
    with suppress(FileNotFoundError):
        place = folder_index.indexes_path() / "fuzz.index"
        place.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        place.write_bytes(content + folder_index._checksum(np.frombuffer(content, np.uint8)))
        folder_index.read_index("fuzz")


def _open_clip_config(path: Path) -> None:
    read_config(path, name="m")


def _transformers_config(path: Path) -> None:
    (path.parent / "config.json").write_bytes(path.read_bytes())
    read_transformers_config(path.parent, name="m")


TARGETS: dict[str, Callable[[Path], object]] = {
    "labels": _labels,
    "prompts": lambda path: load_prompts(str(path)),
    "list": _list,
    "table": _inputs,
    "config": _config,
    "manifest": _manifest,
    "output": _output,
    "classifier": Classifier.load,
    "embeddings": Embeddings.load,
    "caption": _caption,
    "shard": _shard,
    "zip": _inputs,
    "journal": read_journal,
    "xmp": _xmp,
    "metrics": read_lines,
    "index": _index,
    "openclip": _open_clip_config,
    "transformers": _transformers_config,
    "weights": read_state,
}
