"""The settings of `embed`, and of the file it writes."""

from __future__ import annotations

from clipcli.commands.encoding_settings import Encoding
from clipcli.commands.shared_settings import ModelName, OptionalInputs, Overwriting
from clipcli.outputs.embeddings import FORMATS
from clipcli.settings import AsText, record, setting


@record
class EmbedSettings(Encoding, ModelName, OptionalInputs):
    """The images or texts to embed, and the model."""

    command = "embed"

    texts: AsText = setting(default=None, group="what", metavar="FILE")
    """Embed texts in place of images: a file with one a line, or - for standard input."""


@record
class EmbeddingsFile(Overwriting):
    """The file that the command line writes; a program calls `Embeddings.save` instead."""

    command = "embed"

    output: str = setting(default="embeddings.parquet", group="output", metavar="FILE", short="-o")
    """Where the embeddings go: a .parquet, .npy or .safetensors, or a folder."""

    format: str | None = setting(
        default=None,
        group="output",
        metavar="F",
        choices={name: layout.written for name, layout in FORMATS.items()},
        by_default="by the output's suffix",
    )
    """The layout of the embeddings."""
