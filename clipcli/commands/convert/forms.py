"""The forms that a model can be written in, each with what makes it."""

from __future__ import annotations

from clipcli.backbones.checkpoint import Architecture
from clipcli.commands.convert import to_onnx, to_open_clip, to_openai, to_transformers
from clipcli.commands.convert.form import Form
from clipcli.errors import UsageError

FORMS: dict[str, Form] = {
    "open_clip": to_open_clip.FORM,
    "transformers": to_transformers.FORM,
    "openai": to_openai.FORM,
    "onnx": to_onnx.FORM,
}


def check_form(name: str, architecture: Architecture) -> None:
    """Raise `UsageError` if the architecture cannot have the form, with the forms that it can have."""
    why = FORMS[name].refusal(architecture)
    if why is None:
        return
    possible = [f"--to {other}" for other, form in FORMS.items() if form.refusal(architecture) is None]
    raise UsageError(f"{architecture.name} cannot be written for {name}: {why}; give {' or '.join(possible)}")
