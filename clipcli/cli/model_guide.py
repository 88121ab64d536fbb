"""The guide of `clipcli models`: a few models to choose from, with size, memory, speed, accuracy and licence."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipcli.backbones.guide import GUIDE, LICENCES, Choice
from clipcli.backbones.tags import DEFAULT_MODEL
from clipcli.cli.columns import print_columns
from clipcli.errors import install

if TYPE_CHECKING:
    from clipcli.backbones.catalogue import ListedModel
    from clipcli.backbones.checkpoint import Architecture
    from clipcli.backbones.runtime import Runtime
    from clipcli.memory.memory import Memory

_HEADER = (
    ("", "", "size", "memory", "images", "top-1", ""),
    ("for", "model", "GB", "GB", "/s", "%", "licence"),
)
# The columns of numbers, which are aligned at the right.
_NUMBERS = range(2, 6)
_GB = 1e9
_BYTES_OF_FP32 = 4
_NONE = "-"


@dataclass(frozen=True, slots=True)
class _Line:
    """A model of the guide, and how it would run here. `memory` is what its weights take then, in bytes."""

    use: str
    choice: Choice
    entry: ListedModel
    architecture: Architecture
    runtime: Runtime

    @property
    def parameters(self) -> int:
        return self.entry.parameters or 0

    @property
    def size(self) -> int:
        """The size of the weights' file; where it is not here, that of float32, as they are published."""
        return self.entry.weights.stat().st_size if self.entry.weights else self.parameters * _BYTES_OF_FP32

    @property
    def memory(self) -> int:
        return self.parameters * self.runtime.dtype.itemsize


def show_guide(*, measure: bool) -> None:
    """Print the guide; with `measure`, measure first how fast each of its models is here."""
    from clipcli.encoding import speed
    from clipcli.memory.memory import open_memory

    memory, lines = open_memory(cache=True), [_line(use, choice) for use, choice in GUIDE.items()]
    if measure:
        for line in lines:
            _measure(line, memory)
    speeds = [speed.remembered(line.architecture, runtime=line.runtime, memory=memory) for line in lines]
    rows = [*_HEADER, *(_row(line, found) for line, found in zip(lines, speeds, strict=True))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print_columns([[c.rjust(widths[n]) if n in _NUMBERS else c for n, c in enumerate(row)] for row in rows])
    print()
    print_columns(list(_notes(lines, speeds)))
    for warning in memory.warnings():
        print(f"clipcli: {warning.message}", file=sys.stderr)


def _line(use: str, choice: Choice) -> _Line:
    from clipcli.backbones.catalogue import listed_model
    from clipcli.backbones.checkpoint import Architecture
    from clipcli.backbones.runtime import choose_runtime

    entry = listed_model(choice.model)
    architecture = Architecture(
        name=entry.name, model_cfg=entry.model_cfg, preprocess_cfg=entry.preprocess_cfg, tokenizer=entry.name
    )
    return _Line(use, choice, entry, architecture, choose_runtime(stated=entry.precision))


def _measure(line: _Line, memory: Memory) -> None:
    """Measure a model's speed, unless the memory may not hold it: it is built in float32 first."""
    from clipcli.backbones.devices import free_memory
    from clipcli.encoding import speed

    free, needed = free_memory(), line.parameters * _BYTES_OF_FP32
    if free is not None and free < needed:
        print(
            f"clipcli: {line.entry.name} is not measured: it needs {needed / _GB:.1f} GB of memory,"
            f" and {free / _GB:.1f} GB are free",
            file=sys.stderr,
        )
        return
    print(f"Measuring {line.entry.name} …", file=sys.stderr)
    speed.measure(line.architecture, runtime=line.runtime, memory=memory)


def _row(line: _Line, speed: float | None) -> tuple[str, ...]:
    return (
        _mark(line),
        line.entry.name,
        f"{line.size / _GB:.2f}",
        f"{line.memory / _GB:.2f}",
        _NONE if speed is None else _rate(speed),
        _NONE if line.choice.top_1 is None else f"{line.choice.top_1:.1f}",
        line.choice.licence,
    )


def _rate(speed: float) -> str:
    """A speed with two figures at least, as in `1,234`, `7.1` and `0.062`."""
    if speed >= 1:
        return f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"
    return f"{speed:#.2g}"


def _notes(lines: list[_Line], speeds: list[float | None]) -> Iterator[tuple[str, str]]:
    """What the rows and the columns mean."""
    from clipcli.encoding.speed import machine

    yield from ((_mark(line), line.choice.about) for line in lines)
    needing = [line.use for line in lines if "hf_tokenizer_name" in line.entry.model_cfg["text_cfg"]]
    if needing and importlib.util.find_spec("transformers") is None:
        yield "", f"{', '.join(needing)} needs {install('transformers', 'sentencepiece')}"
    precisions = " or ".join(dict.fromkeys(line.runtime.precision for line in lines))
    yield "size", "of the weights, which are downloaded once if they are not bundled"
    yield "memory", f"of the weights in {precisions}, as --precision auto chooses here"
    if any(speeds):
        yield "images/s", f"of the model alone, on {machine(lines[0].runtime)}"
    if not all(speeds):
        yield "images/s", "- is not measured yet; do it with clipcli models --measure"
    yield "top-1", "zero-shot on ImageNet, by docs/openclip_results.csv of"
    yield "", "github.com/mlfoundations/open_clip; - is not in it"
    licences = dict.fromkeys(line.choice.licence for line in lines)
    meanings = [f"{name}: {LICENCES[name]}" for name in licences if name in LICENCES]
    yield "licence", "of the weights, by their model cards"
    yield from (("", meaning) for meaning in meanings)


def _mark(line: _Line) -> str:
    return line.use + (" *" if line.choice.model == DEFAULT_MODEL else "")
