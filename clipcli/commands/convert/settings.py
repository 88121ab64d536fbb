"""The settings of `convert`, and the forms that a model can be written in."""

from __future__ import annotations

from pathlib import Path

from clipcli.commands.encoding_settings import Network
from clipcli.commands.shared_settings import Overwriting
from clipcli.settings import Reads, as_text, record, setting

# Each form by its name; `forms.py` has what makes it.
FORMS = {
    "open_clip": "a folder for open_clip and clipcli",
    "transformers": "a folder for transformers, with its processor",
    "openai": "a TorchScript file as OpenAI published CLIP in",
    "onnx": "two ONNX files, for ONNX Runtime and clipcli",
}


@record
class ConvertSettings(Network, Overwriting):
    """The model, and the form that it is written in."""

    command = "convert"

    model: Reads[str | Path, str] = setting(
        kw_only=False,
        group="what",
        metavar="M",
        argument=True,
        missing="no model was given; give a training run's folder, or a name that clipcli models lists",
        reads=as_text,
        accepts="str | Path",
        noun="a model",
    )
    """A training run's folder, or another model by any of its names: ARCH/TAG, ARCH/path/to/checkpoint, org/name of the
    Hugging Face hub, a directory, or tiny."""

    to: str = setting(group="what", metavar="FORM", choices=FORMS, explained=True, missing="give --to FORM")
    """The form."""

    output: Reads[str | Path, str] = setting(
        group="output",
        metavar="DIR",
        short="-o",
        missing="give --output DIR",
        reads=as_text,
        accepts="str | Path",
        noun="a path",
    )
    """The folder to write; it is there once all of it is, and read back."""

    # As in `Overwriting`, for a folder.
    overwrite: bool = setting(default=False, group="output", rare=True)
    """Replace the folder, if convert wrote it."""
