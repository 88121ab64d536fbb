"""Converts a model: loads it, writes it in another form, and has another library read that and encode alike."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipcli import backbones
from clipcli.backbones.checkpoint import Checkpoint
from clipcli.backbones.runtime import choose_runtime
from clipcli.commands.convert.settings import ConvertSettings
from clipcli.errors import (
    ClipcliError,
    MissingExtra,
    OutputExists,
    OutputFailed,
    UsageError,
    install,
    is_out_of_memory,
    one_line,
    why_not_written,
)
from clipcli.events import Event, Loading, Noted, result_of
from clipcli.files.atomic import replacing_folder
from clipcli.parsed import json_of
from clipcli.settings import Show, api
from clipcli.version import __version__

if TYPE_CHECKING:
    from clipcli.commands.convert.form import Form, Source

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
    """As `convert`, with its events.

    What the settings and this machine rule out is refused before anything is downloaded, and what the model rules out
    before anything is written.
    """
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
            # Meanwhile something may have been put there.
            check_target(target, overwrite=options.overwrite)
    except OSError as e:
        raise _cannot_write(options, e) from None
    return done


def _converted(checkpoint: Checkpoint, part: Path, options: ConvertSettings) -> Generator[Event, None, Converted]:
    """Write a model to the folder `part`, which is to become that of the output, and compare it."""
    from clipcli.backbones.load import load
    from clipcli.backbones.open_clip_folder import as_json
    from clipcli.commands.convert.form import Source
    from clipcli.commands.convert.forms import FORMS

    form = FORMS[options.to]
    source = Source(checkpoint, load(checkpoint, runtime=choose_runtime(device="cpu", precision="fp32")))
    yield Noted(f"Writing {checkpoint.name} for {options.to} …")
    _write(form, part, source, options)
    (read_by, difference), *others = _differences(form, part, source, options)
    if not difference <= MOST:
        raise ClipcliError(
            f"as {read_by} reads what was written, embeddings differ by up to {difference:.1e}, more than {MOST:g}; "
            f"nothing was written; take another form for {checkpoint.name}"
        )
    done = Converted(
        model=checkpoint.name,
        fingerprint=source.backbone.fingerprint,
        form=options.to,
        folder=options.output,
        difference=difference,
        read_by=read_by,
        use=form.use.format(folder=options.output),
        notes=tuple(
            f"{by} rounds the weights to 16 bits: so read, embeddings differ by up to {other:.1e}"
            for by, other in others
        ),
    )
    record = {"clipcli": __version__, **asdict(done), "files": sorted(_files_in(part))}
    del record["folder"], record["use"]
    (part / RECORD_NAME).write_text(as_json(record), encoding="utf-8")
    return done


def _write(form: Form, part: Path, source: Source, options: ConvertSettings) -> None:
    """Fill the folder. Raises `OutputFailed` where the disk does not take it, and `ClipcliError`."""
    try:
        form.write(part, source)
    except ClipcliError:
        raise
    # So do libraries on a full disk, and on models that they do not know.
    except Exception as e:
        if is_out_of_memory(e):
            raise
        why = why_not_written(e)
        if why is not None:
            raise _cannot_write(options, why) from None
        raise ClipcliError(
            f"{source.checkpoint.name} cannot be written for {options.to} ({one_line(e)}); take another form"
        ) from e


def _differences(form: Form, part: Path, source: Source, options: ConvertSettings) -> list[tuple[str, float]]:
    """What reads the folder, with the largest difference of an embedding as it reads it. Raises `ClipcliError`."""
    from clipcli.commands.convert import compared

    try:
        return [(one.by, compared.largest_difference(source.backbone, one)) for one in form.read(part, source)]
    # Loaders of other libraries, and what they load, raise nearly anything.
    except Exception as e:
        if is_out_of_memory(e):
            raise
        raise ClipcliError(
            f"{options.to} does not read what was written of {source.checkpoint.name} ({one_line(e)}); "
            "nothing was left; take another form"
        ) from e


def _cannot_write(options: ConvertSettings, why: object) -> OutputFailed:
    return OutputFailed(f"cannot write {options.output}: {why}; free some space, or give another --output")


def _files_in(folder: Path) -> Iterator[str]:
    """The names of all files in a folder, from there."""
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def check_target(target: Path, *, overwrite: bool) -> None:
    """Check that the folder can be written.

    Raises `OutputExists` for one that is there, unless it is empty, or all in it is of this command and may be
    replaced; `UsageError` for a file; and `OutputFailed` without a folder around it.
    """
    if not target.parent.is_dir():
        raise OutputFailed(f"there is no folder {target.parent}; make it, or give another --output")
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file; give a folder that is new")
    if not any(target.iterdir()):
        return
    written = _written_to(target)
    other = next((name for name in _files_in(target) if name not in written), None)
    if other is not None:
        raise OutputExists(
            f"{target} holds {other}, which clipcli convert has not written; move that, or give another --output"
        )
    if not overwrite:
        raise OutputExists(f"{target} exists; give another --output, or --overwrite to replace it")


def _written_to(target: Path) -> set[str]:
    """The names of the files that were written to a folder, by the record that lies there."""
    try:
        return {RECORD_NAME, *json_of((target / RECORD_NAME).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def check_is_not_within(checkpoint: Checkpoint, target: Path) -> None:
    """Raise `UsageError` if the model's own files are in the folder that would be replaced."""
    if target.resolve() in checkpoint.weights.resolve().parents:
        raise UsageError(f"{checkpoint.name} is in {target}, which would be replaced; give another --output")
