"""Converts a model: loads it, writes it in another form, and has another library read that and encode alike."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli import backbones
from clipcli.backbones.checkpoint import Checkpoint
from clipcli.backbones.runtime import choose_runtime
from clipcli.commands.convert.settings import ConvertSettings
from clipcli.errors import ClipcliError, MissingExtra, OutputExists, OutputFailed, UsageError, install, one_line
from clipcli.events import Event, Loading, Noted, result_of
from clipcli.files.atomic import replacing_folder
from clipcli.settings import Show, api
from clipcli.version import __version__

if TYPE_CHECKING:
    from clipcli.commands.convert.form import Form, ReadBack, Source

# Beside what is written: by it a folder is known to be of this command.
RECORD_NAME = "clipcli_convert.json"
# How far an embedding may be from the model's own, in any of its numbers.
MOST = 1e-5


@dataclass(frozen=True, slots=True)
class Converted:
    """A model that was converted: its `model` name, its form and its folder.

    `difference` is the largest in a number of an L2-normalised embedding, over a few images and texts, between the
    model itself and what the library `read_by` makes of the folder. `use` says how a program loads it, and `notes` what
    should be known of it.
    """

    model: str
    fingerprint: str
    form: str
    folder: str
    difference: float
    read_by: str
    use: str
    notes: tuple[str, ...]


@api(ConvertSettings)
def convert(settings: ConvertSettings, show: Show) -> Converted:
    """Write a model in the form that another library reads, as a folder, which `model` of all functions takes as well.

    That library reads it back and encodes a few images and texts; the folder is there only if the embeddings agree.
    Raises `UsageError` for a model that cannot have the form, `OutputExists`, `MissingExtra`, and the errors of loading
    a model.
    """
    return result_of(run(settings), show=show)


def run(options: ConvertSettings) -> Generator[Event, None, Converted]:
    """As `convert`, with its events. What can be refused is refused before anything is downloaded or written."""
    from clipcli.commands.convert.forms import FORMS, check_form

    target = Path(options.output).expanduser()
    check_target(target, overwrite=options.overwrite)
    fetch = backbones.find(backbones.absolute_name(options.model))
    missing = [name for name in FORMS[options.to].packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"--to {options.to} needs {' and '.join(missing)}; run {install(*missing)}")
    checkpoint = yield from fetch()
    check_is_not_within(checkpoint, target)
    check_form(options.to, checkpoint)
    yield Loading(checkpoint.name, backbones.place_of(checkpoint), checkpoint.weights.stat().st_size)
    try:
        with replacing_folder(target) as part:
            done = yield from _converted(checkpoint, part, options)
    except OSError as e:
        raise OutputFailed(f"cannot write {target}: {e}; free some space, or give another --output") from None
    return done


def _read_back(form: Form, part: Path, source: Source, *, name: str) -> Sequence[ReadBack]:
    try:
        return form.read(part, source)
    # Loaders of other libraries raise nearly anything.
    except Exception as e:
        raise ClipcliError(
            f"{name} does not read what was written of {source.checkpoint.name} ({one_line(e)}); nothing was left; "
            "take another form"
        ) from e


def _converted(checkpoint: Checkpoint, part: Path, options: ConvertSettings) -> Generator[Event, None, Converted]:
    """Write a model to the folder `part`, which is to become that of the output, and compare it."""
    from clipcli.backbones.load import load
    from clipcli.backbones.open_clip_folder import as_json
    from clipcli.commands.convert.compared import largest_difference
    from clipcli.commands.convert.form import Source
    from clipcli.commands.convert.forms import FORMS

    form = FORMS[options.to]
    source = Source(checkpoint, load(checkpoint, runtime=choose_runtime(device="cpu", precision="fp32")))
    yield Noted(f"Writing {checkpoint.name} for {options.to} …")
    form.write(part, source)
    exact, *others = _read_back(form, part, source, name=options.to)
    difference = largest_difference(source.backbone, exact)
    if not difference <= MOST:
        raise ClipcliError(
            f"as {exact.by} reads what was written, embeddings differ by up to {difference:.1e}, more than {MOST:g}; "
            f"nothing was written; take another form for {checkpoint.name}"
        )
    done = Converted(
        model=checkpoint.name,
        fingerprint=source.backbone.fingerprint,
        form=options.to,
        folder=options.output,
        difference=difference,
        read_by=exact.by,
        use=form.use.format(folder=options.output),
        notes=tuple(
            f"{one.by} rounds the weights to 16 bits: so read, embeddings differ by up to "
            f"{largest_difference(source.backbone, one):.1e}"
            for one in others
        ),
    )
    record = {"clipcli": __version__, **asdict(done)}
    del record["folder"], record["use"]
    (part / RECORD_NAME).write_text(as_json(record), encoding="utf-8")
    return done


def check_target(target: Path, *, overwrite: bool) -> None:
    """Check that the folder can be written.

    Raises `OutputExists` for one that is there, unless it is empty, or of this command and may be replaced;
    `UsageError` for a file; and `OutputFailed` without a folder around it.
    """
    if not target.parent.is_dir():
        raise OutputFailed(f"there is no folder {target.parent}; make it, or give another --output")
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file; give a folder that is new")
    if not any(target.iterdir()):
        return
    if not (target / RECORD_NAME).is_file():
        raise OutputExists(f"{target} holds files that clipcli convert has not written; give another --output")
    if not overwrite:
        raise OutputExists(f"{target} exists; give another --output, or --overwrite to replace it")


def check_is_not_within(checkpoint: Checkpoint, target: Path) -> None:
    """Raise `UsageError` if the model's own files are in the folder that would be replaced."""
    if target.resolve() in checkpoint.weights.resolve().parents:
        raise UsageError(f"{checkpoint.name} is in {target}, which would be replaced; give another --output")
