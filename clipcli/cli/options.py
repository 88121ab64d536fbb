"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from clipcli.backbones.devices import DEVICES, PRECISIONS
from clipcli.classes.prompts import DEFAULT_PROMPTS

Labels = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="The classes: a .txt (one label a line), .csv (label, aliases, description) or .yaml file.",
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(
        metavar="P",
        help="A prompt set (clipcli prompts lists them), a .yaml or .txt file, or a template holding one {}. "
        f"[default: {DEFAULT_PROMPTS}]",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="M",
        help="ARCH/TAG, ARCH/path/to/checkpoint, hf-hub:org/name, a directory, or tiny. clipcli models lists them. "
        "[default: ViT-B-32-256/datacomp_s34b_b86k]",
    ),
]
Device = Annotated[str, typer.Option(metavar="D", help=f"One of: {', '.join(DEVICES)}.")]
Precision = Annotated[str, typer.Option(metavar="P", help=f"One of: {', '.join(PRECISIONS)}.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor write the cache of embeddings.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say what was read off the model, and show where an error came from.")
]
